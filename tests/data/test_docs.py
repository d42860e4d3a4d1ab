"""The docs say what the code does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import telly
from telly.data.formats import raw_rows
from telly.tasks import TASKS, get_spec

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def test_tables_that_follow_from_the_code_are_up_to_date() -> None:
    script = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    assert script is not None and script.loader is not None
    make_docs = importlib.util.module_from_spec(script)
    script.loader.exec_module(make_docs)
    items = [re.fullmatch(r"- `(\w+)`.* \((.*)\): (.*)", line) for line in make_docs.columns().splitlines()]
    for task, spec in TASKS.items():
        for column in spec.schema.for_training().columns:
            [names] = [item[3] for item in items if item and item[1] == column.name and f"`{task}`" in item[2]]
            assert names == ", ".join(f"`{name}`" for name in column.source_names)
    assert make_docs.presets().count("\n") == 2 + len(TASKS)
    for page, text in make_docs.pages().items():
        assert page.read_text(encoding="utf-8") == text, "run `python scripts/make_docs.py`"


def test_sizes_of_the_samples() -> None:
    sizes: dict[str, list[str]] = {}
    for task in TASKS:
        counts = " / ".join(f"{sum(1 for _ in raw_rows(file)):,}" for file in get_spec(task).sample.files().values())
        sizes.setdefault(counts, []).append(task)
    for counts, tasks in sizes.items():
        row = next(line for line in PAGE.splitlines() if f"| {counts} |" in line)
        assert all(f"`{task}`" in row.split("|")[1] for task in tasks)


def test_the_reference_has_every_public_name_in_few_words():
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 1700
    for name in {*dir(telly)} - {"code", "errors", "__version__", "TunedModel"}:
        assert f"telly.{name}" in text
    for name in dir(telly.code):
        assert f"`telly.code.{name}`" in text
