"""A tiny model and its data, for all studies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tiny_runs import SMALL, Tiny, environment, tiny_data, tiny_model_folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("study")
    return Tiny(tiny_model_folder(folder / "model"), tiny_data(folder / "data"))


@pytest.fixture(scope="session", autouse=True)
def _small() -> Iterator[None]:
    """Cells are forked from one process, which has the environment that it was started with."""
    with environment(SMALL):
        yield
