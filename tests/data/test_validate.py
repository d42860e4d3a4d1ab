from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from telly.cli.data import app
from telly.data.schema import Column, RowProblem, Schema
from telly.data.validate import KINDS, check, validate
from telly.errors import ConfigError, DataError
from telly.tasks import TASKS

pytest_plugins = ["handwritten"]
pytestmark = pytest.mark.usefixtures("own_cache")
SEARCH = TASKS["search"].schema
LABELLED = Schema("private", (Column("text"), Column("label", "label")), key="text")
Write = Callable[..., Path]


def pair(i: int) -> dict[str, str]:
    return {"query": f"do thing {i}", "code": f"def f{i}(): return {i}"}


def found(problems: list[RowProblem]) -> list[tuple[int | None, str]]:
    return [(problem.line, problem.kind) for problem in problems]


def test_good_file_has_no_problems(write: Write) -> None:
    file = write("a.jsonl", *map(pair, range(5)), "")
    report = check({"train": file}, SEARCH)
    assert report.problems == []
    assert report.rows == {str(file): 5}


def test_all_problems_are_found_in_line_order(write: Write) -> None:
    file = write(
        "a.jsonl",
        pair(1),
        "{broken",
        pair(2),
        [3],
        {"query": "", "code": None},
        {"query": "alone"},
        {"query": "do  thing\n1", "code": pair(1)["code"]},
        '{"query": "q", "code": "\\udc00"}',
        pair(3),
    )
    problems = validate({"train": file}, SEARCH)
    assert found(problems) == [
        (2, "bad-json"),
        (4, "not-an-object"),
        (5, "empty-text"),
        (5, "wrong-type"),
        (6, "missing-column"),
        (7, "duplicate"),
        (8, "bad-encoding"),
    ]
    assert str(problems[-2]) == f"{file}:7: duplicate: repeats line 1; delete one of them"
    assert {problem.kind for problem in problems} <= KINDS.keys()


def test_missing_column_in_all_rows_is_said_once(write: Write) -> None:
    file = write("a.jsonl", *({"query": f"q{i}", "body": "c"} for i in range(1200)))
    (problem,) = validate({"train": file}, SEARCH)
    assert problem.line == 1
    assert problem.message == (
        "no column for 'code': expected one of code_tokens, function_tokens, func_code_tokens, code, function, func, "
        "func_code_string; found query, body; use --map code=COLUMN (in all 1,200 rows)"
    )
    assert found(validate({"train": file}, SEARCH, {"code": "body"})) == []


def test_rows_of_two_layouts_are_not_mixed(write: Write) -> None:
    file = write("a.jsonl", {"docstring": "a", "code": "c"}, {"doc": "b", "code": "d"})
    (problem,) = validate({"train": file}, SEARCH)
    assert str(problem) == (
        f"{file}:2: missing-column: column 'docstring' is not here, but in the rows before; "
        "found doc, code; give all rows the same"
    )


def test_one_class(write: Write) -> None:
    same = write("same.jsonl", *({"text": f"t{i}", "label": 1} for i in range(3)))
    assert list(map(str, validate({"train": same}, LABELLED))) == [
        f"{same}: one-class: 'label' is '1' in all 3 rows; expected at least two classes"
    ]
    both = write("both.jsonl", *({"text": f"t{i}", "label": i % 2} for i in range(3)))
    assert validate({"train": both}, LABELLED) == []


def test_bad_labels(write: Write) -> None:
    rows = [{"text": f"t{i}", "label": label} for i, label in enumerate((0, 1, 0.5, None, " ", []))]
    problems = validate({"train": write("a.jsonl", *rows)}, LABELLED)
    assert found(problems) == [(3, "wrong-type"), (4, "wrong-type"), (5, "empty-text"), (6, "wrong-type")]
    assert problems[0].message == "'label' must be a string, an integer or true/false, found number 0.5"


def test_overlap_of_rows_and_of_code(write: Write) -> None:
    train = write("train.jsonl", *map(pair, range(5)))
    test = write("test.jsonl", pair(7), pair(3), {"query": "other words", "code": f"  {pair(2)['code']}\n"})
    valid = write("valid.jsonl", pair(0), pair(7))
    problems = validate({"test": test, "valid": valid, "train": train}, SEARCH)
    assert list(map(str, problems)) == [
        f"{test}:2: overlap: the row also occurs in {train}:4; keep it in one of the two",
        f"{test}:3: overlap: the code also occurs in {train}:3; keep it in one of the two",
        f"{valid}:1: overlap: the row also occurs in {train}:1; keep it in one of the two",
    ]


def test_same_query_for_other_code_is_no_overlap(write: Write) -> None:
    train, test = write("train.jsonl", pair(1)), write("test.jsonl", {**pair(1), "code": "other"})
    assert validate({"train": train, "test": test}, SEARCH) == []


def test_overlap_with_every_file_of_a_folder(write: Write, tmp_path: Path) -> None:
    write("set/train-0.jsonl", pair(0))
    second = write("set/train-1.jsonl", pair(1))
    write("set/test.jsonl", pair(2), pair(1))
    folder = tmp_path / "set"
    problems = validate({"train": folder, "test": folder}, SEARCH)
    assert found(problems) == [(2, "overlap")]
    assert f"{second}:1" in problems[0].message


