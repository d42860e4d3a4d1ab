"""Settings check themselves: every wrong one has a clear error, and all problems come at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import Dataset

from telly.config import read_toml, to_toml
from telly.errors import ConfigError, ModelError
from telly.freezing.variants import Lora
from telly.runs.folder import RunFolder
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.settings.resolve import recommendation, run_name
from telly.tasks import TASKS, get_task
from telly.tuning.estimate import workload
from telly.tuning.inputs import check_metric
from tiny_models import CONFIGS, tiny_model, tiny_tokenizer


def test_an_unknown_setting_suggests_the_nearest_name():
    with pytest.raises(ConfigError) as error:
        TuneConfig.parse({"epoch": 3}, "my.toml")
    assert str(error.value) == "my.toml:\n  unknown setting 'epoch'; did you mean 'epochs'?"


def test_all_problems_are_reported_at_once():
    with pytest.raises(ConfigError) as error:
        TuneConfig.parse({"epochs": 0, "precision": "fp8", "freeze": "nine"}, "options")
    text = str(error.value)
    assert "epochs: Input should be greater than 0 (found 0)" in text
    assert "precision: Input should be 'fp32' or 'bf16' (found 'fp8')" in text
    assert "freeze: expected K (a number of layers), base or auto (found 'nine')" in text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"metric": "bleu"},
            "metric: search has mrr, mrr@10, ndcg@10, map, recall@1, recall@5, recall@10; found 'bleu'",
        ),
        ({"max_tokens": {"codes": 5}}, "max_tokens: search has query, code; found codes"),
        ({"valid": "v.jsonl"}, "valid: needs training data as well; give --data"),
        ({"data": "t.jsonl"}, "valid: the best epoch is chosen on validation data; give --valid"),
        (
            {"task": "dance"},
            "task: must be one of search, clone, clone-retrieval, summarize, generate, complete, classify "
            "(found 'dance')",
        ),
        ({"beams": 2}, "beams: task search has no such setting; leave it out"),
        ({"task": "clone", "temperature": 0.1}, "temperature: task clone has no such setting; leave it out"),
        ({"task": "summarize", "head": "pair"}, "head: task summarize has no such setting; leave it out"),
        ({"task": "clone", "head": "cos"}, "head: Input should be 'pair' or 'cosine' (found 'cos')"),
        (
            {"method": "bitfit", "lora_alpha": 4},
            "lora_alpha: is for method = lora, found method = bitfit; leave it out",
        ),
        (
            {"task": "clone", "head": "cosine", "method": "head-only"},
            "method: head-only trains only a new head, and clone with the cosine head has none with parameters; "
            "expected one of clone with --head pair, classify",
        ),
    ],
)
def test_settings_that_do_not_fit(values: dict[str, object], message: str):
    with pytest.raises(ConfigError) as error:
        TuneConfig.parse(dict(values), "options")
    assert message in str(error.value)


def test_the_preset_is_the_papers():
    """Lengths, batch, learning rate and epochs of the paper's table for code search."""
    preset = get_task("search").preset
    assert preset.max_tokens == {"query": 128, "code": 256}
    assert (preset.batch_size, preset.learning_rate, preset.epochs) == (128, 2e-5, 10)


def test_explicit_settings_go_before_the_models_advice_and_that_before_the_preset(tmp_path: Path):
    CONFIGS["roberta"]().save_pretrained(tmp_path)
    advice = {"recommended": {"search": {"learning_rate": 0.5, "batch_size": 7, "max_tokens": {"code": 99}}}}
    (tmp_path / "telly.json").write_text(json.dumps(advice))
    found = TuneConfig(model=str(tmp_path), batch_size=3).resolve()
    assert (found.batch_size, found.learning_rate, found.epochs) == (3, 0.5, 10)
    assert found.max_tokens == {"query": 128, "code": 99}
    assert TuneConfig(model=str(tmp_path), max_tokens={"code": 50}).resolve().max_tokens == {"query": 128, "code": 50}


