"""The samples of line completion, clones and classification; those of the other tasks are in `test_sample.py`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from telly.data import sample
from telly.data.formats import raw_rows
from telly.data.readers import read
from telly.data.validate import check
from telly.data.warnings import warnings_about
from telly.errors import ConfigError, DataError
from telly.tasks import TASKS, get_spec

pytest_plugins = ["handwritten"]
MEGABYTE = 1_000_000
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_task_samples.py"
SIZES = {
    "clone": (1200, 204, 402),
    "clone-retrieval": (1250, 200, 400),
    "complete": (1500, 150, 300),
    "classify": (1000, 142, 223),
    "summarize": (3075, 500, 960),
    "generate": (3075, 500, 960),
    "search": (3075, 500, 960),
}
OWN = ("clone", "clone-retrieval", "complete", "classify")
Rows = dict[str, list[dict[str, Any]]]


def rows_of(task: str) -> Rows:
    return {
        split: [row.values for row in raw_rows(file) if not hasattr(row, "kind")]
        for split, file in get_spec(task).sample.files().items()
    }


def functions() -> list[dict[str, Any]]:
    file = get_spec("clone").sample.files()["train"].with_name("data.jsonl")
    return [json.loads(line) for line in file.open(encoding="utf-8")]


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_sound_sample(task: str) -> None:
    files = get_spec(task).sample.files()
    assert list(files) == ["train", "valid", "test"]
    report = check(files, TASKS[task].schema)
    assert report.problems == []
    assert tuple(report.rows.values()) == SIZES[task]
    splits = {split: read(str(file), TASKS[task].schema) for split, file in files.items()}
    assert warnings_about(splits, TASKS[task].schema) == []


def test_three_tasks_share_one_sample() -> None:
    assert (
        get_spec("search").sample.files()
        == get_spec("search").sample.files()
        == get_spec("summarize").sample.files()
        == get_spec("generate").sample.files()
    )


@pytest.mark.parametrize("task", OWN)
def test_size_readme_and_licence(task: str) -> None:
    files = get_spec(task).sample.files()
    folder = files["train"].parent
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MEGABYTE
    readme = (folder / "README.md").read_text()
    for file, count in zip(files.values(), SIZES[task], strict=True):
        assert f"| `{file.name}` | {count:,} |" in readme
    assert "`../LICENSE-CPython.txt`" in readme
    assert (folder / "../LICENSE-CPython.txt").is_file()


def places(task: str) -> dict[str, list[str]]:
    """Where the functions of each split are from."""
    if task != "clone":
        return {split: [row["path"] for row in rows] for split, rows in rows_of(task).items()}
    path = {function["idx"]: function["path"] for function in functions()}
    return {
        split: [path[idx] for line in file.open() for idx in line.split()[:2]]
        for split, file in get_spec(task).sample.files().items()
    }


@pytest.mark.parametrize("task", OWN)
def test_modules_stay_in_the_split_they_have_for_search(task: str) -> None:
    def modules(paths: list[str]) -> set[str]:
        return {path.split("/")[0].removesuffix(".py") for path in paths}

    search = {split: modules([row["path"] for row in rows]) for split, rows in rows_of("search").items()}
    for split, paths in places(task).items():
        assert modules(paths) <= search[split]
        assert len(modules(paths)) >= 10


@pytest.mark.parametrize(
    ("task", "columns"), [("complete", ["context"]), ("classify", ["code"]), ("clone-retrieval", ["code"])]
)
def test_no_text_comes_twice(task: str, columns: list[str]) -> None:
    texts = [squeezed(row[name]) for rows in rows_of(task).values() for row in rows for name in columns]
    assert len(set(texts)) == len(texts)


def test_clones_have_texts_of_their_own_in_every_split_and_balanced_labels() -> None:
    splits = rows_of("clone")
    texts = {
        split: {squeezed(row[name]) for row in rows for name in ("left", "right")} for split, rows in splits.items()
    }
    assert sum(map(len, texts.values())) == len(set.union(*texts.values())) == len(functions()) == 903
    for rows in splits.values():
        assert Counter(row["label"] for row in rows) == {"0": len(rows) // 2, "1": len(rows) // 2}


def test_the_kind_of_text_does_not_tell_clones_from_others() -> None:
    variant = {function["idx"]: function["variant"] for function in functions()}
    origin = {function["idx"]: (function["path"], function["name"]) for function in functions()}
    for file in get_spec("clone").sample.files().values():
        lines = [line.split() for line in file.open()]
        kinds = {label: Counter((variant[a], variant[b]) for a, b, found in lines if found == label) for label in "01"}
        assert kinds["0"] == kinds["1"]
        assert all((origin[left] == origin[right]) == (label == "1") for left, right, label in lines)
    assert all(re.search(r"^\s*(async )?def f\(", function["func"], re.MULTILINE) for function in functions())


def test_five_texts_a_label_and_no_label_in_two_splits() -> None:
    labels = [Counter(row["label"] for row in rows) for rows in rows_of("clone-retrieval").values()]
    assert [len(counts) for counts in labels] == [250, 40, 80]
    assert {count for counts in labels for count in counts.values()} == {5}
    assert len(set().union(*labels)) == 370


def test_lines_are_what_follows_in_the_function() -> None:
    code = {(row["path"], row["name"]): row["code"] for rows in rows_of("search").values() for row in rows}
    for rows in rows_of("complete").values():
        counts = Counter((row["path"], row["name"]) for row in rows)
        assert max(counts.values()) <= 4  # two, but a module may define a name twice
        for row in rows:
            line = row["line"]
            assert line == line.strip() and not line.startswith("#") and "\n" not in line
            assert len(re.findall(r"\w+|[^\w\s]", line)) >= 3
            assert 0 < len(row["context"]) <= 1500
            assert row["context"].strip()
    split = rows_of("complete")["valid"]
    whole = sum(row["context"] + row["line"] in code[row["path"], row["name"]] for row in split)
    assert whole >= 0.95 * len(split), "all but functions of the same name"


def test_classes_are_the_same_everywhere_and_the_name_is_hidden() -> None:
    splits = rows_of("classify")
    assert all(len({row["label"] for row in rows}) == 10 for rows in splits.values())
    for row in (row for rows in splits.values() for row in rows):
        name = row["name"].split(".")[-1]
        assert name.lower().lstrip("_").startswith(row["label"])
        assert not re.search(rf"\b{name}\b", row["code"])
        assert re.search(r"def f ?\(", row["code"])


def test_unknown_task_and_missing_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^unknown task 'clones'; did you mean 'clone'\?$"):
        get_spec("clones").sample.files()
    monkeypatch.setattr(sample, "files", lambda package: tmp_path)
    with pytest.raises(DataError) as error:
        get_spec("clone").sample.files()
    assert str(error.value) == (
        f"{tmp_path}/sample/clone/train.txt: the sample is not in this installation; "
        f"expected it beside {sample.__file__}; reinstall"
    )


def test_script_makes_the_same_bytes(tmp_path: Path) -> None:
    folder = get_spec("search").sample.files()["train"].parent
    version = ".".join(map(str, sys.version_info[:3]))
    if f"CPython {version}." not in (folder / "README.md").read_text():
        pytest.skip(f"the samples are not from CPython {version}")
    subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], check=True, capture_output=True)
    made = {file.relative_to(tmp_path): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert {path.parts[0] for path in made} == set(OWN)
    assert len(made) == 17
    assert made == {path: (folder / path).read_bytes() for path in made}
