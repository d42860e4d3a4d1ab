"""A tiny model and its data, for all studies."""

from __future__ import annotations

import pytest

from tiny_runs import Tiny, tiny_data, tiny_model_folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("study")
    return Tiny(tiny_model_folder(folder / "model"), tiny_data(folder / "data"))
