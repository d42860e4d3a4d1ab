"""Fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tiny_models import FAMILIES

torch.set_num_threads(1)  # tiny models: threads cost more than they give, above all beside other processes


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Each model family in turn."""
    name: str = request.param
    return name


@pytest.fixture
def shared_folder() -> Path:
    """Real data beside the project; tests that need it are skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the data folder `shared` beside the project")
    return folder
