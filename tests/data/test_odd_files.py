"""Data files that are not quite as expected: read rightly, or refused with advice that helps when it is followed."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import shlex
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from telly.cli import app
from telly.data.formats import raw_rows
from telly.data.readers import read
from telly.data.schema import DataRow, RowReader
from telly.data.validate import validate
from telly.data.warnings import warnings_about
from telly.errors import DataError
from telly.tasks import TASKS

CLASSIFY = TASKS["classify"].schema
ROWS = [{"code": "a b", "label": "0"}, {"code": "c, d; e", "label": "1"}]


def check(file: Path, *options: str, task: str = "classify") -> tuple[int, str]:
    """Exit code and output of `telly data validate`."""
    answer = CliRunner().invoke(app, ["data", "validate", str(file), "--task", task, *options])
    return answer.exit_code, answer.output


def write(file: Path, content: str | bytes) -> Path:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("blanks.csv", 'code, label\na b, 0\n"c, d; e", 1\n'),
        ("blanks_after_quotes.csv", 'code, label\na b, 0\nx, "1"\n'.replace("x", '"c, d; e"')),
        ("padded.csv", 'code ,label\na b,0\n"c, d; e",1\n'),
        ("semicolons.csv", 'code;label\na b;0\n"c, d; e";1\n'),
        ("quoted.csv", '"code";"label"\n"a b";"0"\n"c, d; e";"1"\n'),
        ("tabs.csv", "code\tlabel\na b\t0\nc, d; e\t1\n"),
        ("bars.csv", "code|label\na b|0\nc, d; e|1\n"),
        ("commas.tsv", 'code,label\na b,0\n"c, d; e",1\n'),
        ("mark.csv", '\ufeffcode,label\na b,0\n"c, d; e",1\n'),
        ("mark_and_quotes.csv", '\ufeff"code";"label"\n"a b";0\n"c, d; e";1\n'),
        ("excel.csv", 'sep=;\r\ncode;label\r\na b;0\r\n"c, d; e";1\r\n'),
        ("blank_lines.csv", '\n\ncode;label\na b;0\n\n"c, d; e";1\n'),
        ("old_mac.csv", 'code,label\ra b,0\r"c, d; e",1\r'),
    ],
)
def test_separated_files_of_other_habits_are_read_rightly(name: str, content: str, tmp_path: Path):
    file = write(tmp_path / name, content)
    assert read(str(file), CLASSIFY).to_list() == ROWS
    assert check(file) == (0, "2 rows in 1 file: no problems\n")


def test_the_expected_separator_goes_first(tmp_path: Path):
    file = write(tmp_path / "a.csv", "code;x,label\na;b,0\nc;d,1\n")
    assert read(str(file), CLASSIFY, {"code": "code;x"})["code"][:] == ["a;b", "c;d"]


@given(
    header=st.permutations(["code", "label", "note"]),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    quoted=st.booleans(),
    blank=st.booleans(),
    mark=st.booleans(),
    texts=st.lists(st.text(alphabet="ab,;|\t\"' \n", min_size=1).filter(str.strip), min_size=1, max_size=4),
)
def test_every_dialect_gives_the_same_rows(
    header: list[str], separator: str, quoted: bool, blank: bool, mark: bool, texts: list[str],
    tmp_path_factory: pytest.TempPathFactory,
):  # fmt: skip
    def line(cells: list[str], quoted: bool) -> str:
        shown = ['"' + cell.replace('"', '""') + '"' if quoted else cell for cell in cells]
        return (separator + " " * blank).join(shown) + "\n"

    rows = [{"code": text, "label": str(i), "note": "n"} for i, text in enumerate(texts)]
    content = line(header, quoted) + "".join(line([row[name] for name in header], True) for row in rows)
    file = write(tmp_path_factory.mktemp("dialect") / "a.csv", ("\ufeff" if mark else "") + content)
    assert [row.values if isinstance(row, DataRow) else row for row in raw_rows(file)] == rows


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_utf_16_is_named_and_the_advice_helps(name: str, encoding: str, tmp_path: Path):
    content = "code,label\na b,0\nc,1\n" if name == "a.csv" else '{"code":"a b","label":0}\n{"code":"c","label":1}\n'
    file = write(tmp_path / name, content.encode(encoding))
    code, output = check(file)
    assert code == 2
    assert f"{file}:1: bad-encoding: the file is UTF-16 or UTF-32, not UTF-8; save it as UTF-8" in output
    assert check(write(file, file.read_bytes().decode(encoding)))[0] == 0


def parquet(file: Path, names: list[str]) -> Path:
    pq.write_table(pa.table([pa.array(["a", "b"])] * (len(names) - 1) + [pa.array([0, 1])], names=names), file)
    return file


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.csv", "code,code,label\na,z,0\n", 1),
        ("a.csv", "code, code,label\na,z,0\n", 1),
        ("a.tsv", "code\tlabel\tlabel\na\t0\t1\n", 1),
        ("a.csv", "code;label;label\na;0;1\n", 1),
        ("a.jsonl", '{"code":"a","label":1}\n{"code":"a b","label":0,"label":1}\n', 2),
        ("a.json", '[{"code":"a","label":1},\n{"label":0,"code":"a b","label":1}]', 2),
        ("a.jsonl", '{"code":"a","label":1,"note":1,"note":1}\n', 1),
    ],
)
def test_a_column_or_key_given_twice_is_refused(name: str, content: str, line: int, tmp_path: Path):
    file = write(tmp_path / name, content)
    code, output = check(file)
    assert code == 2
    assert output.startswith(f"{file}:{line}: bad-")
    assert "more than once" in output
    with pytest.raises(DataError, match="more than once"):
        read(str(file), CLASSIFY)


def test_a_column_twice_in_parquet_is_refused(tmp_path: Path):
    code, output = check(parquet(tmp_path / "a.parquet", ["code", "code", "label"]))
    assert code == 2
    assert "bad-parquet: the table has 'code' more than once" in output


@pytest.mark.parametrize("names", [["code", " code", "label"], ["code", "label", "label "]])
def test_names_that_differ_in_blanks_alone_are_the_same_name(names: list[str], tmp_path: Path):
    """In a header of CSV the blanks do not count, so they do not in the other formats."""
    values = json.dumps(dict(zip(names, ["a", "b", "c"], strict=True)))
    for file in (
        write(tmp_path / "a.jsonl", values),
        write(tmp_path / "a.json", f"[{values}]"),
        parquet(tmp_path / "a.parquet", names),
        write(tmp_path / "a.csv", ",".join(names) + "\na,b,c\n"),
    ):
        code, output = check(file)
        assert code == 2
        assert "more than once" in output


OBJECTS = [{"code": "a b", "label": 0}, {"code": "c, d; e", "label": 1}]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.gz", "a.jsonl.gz"])
@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_of_objects_is_read_under_either_name(name: str, indent: int | None, tmp_path: Path):
    content = json.dumps(OBJECTS, indent=indent).encode()
    file = write(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    assert read(str(file), CLASSIFY).to_list() == ROWS


@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_file_of_one_object_is_one_row(indent: int | None, tmp_path: Path):
    file = write(tmp_path / "a.json", json.dumps(OBJECTS[0], indent=indent))
    assert read(str(file), CLASSIFY).to_list() == ROWS[:1]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"version": 1, "data": OBJECTS}, "the rows are a list under 'data'"),
        ({"code": ["a", "b c"], "label": [0, 1]}, "the values are stored by column"),
        ({"code": {"0": "a", "1": "b"}, "label": {"0": 0, "1": 1}}, "the values are stored by column"),
    ],
)
def test_rows_within_one_object_are_told_in_one_problem(content: object, told: str, indent: int | None, tmp_path: Path):
    code, output = check(write(tmp_path / "a.json", json.dumps(content, indent=indent)))
    assert code == 2
    assert output.splitlines()[0].startswith(f"{tmp_path / 'a.json'}:1: not-rows: {told}; expected an array of objects")
    assert output.splitlines()[1:] == ["0 rows in 1 file: 1 problem (1 not-rows)"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (gzip.compress(b"code,label\n"), "packed with gzip; add .gz to its name"),
        (b"PK\x03\x04\x14\x00\x06\x00", "a ZIP archive or a spreadsheet; unpack it, or save the sheet as CSV"),
        (b"PAR1\x15\x04", "in the Parquet format; let its name end with .parquet"),
        (lzma.compress(b"code,label\n"), "packed with xz; unpack it (unxz)"),
        (bz2.compress(b"code,label\n"), "packed with bzip2; unpack it (bunzip2)"),
    ],
    ids=["gzip", "zip", "parquet", "xz", "bzip2"],  # gzip writes the time, and names of tests must not depend on it
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_other_formats_under_a_name_of_text_are_named(name: str, content: bytes, told: str, tmp_path: Path):
    code, output = check(write(tmp_path / name, content))
    assert code == 2
    assert output.splitlines()[0] == f"{tmp_path / name}: bad-format: the file is {told}"


@pytest.mark.parametrize(
    "header", ["code:label", "code^label", "code،label", "# made by x\ncode,label", "code label", "code  label"]
)
def test_a_header_of_one_field_gives_no_advice_that_fails(header: str, tmp_path: Path):
    """A mapping of both columns to the only field there is would be refused, or read one text twice."""
    code, output = check(write(tmp_path / "a.csv", f"{header}\na,0\n"))
    assert code == 2
    assert "--map" not in output


@pytest.mark.parametrize(
    ("value", "told"), [("1.0", "found number 1.0; write it as 1"), ("0.5", "found number 0.5"), ("NaN", "number nan")]
)
def test_a_label_with_decimals_is_refused_with_what_to_write(value: str, told: str, tmp_path: Path):
    file = write(tmp_path / "a.jsonl", f'{{"code":"a","label":{value}}}\n')
    with pytest.raises(DataError, match=re.escape(f"integer or true/false, {told}") if "nan" not in told else "nan"):
        read(str(file), CLASSIFY)


def test_a_key_twice_within_a_value_that_is_not_read_is_no_problem(tmp_path: Path):
    file = write(tmp_path / "a.jsonl", '{"code":"a","label":1,"meta":{"x":1,"x":2}}\n')
    assert len(read(str(file), CLASSIFY)) == 1


def test_an_idx_twice_in_a_function_of_pairs_is_refused(tmp_path: Path):
    write(tmp_path / "data.jsonl", '{"idx":"1","func":"a","idx":"2"}\n{"idx":"2","func":"b"}\n')
    code, output = check(write(tmp_path / "train.txt", "1\t2\t1\n"), task="clone")
    assert code == 2
    assert f"{tmp_path / 'data.jsonl'}:1: bad-json: the object has 'idx' more than once" in output


def test_blanks_around_a_key_do_not_hide_it(tmp_path: Path):
    file = write(tmp_path / "a.jsonl", '{" code":"a","label ":1}\n{" code":"b","label ":0}\n')
    assert check(file)[0] == 0
    assert check(file, "--map", "label= label ")[0] == 0


NAMES = st.sampled_from(
    ["code", "func", "codes", "labels", "label", "target", "my label", "x;y", "a=b", "it's", " tab\t", "LABEL", "lable"]
)


@given(
    names=st.lists(NAMES, min_size=1, max_size=5, unique=True), task=st.sampled_from(["classify", "search", "clone"])
)
def test_a_proposed_mapping_never_leads_to_the_same_error(names: list[str], task: str):
    """What the message says is followed to the letter, as a shell would; the column is then found."""
    schema, mapping = TASKS[task].schema, dict[str, str]()
    values: dict[str, object] = dict.fromkeys(names, "1")
    for _ in schema.columns:
        problems = RowReader(schema, mapping, "f").read(1, values)
        missing = [p.message for p in problems if p.kind == "missing-column"] if isinstance(problems, list) else []
        advised = [message for message in missing if "--map" in message and not message.endswith("=COLUMN")]
        if not advised:
            return
        name, _, source = shlex.split(advised[0][advised[0].index("--map ") :])[1].partition("=")
        mapping[name] = source
        after = RowReader(schema, mapping, "f").read(1, values)
        still = [p.message for p in after if p.kind == "missing-column"] if isinstance(after, list) else []
        assert not any(f"no column for {name!r}" in message for message in still)
        assert len(still) < len(missing), "no other column has lost its own"


def test_advice_of_a_bad_row_lists_that_row(tmp_path: Path):
    """The command that the error names is run as it stands: it reads the same file with the same mapping."""
    folder = tmp_path / "my data"
    folder.mkdir()
    write(folder / "train.jsonl", '{"body":"a","label":0}\n{"body":"b","label":1}\n')
    write(folder / "test.jsonl", '{"body":"a","label":0}\n{"body":"","label":1}\n')
    with pytest.raises(DataError) as error:
        read(str(folder), CLASSIFY, {"code": "body"}, split="test")
    first, command = str(error.value).split("; `")
    arguments = shlex.split(command.partition("`")[0])[1:]
    output = CliRunner().invoke(app, arguments).output
    assert re.search(r"test\.jsonl:2: empty-text: 'body' has no text", first)
    assert first in output
    assert "missing-column" not in output


@pytest.mark.parametrize(
    ("task", "row", "refused"),
    [
        ("summarize", '{"code":"c","summary":["Add two numbers.","Sum of two."]}', True),
        ("summarize", '{"code":"c","summary":["Add two numbers.","Sum"]}', True),
        ("search", '{"code":"c","query":["Add numbers","Sum","Plus"]}', True),
        ("generate", '{"nl":"add","code":["def f(a): pass","def g(a): pass"]}', True),
        ("summarize", '{"code":"c","docstring_tokens":["Add","two  words"]}', False),
        ("summarize", '{"code":"c","summary":["Add","two","numbers"]}', False),
        ("summarize", '{"code":"c","summary":["Add two numbers."]}', False),
        ("classify", '{"code":["print","(","\'a b\'",")"],"label":1}', False),
    ],
)
def test_several_references_are_not_joined(task: str, row: str, refused: bool, tmp_path: Path):
    _, output = check(write(tmp_path / "a.jsonl", row + "\n"), task=task)
    assert ("must be one text or a list of tokens, found a list of" in output) == refused
    assert ("keep one of several references" in output) == refused


@pytest.mark.parametrize("forms", [("1", "1.0"), ("1", "True"), ("Bug", "bug"), ("yes", "Yes")])
def test_labels_in_several_forms_are_told(forms: tuple[str, str], tmp_path: Path):
    rows = "".join(f'{{"code":"c{i}","label":"{label}"}}\n' for i, label in enumerate((*forms, "other")))
    file = write(tmp_path / "a.jsonl", rows)
    shown = " has '{}', '{}', which are 2 classes though they look like one; write them in the same way"
    told = "'label'" + shown.format(*sorted(forms))
    assert check(file)[1].startswith(f"{file}: mixed-labels: {told}")
    assert f"train: {told}" in warnings_about({"train": read(str(file), CLASSIFY)}, CLASSIFY)


def test_labels_of_another_form_than_in_training_are_told(tmp_path: Path):
    train = write(tmp_path / "train.jsonl", '{"code":"a","label":0}\n{"code":"b","label":1}\n')
    test = write(tmp_path / "test.csv", "code,label\nc,0.0\nd,1.0\n")
    found = [str(problem) for problem in validate({"train": train, "test": test}, CLASSIFY)]
    assert found == [
        f"{test}: mixed-labels: 'label' has '{n}.0' where the training data has '{n}'; write them in the same way"
        for n in (0, 1)
    ]