@pytest.mark.parametrize(
    ("name", "content", "kind", "line"),
    [
        ("a.jsonl", b'{"query": "q", "code": "\xff"}\n', "bad-encoding", 1),
        ("a.csv", b"query,code\nq,\xff\n", "bad-encoding", 2),
        ("a.csv", b"query,\xff\nq,c\n", "bad-encoding", 1),
        ("a.csv", b'query,code\nq,"c\n', "bad-csv", 2),
        ("a.csv", b"query,query\na,b\n", "bad-csv", 1),
        ("a.csv", b"query,code\nq,c,d\nq,\n", "bad-csv", 2),
        ("a.json", b'[{"query": "q", "code": "c"},\n\n{"query": ]', "bad-json", 3),
        ("a.json", b'[{"query": "q", "code": "c"}\n{}]', "bad-json", 2),
        ("a.json", b'[{"query": "q", "code": "c"}', "bad-json", 1),
        ("a.json", b'[{"query": "q", "code": "c"}]\n\n"more"', "bad-json", 3),
        ("a.json", b'[\n3, {"query": "q", "code": "c"}]', "not-an-object", 2),
        ("a.json", b"[\xff]", "bad-encoding", None),
        ("a.json", b"[]", "no-rows", None),
        ("a.jsonl", b"[" * 100_000, "bad-json", 1),
        ("a.jsonl", b'{"query": ' + b"9" * 5000 + b"}", "bad-json", 1),
        ("a.parquet", b"PAR1 not really", "bad-parquet", 1),
        ("a.jsonl.gz", b"not packed", "bad-archive", None),
        ("a.jsonl.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "bad-archive", None),
        ("a.jsonl", b"", "no-rows", None),
        ("a.csv", b"query,code\n", "no-rows", None),
    ],
)
def test_broken_files(name: str, content: bytes, kind: str, line: int | None, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    problems = validate({"train": file}, SEARCH)
    assert (line, kind) in found(problems)
    for problem in problems:
        str(problem).encode()  # can be printed


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        validate({"train": tmp_path / "none.jsonl"}, SEARCH)


def test_reader_refuses_exactly_what_the_check_finds(write: Write) -> None:
    from telly.data.readers import read

    for row in ("{", "3", {"query": "q"}, {"query": "", "code": "c"}, {"query": 3, "code": "c"}):
        file = write("a.jsonl", pair(0), row)
        (problem,) = validate({"train": file}, SEARCH)
        with pytest.raises(DataError) as error:
            read(str(file), SEARCH)
        assert str(error.value).startswith(str(problem))


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["validate", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_command_line_reports_and_exits_with_2(write: Write) -> None:
    good = write("good.jsonl", *map(pair, range(3)))
    assert run(good) == (0, "3 rows in 1 file: no problems\n")
    bad = write("bad.jsonl", pair(0), "{", pair(0))
    assert run(bad, "--task", "search") == (
        2,
        f"{bad}:2: bad-json: Expecting property name enclosed in double quotes at column 2; expected one JSON object\n"
        f"{bad}:3: duplicate: repeats line 1; delete one of them\n"
        "2 rows in 1 file: 2 problems (1 bad-json, 1 duplicate)\n",
    )


def test_command_line_compares_with_the_training_data(write: Write) -> None:
    train, test = write("train.jsonl", pair(0), pair(1)), write("test.jsonl", pair(1))
    expected = (
        2,
        f"{test}:1: overlap: the row also occurs in {train}:2; keep it in one of the two\n"
        "3 rows in 2 files: 1 problem (1 overlap)\n",
    )
    assert run(test, "--train", train) == expected
    assert run(train, "--test", test) == expected
    assert run(train, "--valid", test) == expected


def test_command_line_json_and_mapping(write: Write) -> None:
    file = write("a.jsonl", {"doc": "q", "body": "c"}, {"doc": "q", "body": " "})
    code, output = run(file, "--map", "query=doc", "--map", "code=body", "--json")
    assert code == 2
    message = "'body' has no text; fill it or delete the row"
    assert json.loads(output) == {
        "rows": {str(file): 2},
        "counts": {"empty-text": 1},
        "problems": [{"file": str(file), "line": 2, "kind": "empty-text", "message": message}],
    }


def test_command_line_for_pairs(write: Write) -> None:
    write("data.jsonl", *({"idx": i, "func": f"f{i}"} for i in range(4)))
    train, test = write("train.txt", "0 1 1", "2 3 0"), write("test.txt", "1 0 1", "0 2 0", "1 3 1")
    assert run(train, "--task", "clone", "--test", test) == (
        2,
        f"{test}:1: overlap: the pair also occurs in {train}:1; keep it in one of the two\n"
        "5 rows in 2 files: 1 problem (1 overlap)\n",
    )
    folder = train.parent
    assert run(folder, "--task", "clone", "--test", folder) == run(train, "--task", "clone", "--test", test)


def test_help_names_all_tasks_and_gives_an_example_for_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, output = run("--help")
    text = " ".join(output.replace("│", " ").split())
    assert code == 0
    assert f"Task that the data is for: {', '.join(TASKS)}." in text
    assert "telly data validate DIR/train.txt --task clone --test DIR/test.txt" in text


def test_command_line_refuses_unknown_task(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"^unknown task 'poetry'; known: "):
        run(write("a.jsonl", pair(0)), "--task", "poetry")


def test_real_data_has_known_overlap(shared_folder: Path) -> None:
    folder = shared_folder / "data" / "java-search"
    if not folder.is_dir():
        pytest.skip("needs data/java-search in the folder `shared`")
    report = check({split: folder / f"{split}.jsonl" for split in ("train", "valid", "test")}, SEARCH)
    assert sum(report.rows.values()) == 8714
    assert report.counts() == {"duplicate": 300, "overlap": 156}
