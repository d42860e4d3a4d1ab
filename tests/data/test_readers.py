from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telly.data import readers
from telly.data.readers import read
from telly.data.schema import Column, Schema, parse_mapping
from telly.errors import ConfigError, DataError
from telly.tasks import TASKS, get_spec

pytest_plugins = ["handwritten"]
pytestmark = pytest.mark.usefixtures("own_cache")
SEARCH = TASKS["search"].schema
ROWS = [{"query": f"do thing {i}", "code": f"def f{i}():\n    return {i}"} for i in range(3)]
FORMATS = ".jsonl, .json, .csv, .tsv, .parquet (all but the last also with .gz)"
QUERY_NAMES = "query, docstring_tokens, func_documentation_tokens, docstring, func_documentation_string, doc, nl"
Write = Callable[..., Path]


def write_as(suffix: str, rows: list[dict[str, Any]], folder: Path) -> Path:
    file = folder / f"data{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif suffix == ".json":
        file.write_text(json.dumps(rows, indent=2))
    elif suffix.endswith(".gz"):
        file.write_bytes(gzip.compress(write_as(suffix.removesuffix(".gz"), rows, folder).read_bytes()))
    else:
        separator = "," if suffix == ".csv" else "\t"
        lines = [separator.join(rows[0])]
        lines += [separator.join('"' + text.replace('"', '""') + '"' for text in row.values()) for row in rows]
        file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".csv.gz", ".json.gz"])
def test_every_format_gives_the_same_rows(suffix: str, tmp_path: Path) -> None:
    extra = [{"id": str(i), **row} for i, row in enumerate(ROWS)]
    data = read(str(write_as(suffix, extra, tmp_path)), SEARCH)
    assert data.to_list() == ROWS
    assert data.column_names == ["query", "code"]
    assert {feature.dtype for feature in data.features.values()} == {"string"}


def test_data_is_on_disk_in_the_cache_folder(write: Write, own_cache: Path) -> None:
    data = read(str(write("a.jsonl", *ROWS)), SEARCH)
    assert data.cache_files and all(own_cache in Path(file["filename"]).parents for file in data.cache_files)


def test_cache_that_cannot_be_written(write: Write, own_cache: Path) -> None:
    own_cache.write_text("a file where the folder should be")
    file = write("a.jsonl", *ROWS)
    with pytest.raises(DataError) as error:
        read(str(file), SEARCH)
    assert str(error.value).startswith(f"{file}: cannot be written to the cache {own_cache}: ")
    assert str(error.value).endswith("; free space there or set HF_DATASETS_CACHE to a folder that can be written")


def test_changed_file_is_read_again(write: Write) -> None:
    file = write("a.jsonl", *ROWS)
    assert read(str(file), SEARCH)["query"][0] == "do thing 0"
    write("a.jsonl", {**ROWS[0], "query": "do thing 9"}, *ROWS[1:])  # the same size
    assert read(str(file), SEARCH)["query"][0] == "do thing 9"


def test_codesearchnet_tokens_are_joined_and_come_before_strings(write: Write) -> None:
    row = {
        "docstring": "Adds.\n\n:param x: it",
        "docstring_tokens": ["Adds", "."],
        "code": 'def f(x):\n  """Adds."""',
        "code_tokens": ["def", "f"],
        "url": "u",
    }
    assert read(str(write("a.jsonl", row)), SEARCH).to_list() == [{"query": "Adds .", "code": "def f"}]
    strings = {"docstring": "Adds.", "code": "def f(x):\n  return x"}
    assert read(str(write("b.jsonl", strings)), SEARCH).to_list() == [{"query": "Adds.", "code": strings["code"]}]


def test_token_lists_in_parquet(tmp_path: Path) -> None:
    file = write_as(".parquet", [{"func_documentation_tokens": ["a", "b"], "func_code_tokens": ["x", "y"]}], tmp_path)
    assert read(str(file), SEARCH).to_list() == [{"query": "a b", "code": "x y"}]


