"""A tiny search run to export, and the model it started from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_runs import Tiny, run_telly, tiny_data, tiny_model_folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    return Tiny(tiny_model_folder(folder / "model"), tiny_data(folder / "data"))


@pytest.fixture(scope="session")
def run(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with K=2, evaluated in float32 without a store."""
    output = tmp_path_factory.mktemp("runs") / "search-tiny"
    run_telly(*tiny.command(output, "frozen", "--epochs", "2", "--save-steps", "100"))
    return output
