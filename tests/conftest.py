"""Fixtures for all tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator
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


@pytest.fixture(autouse=True)
def no_deprecated_calls(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Deprecation notes that a library logs instead of warning; the warnings themselves are errors (pyproject.toml)."""
    yield
    notes = [record.getMessage() for record in caplog.get_records("call")]
    assert [note for note in notes if "deprecat" in note.lower()] == []


@pytest.fixture(autouse=True)
def messages_of_the_command_line() -> Iterator[None]:
    """The handler that a command attaches to the package's logger ends with the test."""
    logger = logging.getLogger("telly")
    handlers = list(logger.handlers)
    yield
    logger.handlers[:] = handlers
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def shared_folder() -> Path:
    """Real data beside the project; tests that need it are skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the data folder `shared` beside the project")
    return folder
