"""BigCloneBench's layout: lists of pairs beside a file of functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telly.data.readers import read
from telly.data.validate import check, validate
from telly.errors import DataError
from telly.tasks import TASKS

pytest_plugins = ["handwritten"]
pytestmark = pytest.mark.usefixtures("own_cache")
CLONE = TASKS["clone"].schema
FORMATS = ".jsonl, .json, .csv, .tsv, .parquet (all but the last also with .gz)"
HINT = "a list of pairs (idx1 idx2 label) needs data.jsonl with the functions beside it"
FUNCTIONS = [{"idx": str(i), "func": f"int f{i}()"} for i in range(4)]
Write = Callable[..., Path]


def row(left: int, right: int, label: int) -> dict[str, str]:
    return {"left": f"int f{left}()", "right": f"int f{right}()", "label": str(label)}


@pytest.fixture
def folder(write: Write) -> Path:
    write("set/data.jsonl", *FUNCTIONS, {"idx": 7, "func": "int f7()", "url": "ignored"})
    write("set/train.txt", "0\t1\t0", "  2 3   1 ", "", "7\t0\t1")
    write("set/valid.txt", "1\t2\t1")
    write("set/test.txt", "3\t1\t0")
    write("set/README.txt", "not data")
    return write("set/LICENSE.txt", "nor this").parent


def test_a_folder_is_read_by_split_and_a_file_by_itself(folder: Path) -> None:
    expected = [row(0, 1, 0), row(2, 3, 1), row(7, 0, 1)]
    assert read(str(folder), CLONE, split="train").to_list() == expected
    assert read(str(folder), CLONE, split="valid").to_list() == [row(1, 2, 1)]
    assert read(str(folder), CLONE, split="test").to_list() == [row(3, 1, 0)]
    assert read(str(folder / "train.txt"), CLONE).to_list() == expected
    assert read(str(folder / "train.txt"), CLONE, limit=1).to_list() == expected[:1]


def test_several_splits_of_which_the_functions_are_none(folder: Path) -> None:
    with pytest.raises(DataError) as error:
        read(str(folder), CLONE)
    assert str(error.value) == f"{folder}: has several splits (test, train, valid); name one of them, or one file"


def test_changed_functions_are_read_again(folder: Path, write: Write) -> None:
    assert read(str(folder / "valid.txt"), CLONE)["left"][0] == "int f1()"
    write("set/data.jsonl", *({**function, "func": function["func"].upper()} for function in FUNCTIONS))
    assert read(str(folder / "valid.txt"), CLONE)["left"][0] == "INT F1()"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "0 9 1",
            "bad-pair: found no function with idx '9' in data.jsonl; expected one of its 4 functions; "
            "add it there or delete the pair",
        ),
        ("0 1", "bad-pair: found 2 columns; expected 3: idx1 idx2 label, separated by a tab or blanks"),
        ("0,1,1", "bad-pair: found 1 column; expected 3: idx1 idx2 label, separated by a tab or blanks"),
        ("0 1 1 1", "bad-pair: found 4 columns; expected 3: idx1 idx2 label, separated by a tab or blanks"),
        ("0 1 2", "bad-label: 'label' is '2'; expected one of 0, 1, true or false; mend it or delete the row"),
    ],
)
def test_bad_pairs(line: str, message: str, write: Write) -> None:
    write("data.jsonl", *FUNCTIONS)
    file = write("train.txt", "0 1 1", line, "2 3 0")
    with pytest.raises(DataError) as error:
        read(str(file), CLONE)
    advice = f"`telly data validate {file} --task clone` lists all problems"
    assert str(error.value) == f"{file}:2: {message}; {advice}"
    assert list(map(str, validate({"train": file}, CLONE))) == [f"{file}:2: {message}"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("{", "bad-json: Expecting property name enclosed in double quotes at column 2; expected one JSON object"),
        ({"idx": 9, "code": "c"}, "missing-column: expected the columns idx and func; found idx, code; rename them"),
        ({"idx": None, "func": "c"}, "wrong-type: 'idx' must be a string, an integer or true/false, found null"),
        ({"idx": "9", "func": " "}, "empty-text: 'func' has no text; fill it or delete the row"),
        (
            {"idx": 0, "func": "another"},
            "bad-pair: idx '0' is another function in line 1; give each function its own idx",
        ),
    ],
)
def test_bad_functions(function: object, message: str, write: Write) -> None:
    functions = write("data.jsonl", *FUNCTIONS, function)
    file = write("train.txt", "0 1 1", "2 3 0")
    with pytest.raises(DataError) as error:
        read(str(file), CLONE)
    advice = f"`telly data validate {file} --task clone` lists all problems"
    assert str(error.value) == f"{functions}:5: {message}; {advice}"
    test = write("test.txt", "1 2 0", "0 3 1")
    assert list(map(str, validate({"train": file, "test": test}, CLONE))) == [f"{functions}:5: {message}"], "once"


def test_the_same_function_twice_is_no_problem(write: Write) -> None:
    write("data.jsonl", *FUNCTIONS, FUNCTIONS[0])
    assert validate({"train": write("train.txt", "0 1 1", "2 3 0")}, CLONE) == []


def test_text_that_is_not_utf8(tmp_path: Path, write: Write) -> None:
    write("data.jsonl", *FUNCTIONS)
    file = tmp_path / "train.txt"
    file.write_bytes(b"0 1 1\n0 \xff 0\n2 3 0\n")
    assert list(map(str, validate({"train": file}, CLONE))) == [
        f"{file}:2: bad-encoding: byte 3 of the line is not UTF-8; save the file as UTF-8"
    ]


def test_no_functions_beside_the_pairs(write: Write) -> None:
    file = write("set/train.txt", "0 1 1")
    with pytest.raises(DataError) as error:
        read(str(file), CLONE)
    assert str(error.value) == f"{file}: unknown format '.txt'; expected {FORMATS}; {HINT}"
    with pytest.raises(DataError) as error:
        read(str(file.parent), CLONE, split="train")
    assert str(error.value) == f"{file.parent}: no data in this folder; expected files {FORMATS}; train.txt: {HINT}"


def test_pairs_of_functions_are_not_for_other_tasks(folder: Path) -> None:
    with pytest.raises(
        DataError, match=r"valid.txt:1: missing-column: no column for 'query': .*found left, right, lab"
    ):
        read(str(folder / "valid.txt"), TASKS["search"].schema)


def test_a_file_named_data_jsonl_alone_is_as_any_other(write: Write) -> None:
    file = write("set/data.jsonl", {"func1": "a", "func2": "b", "label": True})
    assert read(str(file.parent), CLONE).to_list() == [{"left": "a", "right": "b", "label": "1"}]


@pytest.mark.parametrize(
    "names", [("func1", "func2", "label"), ("code1", "code2", "similar"), ("left", "right", "target")]
)
def test_pairs_as_rows(names: tuple[str, str, str], write: Write) -> None:
    labels = [0, True, "1", " False "]
    file = write("a.jsonl", *(dict(zip(names, ("a", "b", label), strict=True)) for label in labels))
    data = read(str(file), CLONE)
    assert data.column_names == ["left", "right", "label"]
    assert data["label"][:] == ["0", "1", "1", "0"]


def test_order_and_label_do_not_make_a_pair_another(folder: Path, write: Write) -> None:
    train = write("set/train.txt", "0 1 1", "2 3 0", "1 0 1", "0 1 0")
    test = write("set/test.txt", "3 2 0", "0 2 1")
    assert list(map(str, check({"train": train, "test": test}, CLONE).problems)) == [
        f"{train}:3: duplicate: repeats line 1; delete one of them",
        f"{train}:4: duplicate: repeats line 1; delete one of them",
        f"{test}:1: overlap: the pair also occurs in {train}:2; keep it in one of the two",
    ]


def test_one_class(write: Write) -> None:
    write("data.jsonl", *FUNCTIONS)
    file = write("train.txt", "0 1 1", "2 3 1")
    assert list(map(str, validate({"train": file}, CLONE))) == [
        f"{file}: one-class: 'label' is '1' in all 2 rows; expected at least two classes"
    ]


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(text, min_size=1, max_size=5), st.data())
def test_any_function_survives(write: Write, functions: list[str], data: st.DataObject) -> None:
    write("any/data.jsonl", *({"idx": f"f{i}", "func": function} for i, function in enumerate(functions)))
    number = st.integers(0, len(functions) - 1)
    pairs = data.draw(st.lists(st.tuples(number, number, st.sampled_from("01")), min_size=1, max_size=5))
    blank = data.draw(st.sampled_from(["\t", " ", "  \t"]))
    file = write("any/train.txt", *(blank.join((f"f{left}", f"f{right}", label)) for left, right, label in pairs))
    assert read(str(file), CLONE).to_list() == [
        {"left": functions[left], "right": functions[right], "label": label} for left, right, label in pairs
    ]


def test_real_pairs(shared_folder: Path) -> None:
    folder = shared_folder / "data" / "java-cs-clones"
    if not folder.is_dir():
        pytest.skip("needs data/java-cs-clones in the folder `shared`")
    sizes = {split: len(read(str(folder), CLONE, split=split)) for split in ("train", "valid", "test")}
    assert sizes == {"train": 15999, "valid": 1995, "test": 1998}
    report = check({"train": folder / "train.txt", "test": folder / "test.txt"}, CLONE)
    assert report.counts() == {"duplicate": 7}