@pytest.mark.parametrize("method", ["lora", "ia3", "bitfit"])
def test_where_less_is_trained_the_rate_is_ten_times_higher_unless_it_is_given(method: str, tmp_path: Path):
    CONFIGS["roberta"]().save_pretrained(tmp_path)
    (tmp_path / "telly.json").write_text(json.dumps({"recommended": {"search": {"learning_rate": 1e-4}}}))
    found = TuneConfig(model=str(tmp_path), method=method).resolve()
    assert found.learning_rate == pytest.approx(1e-3)
    assert found.resolve() == found
    assert TuneConfig(model=str(tmp_path), method=method, learning_rate=3e-4).resolve().learning_rate == 3e-4
    assert TuneConfig(model=str(tmp_path)).resolve().learning_rate == 1e-4


def test_lora_has_the_scale_of_one_and_no_dropout():
    found = TuneConfig(method="lora", lora_rank=16).resolve().lora
    assert found == Lora(rank=16, alpha=16.0, dropout=0.0)
    assert TuneConfig(method="lora").resolve().lora == Lora()
    assert TuneConfig(method="ia3").resolve().lora is None


def test_the_head_that_the_model_advises_is_refused_too():
    """telly-mini advises the cosine, which has no parameters; the task's preset has some."""
    with pytest.raises(ConfigError, match="clone with the cosine head has none with parameters"):
        TuneConfig(task="clone", method="head-only").resolve()
    assert TuneConfig(task="clone", method="head-only", head="pair").resolve().head == "pair"


def test_without_peft_adapters_are_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("telly.settings.config.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"method: lora needs peft: pip install 'telly\[peft\]'"):
        TuneConfig.parse({"method": "lora"})
    TuneConfig.parse({"method": "bitfit"})


def test_advice_with_an_unknown_setting_is_refused(tmp_path: Path):
    CONFIGS["roberta"]().save_pretrained(tmp_path)
    (tmp_path / "telly.json").write_text('{"recommended": {"search": {"lerning_rate": 1}}}')
    with pytest.raises(ModelError, match="unknown settings lerning_rate for search"):
        recommendation(str(tmp_path), "search")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('["recommended"]', "cannot be read as JSON with settings by task"),
        ('{"recommended": {"search": [1]}}', "cannot be read as JSON with settings by task"),
        ('{"recommended": {"search": {"batch_size": "many"}}}', "batch_size: Input should be a valid integer"),
        ('{"recommended": {"search": {"max_tokens": 5}}}', "max_tokens: Input should be a valid dictionary"),
    ],
)
def test_advice_of_another_form_is_refused(content: str, told: str, tmp_path: Path):
    CONFIGS["roberta"]().save_pretrained(tmp_path)
    (tmp_path / "telly.json").write_text(content)
    with pytest.raises(ModelError, match="restore or remove it") as error:
        TuneConfig(model=str(tmp_path), batch_size=4, max_tokens={"code": 9}).resolve()
    assert told in str(error.value)


