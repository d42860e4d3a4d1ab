"""Advice that lies in a folder is taken over only for the same settings, data, tolerance and budget."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from telly.advice.advise import _earlier_advice, _key
from telly.advice.budget import RunBudget
from telly.settings.config import TuneConfig

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
