"""A run's model card says what its record says, and nothing of the machine that it ran on."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from telly.models.families import auto_class
from telly.runs.card import card, front_matter, shown_name, write_card
from telly.runs.parts import RecordedConfig
from telly.runs.record import RunRecord
from tiny_runs import Tiny, run_telly, tiny_data, tiny_model_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secret-project")
    tiny = Tiny(tiny_model_folder(folder / "model"), tiny_data(folder / "data"))
    run_telly(*tiny.command(folder / "run", "cached", "--epochs", "1", "--save-steps", "100"))
    return folder / "run"


def changed(record: RunRecord, **settings: Any) -> RecordedConfig:
    """The record's settings, some of them changed."""
    return RecordedConfig.from_values({**record.config.values, **settings})


def written(run: Path) -> tuple[RunRecord, str]:
    return RunRecord.read(run / "record.json"), (run / "model" / "README.md").read_text(encoding="utf-8")


def test_scores_and_baselines_are_the_records(run: Path):
    record, text = written(run)
    assert record.test is not None
    rows = {line.split(" | ")[0].strip("| *"): re.findall(r"[0-9]\.[0-9]{4}", line) for line in text.splitlines()}
    assert rows["this model"] == [f"{value:.4f}" for value in record.test.values()]
    for name, metrics in record.baselines.items():
        assert rows[name] == [f"{metrics[metric]:.4f}" for metric in record.test], name
    assert set(record.baselines) == {"bm25", "untuned"}
    assert record.verdict is not None and f"\n\nVerdict: {record.verdict.sentence}.\n" in text


def test_settings_of_the_loss(run: Path):
    """Lists are joined, and what is not set is not listed."""
    record, text = written(run)
    assert "Matryoshka" not in text
    record.config = changed(record, matryoshka=[64, 8], false_negative_margin=0.1)
    text = card(record, "## Use")
    assert "| Matryoshka dimensions | 64, 8 |" in text
    assert "| margin of false negatives | 0.1 |" in text


def test_what_was_trained_on_what(run: Path):
    record, text = written(run)
    assert "(K=2)" in text
    assert "K=2: embeddings and layers 0 to 1 are those of model, unchanged" in text
    assert "the upper layers were trained on cached states" in text
    assert f"{record.plan.trainable:,} of {record.plan.total:,} parameters were trained" in text
    for split, examples in (("train", 120), ("valid", 40), ("test", 40)):
        tokens = record.data[split].tokens
        assert re.search(rf"\| {split} \| {split}\.jsonl \| {examples} \| \d+ \| {tokens:,} \|", text), split
    for setting in (
        "| learning rate | 0.001 |",
        "| examples per batch | 8 |",
        "| maximum tokens | query 24, code 48 |",
    ):
        assert setting in text
    assert "query at 24 tokens and code at 48 tokens; the model does not see the rest" in text
    assert f"transformers {record.provenance.versions['transformers']}" in text
    assert "those of the model it started from (model) and of the training data apply" in text


def test_no_folder_of_this_machine_is_in_it(run: Path):
    record, text = written(run)
    assert record.model is not None and "secret-project" in record.model.name
    assert "secret-project" not in text
    assert str(Path.home()) not in text
    assert "base_model" not in text


def test_it_follows_the_record(run: Path, tmp_path: Path):
    """Another record, another card: the sample, the embedded model, no test data, nothing frozen."""
    record, _ = written(run)
    assert record.plan is not None
    config = changed(record, data=None, model="telly-mini")
    plan = replace(record.plan, k=None)
    other = replace(record, config=config, plan=plan, tested_on="valid", data_warnings=["Beware."])
    (tmp_path / "config.json").write_text('{"architectures": ["RobertaModel"]}')
    write_card(other, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "# telly-mini, tuned for search (all layers trained)" in text
    assert "Nothing was frozen (`base`)." in text
    assert "There was no test data" in text and "the scores are optimistic" in text
    assert "| train | telly's sample |" in text
    assert "\n- Beware." in text
    assert "The sample is code of CPython, under the PSF licence." in text
    assert "from transformers import AutoModel, AutoTokenizer" in text


def test_a_baseline_that_is_as_good_is_named(run: Path):
    record, text = written(run)
    assert record.test is not None and record.metric == "mrr"
    baselines = {"bm25": {"mrr": 0.9}, "untuned": {"mrr": 0.1}, "even": {"mrr": 0.5}}
    text = card(replace(record, test={"mrr": 0.5}, baselines=baselines), "## Use")
    assert "By mrr it is **not better** than: bm25, even." in text
    assert "not better" not in card(replace(record, test={"mrr": 0.95}, baselines=baselines), "## Use")


def test_only_cosine_models_are_said_to_be_compared_by_it(run: Path, tmp_path: Path):
    record, text = written(run)
    assert "two embeddings are compared by their cosine" in text
    (tmp_path / "config.json").write_text('{"architectures": ["RobertaModel"]}')
    write_card(replace(record, config=changed(record, task="classify")), tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "mean of the last layer's states" in text and "cosine" not in text


def test_texts_that_are_written_come_with_a_warning(run: Path):
    record, _ = written(run)
    config = changed(record, task="generate", max_tokens={"description": 16, "code": 16})
    scores = {"bleu": 12.345, "exact_match": 1.0}
    text = card(replace(record, config=config, test=scores, baselines={}), "## Use")
    assert "**12.35 %**" in text or "**12.34 %**" in text
    assert "review generated code before you run it" in text


def test_a_model_of_the_hub_is_named_to_the_hub():
    assert "base_model: microsoft/unixcoder-base" in front_matter("search", "microsoft/unixcoder-base", "transformers")
    assert "base_model" not in front_matter("search", "telly-mini", "transformers")
    assert shown_name("/home/ada/models/mine/") == "mine"
    assert shown_name("~/mine") == "mine"
    assert shown_name("a/b/c.jsonl") == "c.jsonl"


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("RobertaModel", "AutoModel"),
        ("T5EncoderModel", "AutoModelForTextEncoding"),
        ("T5ForConditionalGeneration", "AutoModelForSeq2SeqLM"),
        ("GPT2LMHeadModel", "AutoModelForCausalLM"),
        ("Qwen2ForCausalLM", "AutoModelForCausalLM"),
    ],
)
def test_the_class_that_loads_it(architecture: str, expected: str):
    assert auto_class(architecture) == expected