def test_a_folder_is_no_file_of_settings(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read: Is a directory; expected a TOML file"):
        read_toml(tmp_path)


def test_resolved_settings_read_back_from_toml(tmp_path: Path):
    CONFIGS["roberta"]().save_pretrained(tmp_path)
    config = TuneConfig(model=str(tmp_path), freeze="3", columns={"query": "doc"}).resolve()
    (tmp_path / "config.toml").write_text(to_toml(config))
    assert ResolvedConfig.parse(read_toml(tmp_path / "config.toml")) == config
    assert TuneConfig.parse(read_toml(tmp_path / "config.toml")).resolve() == config


def test_run_names_tell_runs_apart():
    names = {
        run_name(TuneConfig(freeze=freeze, cache=cache, seed=seed))
        for freeze in ("base", "3", "9")
        for cache in (True, False)
        for seed in (0, 1)
        if freeze != "base" or cache
    }
    assert len(names) == 10
    assert run_name(TuneConfig(freeze="9")) == "search-telly-mini-k9-s0"
    assert run_name(TuneConfig(freeze="9", method="lora")) == "search-telly-mini-k9-lora-s0"
    assert run_name(TuneConfig(freeze="9", method="lora", cache=False)) == "search-telly-mini-frozen-9-lora-s0"
    assert run_name(TuneConfig(method="ia3")) == "search-telly-mini-ia3-s0"
    assert run_name(TuneConfig(task="classify", method="head-only")) == "classify-telly-mini-head-only-s0"


def test_variants_have_names():
    def name(**given: object) -> str:
        return str(TuneConfig.parse({"task": "classify", **given}).variant)

    assert [name(), name(freeze="9"), name(freeze="9", cache=False)] == ["base", "K=9 cached", "K=9 frozen"]
    assert [name(method="lora"), name(freeze="9", method="lora")] == ["lora", "K=9 cached, lora"]
    assert [name(method="head-only"), name(method="head-only", cache=False)] == ["head-only cached", "head-only frozen"]


def test_a_toml_file_that_is_missing_or_broken(tmp_path: Path):
    with pytest.raises(ConfigError, match="no such file; expected a TOML file with settings"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("epochs = = 3\n")
    with pytest.raises(ConfigError, match=r"bad\.toml: not valid TOML: .*line 1"):
        read_toml(tmp_path / "bad.toml")


def test_no_run_is_lost_or_mixed(tmp_path: Path):
    RunFolder(tmp_path).check_available(resume=False, overwrite=False, finished=False, settings="a = 1\n")
    with pytest.raises(ConfigError, match="no interrupted run to resume here"):
        RunFolder(tmp_path).check_available(resume=True, overwrite=False, finished=False, settings="a = 1\n")
    (tmp_path / "config.toml").write_text("a = 1\n")
    RunFolder(tmp_path).check_available(resume=True, overwrite=False, finished=False, settings="a = 1\n")
    with pytest.raises(ConfigError, match=r"there is a run already; choose another --output, or give --overwrite$"):
        RunFolder(tmp_path).check_available(resume=False, overwrite=False, finished=True, settings="a = 1\n")
    with pytest.raises(ConfigError, match=r"or give --overwrite$"):  # --resume would be refused
        RunFolder(tmp_path).check_available(resume=False, overwrite=False, finished=False, settings="a = 2\n")
    with pytest.raises(ConfigError, match=r"or give --resume or --overwrite$"):
        RunFolder(tmp_path).check_available(resume=False, overwrite=False, finished=False, settings="a = 1\n")
    with pytest.raises(ConfigError, match="this run is finished"):
        RunFolder(tmp_path).check_available(resume=True, overwrite=False, finished=True, settings="a = 1\n")
    with pytest.raises(ConfigError, match="has other settings"):
        RunFolder(tmp_path).check_available(resume=True, overwrite=False, finished=False, settings="a = 2\n")


def test_every_task_has_what_its_table_promises():
    assert TASKS
    for name, task in TASKS.items():
        assert task.name == name
        assert task.preset.metric in task.metrics
        assert set(task.preset.max_tokens) <= set(task.schema.names)


def test_a_metric_that_the_data_cannot_give_is_refused():
    """With three classes there is no second of two classes to have a precision."""
    task = get_task("classify")
    rows = {"code": ["w8 w9", "w10", "w11"], "label": ["a", "b", "c"]}
    train = task.encode({"train": Dataset.from_dict(rows)}, tiny_tokenizer(), {"code": 8}, None)["train"]
    check_metric(TuneConfig(task="classify", metric="macro_f1"), task, train)
    with pytest.raises(ConfigError) as error:
        check_metric(TuneConfig(task="classify", metric="f1"), task, train)
    assert str(error.value) == ("--metric f1: with 3 classes the data gives accuracy, macro_f1; choose one of these")


def test_the_estimate_counts_what_batches_read(tmp_path: Path):
    """Six functions of four tokens and start and end, all 15 pairs, one batch of 15: six functions are read, not 30."""
    functions = [" ".join(f"w{8 + 4 * i + j}" for j in range(4)) for i in range(6)]
    pairs = [(a, b) for i, a in enumerate(functions) for b in functions[:i]]
    lines = [json.dumps({"left": a, "right": b, "label": n % 2}) for n, (a, b) in enumerate(pairs)]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    tiny_model("roberta").save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    config = TuneConfig(task="clone", model=str(tmp_path / "model"), batch_size=15, max_tokens={"left": 8, "right": 8})
    work = workload(config, str(tmp_path / "train.jsonl"))
    assert (work.tokens, work.batch_tokens, work.distinct_tokens) == (36, 36, 36)


@pytest.mark.parametrize(
    ("given", "shared"),
    [({"head": "cosine"}, True), ({"head": "pair"}, False), ({"head": "pair", "shared_batches": True}, True)],
)
def test_the_cosine_gets_batches_that_share_functions(given: dict[str, object], shared: bool):
    assert TuneConfig(task="clone", **given).resolve().shared_batches is shared
    assert TuneConfig(task="search").resolve().shared_batches is None
