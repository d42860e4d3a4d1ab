"""Hard negatives as data sets give them: columns, lists, none; and every wrong form with file and line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telly.cli import main
from telly.data.readers import read
from telly.data.schema import RowReader
from telly.data.validate import validate
from telly.errors import ConfigError, DataError
from telly.tasks import TASKS

pytest_plugins = ["handwritten"]
pytestmark = pytest.mark.usefixtures("own_cache")
SEARCH = TASKS["search"].schema
PAIR = {"query": "add numbers", "code": "def add(a, b): return a + b"}
ONE, TWO = "def sub(a, b): return a - b", "def mul(a, b):\n    return a * b\n"


def rows_file(file: Path, *rows: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def negatives_of(row: dict[str, Any], mapping: dict[str, str] | None = None) -> list[str]:
    read_row = RowReader(SEARCH.for_training(), mapping or {}, "f").read(1, PAIR | row)
    assert isinstance(read_row, dict), read_row
    negatives: list[str] = read_row["negatives"]
    return negatives


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, []),
        ({"negative": ONE}, [ONE]),
        ({"negatives": [ONE, TWO]}, [ONE, TWO]),
        ({"rejected_response": [ONE]}, [ONE]),
        ({"negative_10": "c c", "negative_2": "b b", "negative_1": "a a"}, ["a a", "b b", "c c"]),
        ({"negative_1": "b b", "negative": "a a"}, ["a a", "b b"]),
        ({"negative_1": ONE, "negative_2": None, "negative_3": ""}, [ONE]),
        ({"negatives": []}, []),
        ({"negatives": None}, []),
        ({"negatives": [["def", "f", "(", ")"], ONE]}, ["def f ( )", ONE]),
        ({"negative_score": 0.5, "negativity": 1, "negatives_": "x"}, []),
    ],
)
def test_negatives_are_read_from_columns_and_lists(row: dict[str, Any], expected: list[str]):
    assert negatives_of(row) == expected


def test_a_mapped_column_is_the_only_one():
    row = {"hard": [ONE], "negative": TWO}
    assert negatives_of(row, {"negatives": "hard"}) == [ONE]
    assert negatives_of({"negative": ONE, "negative_1": TWO}, {"code": "negative"}) == [TWO]


TEXTS = st.text(min_size=1).filter(lambda text: text.strip() and text.isprintable())


@settings(max_examples=30)
@given(st.lists(TEXTS, unique_by=lambda text: " ".join(text.split())))
def test_a_list_and_numbered_columns_say_the_same(texts: list[str]):
    texts = [f"x {text}" for text in texts]
    numbered = {f"negative_{number}": text for number, text in enumerate(texts, start=1)}
    assert negatives_of({"negatives": texts}) == negatives_of(numbered) == texts


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        ({"negative": PAIR["code"]}, "bad-negative",
         "'negative' equals the code of its row: 'def add(a, b): return a + b'; take it out of the negatives"),
        ({"negatives": ["def  add(a, b):\n return a + b"]}, "bad-negative", "'negatives' equals the code of its row"),
        ({"negatives": ["add numbers"]}, "bad-negative", "'negatives' equals the query of its row: 'add numbers'; "),
        ({"negatives": [ONE, ONE]}, "bad-negative", "'negatives' equals another of the negatives of its row"),
        ({"negatives": [ONE], "negative": ONE}, "bad-negative", "'negatives' equals another of the negatives"),
        ({"negatives": [ONE, " "]}, "empty-text", "'negatives' has no text; fill it or delete the row"),
        ({"negatives": [""]}, "empty-text", "'negatives' has no text"),
        ({"negative_1": "\n"}, "empty-text", "'negative_1' has no text"),
        ({"negative": 1}, "wrong-type", "'negative' must be a string or a list of strings, found number 1"),
        ({"negatives": [ONE, None]}, "wrong-type", "'negatives' must be a string or a list of strings, found null"),
        ({"negatives": {"a": ONE}}, "wrong-type", "'negatives' must be a string or a list of strings, found object"),
        ({"negatives": ["def", "f", "(", ")"]}, "wrong-type",
         "'negatives' must be a list of texts, found 4 words, which look like the tokens of one text; write a list "
         "with one text, or one list of tokens, per negative"),
    ],
)  # fmt: skip
def test_a_wrong_negative_is_named_with_its_line(
    row: dict[str, Any], kind: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    file = rows_file(tmp_path / "train.jsonl", {"query": "q", "code": "c c"}, PAIR | row)
    monkeypatch.setattr(sys, "argv", ["telly", "data", "validate", str(file)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert f"{file}:2: {kind}: {said}" in capsys.readouterr().out
    with pytest.raises(DataError) as error:
        read(str(file), SEARCH.for_training())
    assert f"{file}:2: {kind}: {said}" in str(error.value)


def test_only_training_data_are_read_with_negatives(tmp_path: Path):
    """Elsewhere a column of that name may be anything."""
    odd = rows_file(tmp_path / "valid.jsonl", {"query": "q", "code": "c c", "negative": 7})
    train = rows_file(tmp_path / "train.jsonl", PAIR | {"negatives": [ONE]})
    assert read(str(odd), SEARCH).column_names == ["query", "code"]
    assert validate({"train": train, "valid": odd}, SEARCH) == []
    (problem,) = validate({"train": odd}, SEARCH)
    assert problem.kind == "wrong-type"


def test_a_negative_may_not_answer_the_same_query_elsewhere(tmp_path: Path):
    query, three = PAIR["query"], "def three(): return 3"
    file = rows_file(
        tmp_path / "a.jsonl",
        {"query": query, "code": ONE, "negatives": [three]},
        {"query": query, "code": TWO, "negatives": [ONE]},
        {"query": "another", "code": three, "negatives": [TWO]},
    )
    (problem,) = validate({"train": file}, SEARCH)
    assert str(problem) == (
        f"{file}:2: bad-negative: a negative is the code of line 1, which has the same query; take it out of the "
        "negatives"
    )
    programs = rows_file(
        tmp_path / "b.jsonl",
        {"label": "1", "code": ONE, "negatives": [TWO]},
        {"label": "1", "code": TWO, "negatives": [three]},
        {"label": "2", "code": three},
    )
    (problem,) = validate({"train": programs}, TASKS["clone-retrieval"].schema)
    assert problem.line == 1
    assert "a negative is the code of line 2, which has the same label" in problem.message


def test_rows_that_differ_in_their_negatives_are_no_duplicates(tmp_path: Path):
    """As triplets repeat the query and its answer for every negative."""
    triplets = [PAIR | {"negative": ONE}, PAIR | {"negative": TWO}]
    assert validate({"train": rows_file(tmp_path / "a.jsonl", *triplets)}, SEARCH) == []
    (problem,) = validate({"train": rows_file(tmp_path / "b.jsonl", *triplets, triplets[0])}, SEARCH)
    assert (problem.kind, problem.line) == ("duplicate", 3)
    test = rows_file(tmp_path / "c.jsonl", PAIR)
    (problem,) = validate({"train": tmp_path / "a.jsonl", "test": test}, SEARCH)
    assert problem.kind == "overlap"


def test_csv_and_parquet(tmp_path: Path):
    csv = tmp_path / "a.csv"
    csv.write_text("query,code,negative_1,negative_2\nq,c c,a a,\nr,d d,,\n", encoding="utf-8")
    assert read(str(csv), SEARCH.for_training())["negatives"] == [["a a"], []]
    parquet = tmp_path / "a.parquet"
    columns = {"query": ["q", "r"], "code": ["c c", "d d"], "negatives": [["a a", "b b"], None]}
    pyarrow.parquet.write_table(pyarrow.table(columns), parquet)
    assert read(str(parquet), SEARCH.for_training())["negatives"] == [["a a", "b b"], []]


def test_a_task_without_negatives_has_no_such_column():
    assert TASKS["clone"].schema.for_training() is TASKS["clone"].schema
    with pytest.raises(ConfigError, match="cannot map 'negatives': the columns of task 'clone' are left, right, label"):
        RowReader(TASKS["clone"].schema.for_training(), {"negatives": "x"}, "f")
