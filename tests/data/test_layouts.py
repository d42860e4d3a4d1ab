"""The layouts of known data sets by task; code search is in `test_readers.py`, lists of pairs in `test_pairs.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from telly.data.readers import read
from telly.data.warnings import warnings_about
from telly.errors import DataError
from telly.tasks import TASKS

pytest_plugins = ["handwritten"]
pytestmark = pytest.mark.usefixtures("own_cache")
Write = Callable[..., Path]
CODESEARCHNET = {
    "original_string": "no",
    "code": 'def f():\n  """Adds."""',
    "code_tokens": ["def", "f"],
    "docstring": "Adds.\n\n:param x: it",
    "docstring_tokens": ["Adds", "."],
}


@pytest.mark.parametrize(
    ("task", "given", "expected"),
    [
        ("summarize", CODESEARCHNET, {"code": "def f", "summary": "Adds ."}),
        ("summarize", {"query": "q", "code": "c"}, {"code": "c", "summary": "q"}),
        ("summarize", {"code": "c", "docstring": "d"}, {"code": "c", "summary": "d"}),
        (
            "generate",
            {"nl": "n concode_field_sep x", "code": "c ( )"},
            {"description": "n concode_field_sep x", "code": "c ( )"},
        ),
        ("generate", CODESEARCHNET, {"description": "Adds .", "code": CODESEARCHNET["code"]}),
        ("generate", {"query": "q", "code": "c"}, {"description": "q", "code": "c"}),
        ("generate", {"text": "t", "code": "c", "task_id": 1}, {"description": "t", "code": "c"}),
        ("generate", {"prompt": "p", "canonical_solution": "c"}, {"description": "p", "code": "c"}),
        ("complete", {"input": "<s> a = <EOL>", "gt": "b", "id": 3}, {"context": "<s> a = <EOL>", "line": "b"}),
        ("complete", {"prompt": "def f():\n  ", "completion": "pass"}, {"context": "def f():\n  ", "line": "pass"}),
        ("classify", {"project": "p", "func": "int f()\n{}", "target": 0}, {"code": "int f()\n{}", "label": "0"}),
        ("classify", CODESEARCHNET | {"label": " x "}, {"code": CODESEARCHNET["code"], "label": "x"}),
        ("clone-retrieval", {"label": "1", "index": "0", "code": "c"}, {"label": "1", "code": "c"}),
    ],
)
def test_known_layouts(task: str, given: dict[str, Any], expected: dict[str, str], write: Write) -> None:
    data = read(str(write("train.json", given)), TASKS[task].schema)
    assert data.to_list() == [expected]
    assert tuple(data.column_names) == TASKS[task].schema.names == tuple(expected)


def test_any_label_by_a_mapping(write: Write) -> None:
    file = write("a.jsonl", {"func": "f", "target": 1, "cwe": "CWE-119"})
    assert read(str(file), TASKS["classify"].schema, {"label": "cwe"})["label"][:] == ["CWE-119"]


def test_hidden_answers(write: Write) -> None:
    file = write("test.json", {"input": "<s> a = <EOL>", "gt": ""})
    with pytest.raises(DataError) as error:
        read(str(file), TASKS["complete"].schema)
    assert str(error.value) == (
        f"{file}:1: empty-text: 'gt' has no text; CodeXGLUE keeps the answers of its test set to itself: score on rows "
        "with answers, such as a part of the training data that you set aside; "
        f"`telly data validate {file} --task complete` lists all problems"
    )


@pytest.mark.parametrize("label", [2, "yes", "-1"])
def test_labels_of_clones_are_binary(label: object, write: Write) -> None:
    file = write("a.jsonl", {"left": "a", "right": "b", "label": label})
    with pytest.raises(DataError) as error:
        read(str(file), TASKS["clone"].schema)
    assert str(error.value) == (
        f"{file}:1: bad-label: 'label' is {str(label)!r}; expected one of 0, 1, true or false; mend it or delete the "
        f"row; `telly data validate {file} --task clone` lists all problems"
    )


@pytest.mark.parametrize(
    ("task", "name", "sizes"),
    [
        ("summarize", "java-search", (6500, 1000, 1214)),
        ("generate", "concode", (1500, 100, 100)),
        ("complete", "javacorpus-line", (2000, 250, 250)),
    ],
)
def test_real_data(task: str, name: str, sizes: tuple[int, ...], shared_folder: Path) -> None:
    folder = shared_folder / "data" / name
    if not folder.is_dir():
        pytest.skip(f"needs data/{name} in the folder `shared`")
    splits = {split: read(str(folder), TASKS[task].schema, split=split) for split in ("train", "valid", "test")}
    assert tuple(map(len, splits.values())) == sizes
    assert any("also" in text or "as well" in text for text in warnings_about(splits, TASKS[task].schema))
    if task == "generate":
        assert "concode_field_sep" in splits["train"]["description"][0]
