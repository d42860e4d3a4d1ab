"""Raw rows of data files with their line numbers: JSON lines, JSON arrays, CSV, TSV and Parquet.

Nothing here raises on bad content: what cannot be read comes as a `Problem` in its place, so that one pass can report
everything. Files are streamed; only a JSON array is held in memory, as text.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from telly.data.schema import Problem
from telly.errors import DataError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
PACKED_SUFFIXES = tuple(f"{suffix}.gz" for suffix in SUFFIXES[:-1])
SPLIT_NAMES = {"train": ("train",), "valid": ("valid", "validation", "dev"), "test": ("test",)}
MAX_FIELD = 2**27
PARQUET_BATCH = 1000


@dataclass(frozen=True)
class Row:
    """One row before any check; `line` is where it starts, from 1."""

    line: int
    values: dict[str, object]


def format_of(path: Path) -> str | None:
    """The suffix that decides the format, without `.gz`; None where it is not one of ours."""
    name = path.name.lower()
    known = (suffix for suffix in SUFFIXES + PACKED_SUFFIXES if name.endswith(suffix))
    return next((suffix.removesuffix(".gz") for suffix in known), None)


def data_files(path: Path, split: str | None = None) -> list[Path]:
    """The files of a data set: the file itself, or those in a folder, in name order.

    In a folder a split is found by name: `train.jsonl`, `train-00000-of-00002.parquet`; `dev` and `validation` are
    `valid`. A single file is a split by itself, whatever its name.

    Raises:
        DataError: there is nothing to read, the format is unknown, or the folder has several splits and none is named.
    """
    if not path.is_dir():
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; expected {_formats()}")
        if format_of(path) is None:
            raise DataError(f"{path}: unknown format {path.suffix!r}; expected {_formats()}")
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file() and format_of(file) is not None)
    if not files:
        raise DataError(f"{path}: no data in this folder; expected files {_formats()}")
    by_split = {file: _split_of(file) for file in files}
    present = sorted({name for name in by_split.values() if name is not None})
    if split is None:
        if len(present) > 1:
            raise DataError(f"{path}: has several splits ({', '.join(present)}); name one of them, or one file")
        return files
    wanted = _split_of(Path(split)) or split
    picked = [file for file, name in by_split.items() if (name or file.name.split(".")[0]) == wanted]
    if not picked:
        names = ", ".join(file.name for file in files)
        raise DataError(f"{path}: no file for the split {split!r}; found {names}; expected such as {split}.jsonl")
    return picked


def raw_rows(path: Path) -> Iterator[Row | Problem]:
    """Stream the rows of one file.

    Raises:
        DataError: the file cannot be opened or its format is unknown.
    """
    suffix = format_of(path)
    if suffix is None:
        raise DataError(f"{path}: unknown format {path.suffix!r}; expected {_formats()}")
    try:
        if suffix == ".parquet":
            yield from _parquet_rows(path)
            return
        with _open(path) as stream:
            if suffix in {".csv", ".tsv"}:
                yield from _csv_rows(stream, str(path), "\t" if suffix == ".tsv" else ",")
            elif suffix == ".json" and _starts_with_bracket(stream):
                yield from _array_rows(stream, str(path))
            else:
                yield from _json_rows(stream, str(path))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Problem(str(path), None, "bad-archive", f"the gzip file is damaged ({error}); pack or download it again")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _formats() -> str:
    return f"{', '.join(SUFFIXES)} (all but the last also with .gz)"


def _split_of(file: Path) -> str | None:
    first = re.split(r"[-_.]", file.name.lower(), maxsplit=1)[0]
    return next((name for name, prefixes in SPLIT_NAMES.items() if first in prefixes), None)


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def _starts_with_bracket(stream: IO[bytes]) -> bool:
    found = stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    stream.seek(0)
    return found


def _json_rows(stream: IO[bytes], file: str) -> Iterator[Row | Problem]:
    """JSON lines. Blank lines hold no row and are passed over."""
    for number, raw in enumerate(stream, start=1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if not line:
                continue
            values = json.loads(line)
        except UnicodeDecodeError as error:
            message = f"byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8"
            yield Problem(file, number, "bad-encoding", message)
        except json.JSONDecodeError as error:
            yield Problem(file, number, "bad-json", f"{error.msg} at column {error.colno}; expected one JSON object")
        except (ValueError, RecursionError) as error:
            yield Problem(file, number, "bad-json", f"{error}; expected one JSON object")
        else:
            yield _object(values, number, file)


def _array_rows(stream: IO[bytes], file: str) -> Iterator[Row | Problem]:
    """A JSON array of objects, read one element at a time; after an error the rest cannot be found."""
    decoder, line, done = json.JSONDecoder(), 1, 0
    try:
        text = stream.read().decode("utf-8-sig")
        at = _skip(text, text.index("[") + 1)
        while text[at : at + 1] != "]":
            values, end = decoder.raw_decode(text, at)
            line += text.count("\n", done, at)
            done = at
            yield _object(values, line, file)
            at = _skip(text, end)
            if text[at : at + 1] == ",":
                at = _skip(text, at + 1)
            elif text[at : at + 1] != "]":
                raise json.JSONDecodeError("Expecting ',' or ']'", text, at)
        at = _skip(text, at + 1)
        if at < len(text):
            raise json.JSONDecodeError("Extra data", text, at)
    except UnicodeDecodeError as error:
        yield Problem(file, None, "bad-encoding", f"byte {error.start + 1} is not UTF-8; save the file as UTF-8")
    except json.JSONDecodeError as error:
        message = f"{error.msg} at column {error.colno}; expected an array of JSON objects; what follows is not read"
        yield Problem(file, error.lineno, "bad-json", message)
    except (ValueError, RecursionError) as error:
        yield Problem(file, line, "bad-json", f"{error}; expected an array of JSON objects; what follows is not read")


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _object(values: object, line: int, file: str) -> Row | Problem:
    if isinstance(values, dict):
        return Row(line, values)
    names = {list: "a list", str: "a string", type(None): "null", bool: "true or false"}
    found = names.get(type(values), "a number")
    return Problem(file, line, "not-an-object", f"found {found}; expected an object with one entry a column")


def _csv_rows(stream: IO[bytes], file: str, separator: str) -> Iterator[Row | Problem]:
    """CSV with a header line; a quoted field may run over several lines."""
    csv.field_size_limit(MAX_FIELD)  # the default of 128 KiB is less than some source files
    # Bytes that are not UTF-8 become surrogates here and are reported with their column when the row is checked.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, delimiter=separator, strict=True)
    header: list[str] | None = None
    start = 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Problem(file, start, "bad-csv", f'{error}; quote fields with " and double a quote within')
            start = reader.line_num + 1
            continue
        line, start = start, reader.line_num + 1
        if not fields:
            continue  # a blank line
        if header is None:
            header = fields
            if not all(name.isprintable() for name in header):
                yield Problem(file, line, "bad-encoding", "the header has names that are not UTF-8; save as UTF-8")
                return
            if len(set(header)) < len(header):
                twice = ", ".join(sorted({name for name in header if header.count(name) > 1}))
                yield Problem(file, line, "bad-csv", f"the header names {twice} more than once; rename the columns")
                return
        elif len(fields) != len(header):
            message = f"found {len(fields)} fields; expected {len(header)} as in the header ({', '.join(header)})"
            yield Problem(file, line, "bad-csv", message)
        else:
            yield Row(line, dict(zip(header, fields, strict=True)))


def _parquet_rows(path: Path) -> Iterator[Row | Problem]:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=PARQUET_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, values)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        yield Problem(str(path), number + 1, "bad-parquet", f"not a sound Parquet file: {reason}")