def test_mapping_goes_before_the_known_names(write: Write) -> None:
    file = write("a.jsonl", {"query": "no", "summary_text": "yes", "body": "pass", "code": "no"})
    mapping = parse_mapping(["query=summary_text", "code = body"], SEARCH)
    assert read(str(file), SEARCH, mapping).to_list() == [{"query": "yes", "code": "pass"}]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["query"], "cannot read the mapping 'query'; expected NAME=COLUMN such as query=doc"),
        (["query=a", "query=b"], "'query' is mapped twice: to 'a' and to 'b'"),
        (["kode=a"], "cannot map 'kode': the columns of task 'search' are query, code"),
        (["query=a", "code=a"], "two columns read the same data (query=a, code=a); map each to its own column"),
    ],
)
def test_bad_mapping(pairs: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_mapping(pairs, SEARCH)
    assert str(error.value) == message


def test_unknown_task() -> None:
    with pytest.raises(ConfigError, match=r"^unknown task 'serch'; did you mean 'search'\?$"):
        get_spec("serch")


def test_labels_become_strings(write: Write) -> None:
    schema = Schema("private", (Column("text"), Column("label", "label", aliases=("target",))))
    file = write("a.jsonl", *({"text": "t", "target": label} for label in (0, True, " bug ")))
    assert read(str(file), schema)["label"][:] == ["0", "1", "bug"]


def test_limit(write: Write) -> None:
    file = write("a.jsonl", *ROWS, "broken")
    assert read(str(file), SEARCH, limit=2).to_list() == ROWS[:2]
    with pytest.raises(DataError, match=r"cannot read 0 rows of .*; expected a limit of at least 1"):
        read(str(file), SEARCH, limit=0)


BAD = [
    ("{broken", "bad-json: Expecting property name enclosed in double quotes at column 2; expected one JSON object"),
    ("[1]", "not-an-object: found a list; expected an object with one entry per column"),
    ("7", "not-an-object: found a number; expected an object with one entry per column"),
    ({"query": " ", "code": "c"}, "empty-text: 'query' has no text; fill it or delete the row"),
    ({"query": [], "code": "c"}, "empty-text: 'query' has no text; fill it or delete the row"),
    (
        {"query": None, "code": "c"},
        "wrong-type: 'query' must be a string or a list of strings, found null",
    ),
    (
        {"query": "q", "code": ["a", 1]},
        "wrong-type: 'code' must be a string or a list of strings, found number 1 in the list",
    ),
    (
        {"query": "q", "kode": "c"},
        "missing-column: column 'code' is not here, but in the rows before; found query, kode; give all rows the same",
    ),
    (
        '{"query": "q", "code": "\\ud800"}',
        "bad-encoding: 'code' is not valid Unicode at character 1; save as UTF-8",
    ),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_bad_row_stops_reading_with_file_and_line(row: Any, message: str, write: Write) -> None:
    file = write("a.jsonl", ROWS[0], "", row, ROWS[1])
    with pytest.raises(DataError) as error:
        read(str(file), SEARCH)
    advice = f"`telly data validate {file} --task search` lists all problems"
    assert str(error.value) == f"{file}:3: {message}; {advice}"
    assert not isinstance(error.value.__cause__, Exception)


def test_bad_file_leaves_nothing_that_a_second_read_would_take_for_good(write: Write) -> None:
    file = write("a.jsonl", *ROWS, "{broken")
    for _ in range(2):
        with pytest.raises(DataError, match="bad-json"):
            read(str(file), SEARCH)


def test_missing_column_names_what_is_there(write: Write) -> None:
    file = write("a.jsonl", {"docstrings": "q", "code": "c"})
    with pytest.raises(DataError) as error:
        read(str(file), SEARCH)
    assert str(error.value).startswith(
        f"{file}:1: missing-column: no column for 'query': expected one of {QUERY_NAMES}, comment, summary; "
        "found docstrings, code; use --map query=docstrings; "
    )


def test_mapped_column_that_is_not_there(write: Write) -> None:
    file = write("a.jsonl", *ROWS)
    with pytest.raises(DataError) as error:
        read(str(file), SEARCH, {"query": "doc"})
    assert "no column for 'query': expected 'doc'; found query, code; use --map query=COLUMN" in str(error.value)


def test_csv_lines_are_counted_over_quoted_line_breaks(write: Write) -> None:
    file = write("a.csv", "query,code", 'q1,"def f():\n  pass"', "", "q2,a,b")
    with pytest.raises(
        DataError, match=r"a.csv:5: bad-csv: found 3 fields; expected 2 as in the header \(query, code\)"
    ):
        read(str(file), SEARCH)


def test_large_csv_field(tmp_path: Path) -> None:
    rows = [{"query": "q", "code": "x" * 300_000}]
    assert read(str(write_as(".csv", rows, tmp_path)), SEARCH).to_list() == rows


def test_byte_order_mark(tmp_path: Path) -> None:
    for suffix in (".jsonl", ".json", ".csv"):
        file = write_as(suffix, ROWS, tmp_path)
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
        assert read(str(file), SEARCH).to_list() == ROWS


def test_json_file_may_hold_json_lines_as_codexglue_does(write: Write) -> None:
    assert read(str(write("train.json", *ROWS)), SEARCH).to_list() == ROWS


def test_no_rows(write: Write) -> None:
    file = write("a.jsonl")
    with pytest.raises(DataError) as error:
        read(str(file), SEARCH)
    assert str(error.value) == f"{file}: has no rows; expected at least one"


def test_no_such_file_and_unknown_format(tmp_path: Path, write: Write) -> None:
    with pytest.raises(DataError) as error:
        read(f"{tmp_path}/none.jsonl", SEARCH)
    assert str(error.value) == f"{tmp_path}/none.jsonl: no such file or folder; expected {FORMATS}"
    with pytest.raises(DataError) as error:
        read(str(write("a.xml", "<a/>")), SEARCH)
    assert str(error.value) == f"{tmp_path}/a.xml: unknown format '.xml'; expected {FORMATS}"


def test_folder_is_read_by_split(write: Write, tmp_path: Path) -> None:
    for name, row in zip(("train-00000.jsonl", "train-00001.jsonl", "dev.jsonl"), ROWS, strict=True):
        write(f"set/{name}", row)
    folder = str(tmp_path / "set")
    assert read(folder, SEARCH, split="train").to_list() == ROWS[:2]
    assert read(folder, SEARCH, split="valid").to_list() == ROWS[2:]
    with pytest.raises(DataError) as error:
        read(folder, SEARCH)
    assert str(error.value) == f"{folder}: has several splits (train, valid); name one of them, or one file"
    with pytest.raises(DataError) as error:
        read(folder, SEARCH, split="test")
    assert str(error.value) == (
        f"{folder}: no file for the split 'test'; found dev.jsonl, train-00000.jsonl, train-00001.jsonl; "
        "expected such as test.jsonl"
    )


def test_folder_without_data(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read(str(tmp_path), SEARCH)
    assert str(error.value) == f"{tmp_path}: no data in this folder; expected files {FORMATS}"


def test_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "hub_answers", lambda: False)
    started = time.monotonic()
    with pytest.raises(DataError) as error:
        read("some-owner/some-data:python", SEARCH)
    assert str(error.value) == (
        "some-owner/some-data:python: no such file or folder, and the Hugging Face hub cannot be reached to look for "
        "a data set of this name (nor is it in the cache); check the path, or go online and run the command again"
    )
    assert time.monotonic() - started < 20
    assert not datasets.config.HF_HUB_OFFLINE


def test_hub_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(*args: Any, **kwargs: Any) -> datasets.Dataset:
        asked.append((args, kwargs))
        return datasets.Dataset.from_list([{"func_documentation_tokens": ["a"], "func_code_tokens": ["b", "c"]}])

    monkeypatch.setattr(readers, "hub_answers", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert read("owner/name:python", SEARCH, limit=7).to_list() == [{"query": "a", "code": "b c"}]
    assert asked == [(("owner/name", "python"), {"split": "train[:7]"})]


def test_hub_without_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*args: Any, **kwargs: Any) -> datasets.Dataset:
        raise ValueError("Unknown split\nmore")

    monkeypatch.setattr(readers, "hub_answers", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError) as error:
        read("owner/name", SEARCH, split="test")
    assert str(error.value) == (
        "owner/name: no such file or folder, and the Hugging Face hub does not give it as a data set with the split "
        "'test': Unknown split; check the path, or write owner/name or owner/name:config"
    )


def test_progress_bars_are_as_before(write: Write) -> None:
    before = datasets.are_progress_bars_disabled()
    read(str(write("a.jsonl", *ROWS)), SEARCH)
    assert datasets.are_progress_bars_disabled() == before


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.fixed_dictionaries({"query": text, "code": text}), min_size=1, max_size=5))
def test_any_text_survives(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    for suffix in (".jsonl", ".json", ".parquet"):
        assert read(str(write_as(suffix, rows, tmp_path)), SEARCH).to_list() == rows


def test_real_codesearchnet_layout(shared_folder: Path) -> None:
    file = shared_folder / "data" / "java-search" / "train.jsonl"
    if not file.exists():
        pytest.skip("needs data/java-search in the folder `shared`")
    data = read(str(file), SEARCH)
    assert len(data) == sum(1 for _ in file.open())
    first = json.loads(file.open().readline())
    assert data[0] == {"query": " ".join(first["docstring_tokens"]), "code": " ".join(first["code_tokens"])}
