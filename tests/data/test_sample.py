from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from telly.data.validate import check
from telly.mining.copies import content_key
from telly.tasks import TASKS, get_spec

MEGABYTE = 1_000_000
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_sample.py"


@pytest.fixture(scope="module")
def sample() -> dict[str, list[dict[str, Any]]]:
    files = get_spec("search").sample.files()
    return {split: [json.loads(line) for line in file.open(encoding="utf-8")] for split, file in files.items()}


def aside() -> list[dict[str, Any]]:
    """Rows of the test modules that no score counts."""
    file = get_spec("search").sample.files()["test"].with_name("seen.jsonl")
    return [json.loads(line) for line in file.open(encoding="utf-8")]


def test_no_test_query_was_seen_in_pre_training(sample: dict[str, list[dict[str, Any]]]) -> None:
    known = json.loads((SCRIPT.parent / "sample_seen.json").read_text())
    assert len(known["searched"]) > 100
    seen = {key for key, found in known["seen"].items() if found["split"] == "test"}
    keys = {f"{row['path']}:{row['name']}" for row in aside()}
    assert keys == seen and len(seen) >= 18
    assert keys.isdisjoint(f"{row['path']}:{row['name']}" for row in sample["test"])
    assert {"inspect.py:getargvalues", "pydoc.py:pipepager"} <= keys, "copies in numpy and click"
    assert f"holds {len(seen)} rows" in (get_spec("search").sample.files()["test"].parent / "README.md").read_text()


def test_sizes(sample: dict[str, list[dict[str, Any]]]) -> None:
    assert list(sample) == ["train", "valid", "test"]
    assert len(sample["test"]) + len(aside()) == 1000
    assert len(sample["valid"]) == 500
    assert sum(map(len, sample.values())) >= 4000
    assert sum(file.stat().st_size for file in get_spec("search").sample.files().values()) <= 4 * MEGABYTE


def test_no_problems() -> None:
    files = get_spec("search").sample.files()
    report = check(files, TASKS["search"].schema)
    assert report.problems == []
    assert set(report.rows) == {str(file) for file in files.values()}


def test_code_and_queries_are_distinct_over_all_splits(sample: dict[str, list[dict[str, Any]]]) -> None:
    rows = [row for split in sample.values() for row in split]
    assert len({content_key(row["code"]) for row in rows}) == len(rows)
    assert len({row["query"].lower() for row in rows}) == len(rows)


def test_no_module_is_in_two_splits(sample: dict[str, list[dict[str, Any]]]) -> None:
    modules = [{row["path"].split("/")[0].removesuffix(".py") for row in split} for split in sample.values()]
    assert all(len(names) >= 20 for names in modules)
    assert sum(map(len, modules)) == len(set.union(*modules))


def test_the_query_does_not_stand_in_the_code(sample: dict[str, list[dict[str, Any]]]) -> None:
    rows = [row for split in sample.values() for row in split]
    copied = [row["name"] for row in rows if " ".join(row["query"].split()) in " ".join(row["code"].split())]
    assert len(copied) <= len(rows) // 500, copied  # a few messages repeat the docstring word for word


def test_licence_and_readme_are_beside_it(sample: dict[str, list[dict[str, Any]]]) -> None:
    folder = get_spec("search").sample.files()["train"].parent
    assert "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2" in (folder / "LICENSE-CPython.txt").read_text()
    readme = (folder / "README.md").read_text()
    for split, rows in sample.items():
        assert f"| `{split}.jsonl` | {len(rows):,} |" in readme


def test_script_makes_the_same_bytes(tmp_path: Path) -> None:
    folder = get_spec("search").sample.files()["train"].parent
    version = ".".join(map(str, sys.version_info[:3]))
    if f"CPython {version}." not in (folder / "README.md").read_text():
        pytest.skip(f"the sample is not from CPython {version}")
    subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], check=True, capture_output=True)
    made = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(made) == {"train.jsonl", "valid.jsonl", "test.jsonl", "seen.jsonl", "README.md", "LICENSE-CPython.txt"}
    assert made == {name: (folder / name).read_bytes() for name in made}
