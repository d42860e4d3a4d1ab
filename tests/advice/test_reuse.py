"""Advice that lies in a folder is taken over only for the same settings, data, tolerance and budget."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from telly.advice.advise import _earlier_advice, _key
from telly.advice.budget import RunBudget
from telly.disk import write_json
from telly.settings.config import TuneConfig
from tiny_runs import tiny_model_folder

FINGERPRINTS = {"train": "a", "valid": "b", "test": "c"}


def key(settings: dict[str, object] | None = None, budget: RunBudget | None = None, **prints: str) -> dict[str, object]:
    """The key of advice; `prints` are the fingerprints of other data."""
    datasets = {name: SimpleNamespace(_fingerprint=value) for name, value in (FINGERPRINTS | prints).items()}
    return _key(TuneConfig.parse(settings or {}).resolve(), 0.01, budget or RunBudget(), datasets)


def test_what_the_advice_depends_on_is_in_its_key(tmp_path: Path):
    file = tmp_path / "advice.json"
    file.write_text(json.dumps({"format": 1, "key": key(), "variant": "9"}))
    assert _earlier_advice(file, key()) is not None
    assert _earlier_advice(file, key(test="other")) is not None, "pilots see no test data"
    for other in (key(train="other"), key(valid="other"), key({"seed": 1}), key(budget=RunBudget(seconds=60.0))):
        assert _earlier_advice(file, other) is None


def test_what_the_models_folder_holds_is_in_the_key(tmp_path: Path):
    folder = tiny_model_folder(tmp_path / "model")
    before = key({"model": str(folder)})
    assert key({"model": str(folder)}) == before
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode": "cls", "embedding_dimension": 32})
    pooled = key({"model": str(folder)})
    weights = next(folder.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert len({json.dumps(one) for one in (before, pooled, key({"model": str(folder)}))}) == 3
