"""Run records: what is written is read back, older formats are read, and anything else is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from telly.errors import DataError
from telly.freezing.variants import Method
from telly.metrics.significance import Verdict
from telly.runs.parts import (
    AdviceInfo,
    CacheBuild,
    CacheReport,
    DeviceInfo,
    EpochInfo,
    LayerInfo,
    ModelInfo,
    PlanInfo,
    RecordedConfig,
    Session,
    SplitInfo,
    UntunedComparison,
)
from telly.runs.record import RECORD_FORMAT, RunRecord

OLD = Path(__file__).with_name("record-format-1.json")
"""Record of `telly tune search --freeze 9 --top lora`, written before format 2; paths replaced, a warning added."""


def full_record() -> RunRecord:
    """A record in which every field has a value."""
    return RunRecord(
        config=RecordedConfig.from_values({"task": "search", "model": "m", "method": "lora", "seed": 3, "epochs": 2}),
        status="finished",
        error="none",
        device=DeviceInfo("cpu", 2, 1),
        data={"test": SplitInfo(10, 9, 99, "f00d")},
        model=ModelInfo("m", "all", 100, "layers"),
        plan=PlanInfo("9-lora", 9, 10, 100, (LayerInfo("embeddings", "frozen", 90, 0),)),
        cache=CacheReport(True, "asked for", True, {"train": CacheBuild("c", 1, 2, 2, "layer 3", 1, 0.5)}, 64),
        clocks={"train": 1.5},
        wall_seconds=2.0,
        cache_wait_seconds=0.25,
        sessions=[Session({"train": 1.0}, 1.0)],
        epochs=[EpochInfo(1, 40, 1.5, None, {"mrr": 0.5})],
        data_warnings=["Beware."],
        best_epoch=1,
        metric="mrr",
        test={"mrr": 0.5},
        tested_on="test",
        verdict=UntunedComparison(Verdict.OPEN, "untuned", "mrr", 0.5, 0.25, 0.25, -0.1, 0.6, 10, ("a note",)),
        advice=AdviceInfo("9-lora", ["it is fast"], ["one seed"], 0.01, 9.0, "advice/advice.json"),
    )


def test_what_is_saved_is_read_back(tmp_path: Path):
    record = full_record()
    record.save(tmp_path)
    found = RunRecord.read(tmp_path / "record.json")
    assert found == record
    assert found.config.values == record.config.values and found.provenance == record.provenance
    assert RunRecord.parse(json.dumps(record.to_dict()), "here") == record


def test_the_keys_are_the_words_of_today():
    values = full_record().to_dict()
    assert values["config"]["method"] == "lora" and values["format"] == RECORD_FORMAT
    assert {"data_warnings", "cache_wait_seconds"} <= values.keys() and "caches" in values["cache"]
    assert not {"cautions", "store_wait_seconds"} & values.keys() and "stores" not in values["cache"]


def test_a_record_of_format_1_is_read():
    record = RunRecord.read(OLD)
    assert record.config.method is Method.LORA and record.variant == "K=9 cached, lora" and not record.is_base
    assert record.config.values["method"] == "lora" and "top" not in record.config.values
    assert record.data_warnings == ["train: 1 of 600 examples occurs twice"]
    assert record.cache_wait_seconds == pytest.approx(0.0782, abs=1e-4)
    assert record.cache is not None and record.cache.caches["train"].cached_rows == 1200
    assert record.uses_cache and not record.cache.found_states
    assert (record.k, record.trainable) == (9, 18_432) and record.plan is not None and len(record.plan.layers) == 14
    assert record.epoch_seconds == pytest.approx(4.1236, abs=1e-4) and record.baselines_version == 2
    assert record.tested_split == SplitInfo(500, 1000, 48_669, "ce81dd30a6dd925dca6e26eac82a73af")
    assert record.provenance.versions["torch"] == "2.13.0+cpu"


def test_a_record_of_format_1_that_ended_early_is_read():
    """Until they were known, parts were empty objects."""
    values = json.loads(OLD.read_text())
    values |= {"status": "failed", "model": {}, "plan": {}, "cache": {}, "device": {}, "data": {}, "epochs": []}
    del values["baselines_version"]
    record = RunRecord.parse(json.dumps(values), "here")
    assert (record.model, record.plan, record.cache, record.device) == (None, None, None, None)
    assert record.k is None and not record.uses_cache and record.epoch_seconds is None
    assert record.baselines_version == 1, "as before the key was written"


def changed(**more: Any) -> str:
    return json.dumps(full_record().to_dict() | more)


def test_unknown_keys_are_ignored():
    record = RunRecord.parse(changed(of_tomorrow=1), "here")
    assert record == full_record() or record.started  # times differ by a second at most
    assert record.config.task == "search" and not hasattr(record, "of_tomorrow")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "here: cannot be read as a run's record .*; run it again or remove it"),
        ("[1]", "here: expected the record of a run with `config` and `status`; found another JSON file"),
        ("{}", "expected the record of a run"),
        (changed(config=[]), "expected the record of a run"),
        (changed(format=3), "record of format 3, this version reads 1 and 2; read it with the version"),
        (changed(format=None), "record of format None"),
        (changed(config={"task": "search"}), r"here: model: Field required .*; run it again or remove it"),
        (changed(config={"task": "search", "model": "m", "method": "new"}), r"here: method: Input should be 'full'"),
        (changed(epochs=[{"epoch": 1}]), r"here: epochs\.0\.step: Field required"),
        (changed(test={"mrr": "high"}), r"here: test\.mrr: Input should be a valid number"),
        (changed(cache=[1]), r"here: cache: "),
        (
            changed(format=1, cache={"used": True, "stores": [1]}),
            r"here: cache\.caches: Input should be a valid dictionary",
        ),
    ],
)
def test_what_is_no_record_is_refused(text: str, told: str):
    with pytest.raises(DataError, match=told):
        RunRecord.parse(text, "here")


def test_a_missing_or_binary_file_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="cannot be read as a run's record"):
        RunRecord.read(tmp_path / "record.json")
    (tmp_path / "record.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(DataError, match="cannot be read as a run's record"):
        RunRecord.read(tmp_path / "record.json")
