"""Fixtures: data files written by hand, and a cache of its own for each test.

A plug-in and not a `conftest.py`, since other tests import the module `conftest` by that name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of `datasets` in the test's folder."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write rows (objects as JSON, strings as they are) as the lines of a file."""

    def write(name: str, *rows: Any) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return file

    return write
