"""A tiny model, tiny data, and undisturbed runs to compare with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tiny_runs import Tiny, run_telly, tiny_data, tiny_model_folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    return Tiny(tiny_model_folder(folder / "model"), tiny_data(folder / "data"))


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of another width, so that training towards its embeddings needs a projection."""
    return tiny_model_folder(tmp_path_factory.mktemp("teacher") / "model", hidden_size=48)


@pytest.fixture(scope="session")
def undisturbed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The output folder of a finished run, by variant and options; each is run once."""
    done: dict[tuple[str, ...], Path] = {}

    def run(variant: str, *options: str) -> Path:
        if (variant, *options) not in done:
            output = tmp_path_factory.mktemp("undisturbed") / "run"
            run_telly(*tiny.command(output, variant, *options))
            done[variant, *options] = output
        return done[variant, *options]

    return run
