"""The paper's own numbers for UniXcoder, from its replication package."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def similarity() -> dict[str, list[float]]:
    """RSA before and after tuning, by task: embeddings and 12 layers."""
    values: dict[str, list[float]] = _read("similarity.json")
    return values


def probing() -> list[dict[str, Any]]:
    """Probes of the pre-trained model, the one tuned for code search, and random weights."""
    rows: list[dict[str, Any]] = _read("probing.json")
    return rows


def _read(name: str) -> Any:
    return json.loads(resources.files(__name__).joinpath(name).read_text(encoding="utf-8"))
