"""Every setting declares what it affects, and the lists of settings that matter follow from that."""

from typing import Annotated

import pytest
from pydantic import PositiveInt

from telly.config import read_toml, to_toml
from telly.declare import EVALUATION, LOCATION, SPEED, WEIGHTS, Group, Setting, settings_of
from telly.errors import ConfigError
from telly.runs.folder import RunFolder
from telly.settings.config import TuneConfig
from telly.settings.lists import ADVICE_SETTINGS, BASELINE_SETTINGS, RESULT_SETTINGS, ROW_SETTINGS, SETTINGS
from telly.settings.renamed import current_names, same_settings


def test_every_setting_declares_help_and_what_it_affects():
    assert set(SETTINGS) == set(TuneConfig.model_fields)
    groups = [declared.setting.group for declared in SETTINGS.values()]
    assert groups == sorted(groups, key=list(Group).index)
    for name, declared in SETTINGS.items():
        assert declared.setting.affects, name
        assert declared.setting.help.endswith("."), name
    assert len({declared.option for declared in SETTINGS.values()}) == len(SETTINGS)


def test_a_forgotten_declaration_is_refused():
    class Forgetful(TuneConfig):
        momentum: PositiveInt = 1

    with pytest.raises(TypeError, match=r"Forgetful\.momentum: declare help and `affects`"):
        settings_of(Forgetful)


def test_a_setting_that_affects_evaluation_reaches_the_baselines():
    assert set(BASELINE_SETTINGS) == {
        *("task", "columns", "limit", "eval_limit", "max_tokens", "precision", "head", "temperature", "beams", "seed"),
        *("pooling", "query_prompt", "document_prompt", "matryoshka"),
    }


def test_settings_of_places_and_speed_change_no_result():
    without = set(SETTINGS) - set(RESULT_SETTINGS)
    assert without == {"cache_dir", "cache_budget_gb", "cache_always", "save_steps", "report_to", "output"}
    assert set(SETTINGS) - set(ADVICE_SETTINGS) == {"freeze", "cache_dir", "report_to", "output"}
    assert {"schedule", "warmup", "weight_decay", "max_grad_norm", "accumulation"} < set(ROW_SETTINGS)
    assert set(ROW_SETTINGS) < set(RESULT_SETTINGS) and not {"freeze", "method", "seed", "data"} & set(ROW_SETTINGS)


def test_kinds_are_the_four():
    kinds = {kind for declared in SETTINGS.values() for kind in declared.setting.affects}
    assert kinds == {WEIGHTS, EVALUATION, SPEED, LOCATION}
    assert Setting("Help.", SPEED).affects == {SPEED}
    assert Annotated[int, Setting("Help.", SPEED)].__metadata__[0].help == "Help."


def test_a_former_key_is_refused_with_its_new_name():
    with pytest.raises(ConfigError) as error:
        TuneConfig.parse({"top": "lora"}, "my.toml")
    assert str(error.value) == "my.toml:\n  'top' is now called 'method'; rename it"


def test_an_error_names_the_option_where_one_was_used():
    with pytest.raises(ConfigError) as error:
        TuneConfig.parse({"freeze": "x", "epochs": 0}, "my.toml", {"freeze": "--freeze"})
    assert str(error.value).splitlines() == [
        "my.toml:",
        "  --freeze: expected K (a number of layers), base or auto (found 'x')",
        "  epochs: Input should be greater than 0 (found 0)",
    ]
    with pytest.raises(ConfigError, match=r"options:\n  --metric: search has mrr"):
        TuneConfig.parse({"metric": "bleu"}, "options", {"metric": "--metric"})


def test_settings_of_a_former_version_are_read(tmp_path):
    """An interrupted run of a version with `top`, and with K as text, is resumed."""
    config = TuneConfig(freeze=3, method="bitfit", output=tmp_path).resolve()
    text = to_toml(config)
    former = text.replace('method = "bitfit"', 'top = "bitfit"').replace("freeze = 3", 'freeze = "3"')
    assert former != text and same_settings(former, text)
    (tmp_path / "config.toml").write_text(former)
    RunFolder(tmp_path).check_available(resume=True, overwrite=False, finished=False, settings=text)
    assert TuneConfig.parse(current_names(read_toml(tmp_path / "config.toml"))).resolve() == config
    assert not same_settings(former, text.replace("bitfit", "ia3"))
    assert not same_settings("not = = toml", text)


def test_settings_of_a_version_that_had_fewer_are_the_same(tmp_path):
    """A setting that was added since has its default: schedules, options of the loss."""
    text = to_toml(TuneConfig(temperature=0.1, output=tmp_path).resolve())
    added = ("schedule", "weight_decay", "max_grad_norm", "accumulation", "symmetric", "matryoshka")
    former = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(added))
    assert len(former.splitlines()) <= len(text.splitlines()) - len(added)
    assert same_settings(former, text)
    assert not same_settings(former, text.replace('schedule = "linear"', 'schedule = "cosine"'))
    assert not same_settings(former, text.replace("symmetric = false", "symmetric = true"))
