"""A small source tree, and a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from telly.inference.tuned_model import TunedModel
from tiny_runs import tiny_model_folder

DATES = '''"""Dates."""


def parse_date(text):
    """Read a date from a text."""
    parts = text.split("-")
    return tuple(int(part) for part in parts)


class Calendar:
    def days(self):
        return self.last - self.first

    def weeks(self, start):
        days = self.days() - start
        weeks = days // 7
        rest = days % 7
        return weeks, rest
'''
FILES = """
def join_paths(first, second):
    joined = first + "/" + second
    return joined.replace("//", "/")


def weeks_between(self, start):
    days = self.days() - start
    weeks = days // 7
    rest = days % 7
    return weeks, rest
"""
GO = """package shop

// RetryRequest sends a request again until it succeeds.
func RetryRequest(url string, times int) error {
	for i := 0; i < times; i++ {
		if send(url) == nil {
			return nil
		}
	}
	return failed
}
"""


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with a recommendation of short limits, as it has 128 positions."""
    folder = tiny_model_folder(tmp_path_factory.mktemp("models") / "tiny")
    limits = {
        "search": {"query": 24, "code": 48},
        "clone": {"left": 48, "right": 48},
        "summarize": {"code": 48, "summary": 12},
        "generate": {"description": 24, "code": 12},
        "complete": {"context": 48, "line": 12},
    }
    advice: dict[str, dict[str, object]] = {task: {"max_tokens": tokens} for task, tokens in limits.items()}
    advice["clone"]["head"] = "cosine"
    (folder / "telly.json").write_text(json.dumps({"recommended": advice}))
    return folder


@pytest.fixture(scope="session")
def tuned(model_folder: Path) -> TunedModel:
    return TunedModel.load(model_folder, "search")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Six functions in two languages; `weeks` stands in two files."""
    root = tmp_path / "tree"
    (root / "shop").mkdir(parents=True)
    (root / "dates.py").write_text(DATES)
    (root / "shop" / "files.py").write_text(FILES)
    (root / "shop" / "retry.go").write_text(GO)
    return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's cache folder or finds runs of the folder that it is started in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
