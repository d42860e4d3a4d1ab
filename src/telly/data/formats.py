"""Raw rows of data files with their line numbers: JSON lines, JSON arrays, CSV, TSV, Parquet and lists of pairs.

A list of pairs is BigCloneBench's layout: lines `idx1 idx2 label`, and the functions in `data.jsonl` beside it.

Nothing here raises on bad content: an unreadable row comes as a `RowProblem`, so that one pass can report
everything. Files are streamed; only a JSON array and the functions of a list of pairs are held in memory.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from telly.data.schema import Column, DataRow, RowProblem, RowReader, Schema, shorten
from telly.data.separated import separated_rows
from telly.errors import DataError
from telly.jsontext import object_of_pairs, repeated_keys

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
PACKED_SUFFIXES = tuple(f"{suffix}.gz" for suffix in SUFFIXES[:-1])
SPLIT_NAMES = {"train": ("train",), "valid": ("valid", "validation", "dev"), "test": ("test",)}
PARQUET_BATCH = 1000
PAIRS = ".txt"
FUNCTIONS = "data.jsonl"
_FUNCTION = Schema("pairs", (Column("idx", "label"), Column("func")))


def format_of(path: Path) -> str | None:
    """The suffix that decides the format, without `.gz`; None for an unknown format.

    `.txt` is a list of pairs if `data.jsonl` is in the same folder, and unknown otherwise.
    """
    name = path.name.lower()
    if name.endswith(PAIRS):
        return PAIRS if (path.parent / FUNCTIONS).is_file() else None
    known = (suffix for suffix in SUFFIXES + PACKED_SUFFIXES if name.endswith(suffix))
    return next((suffix.removesuffix(".gz") for suffix in known), None)


def content_files(file: Path) -> list[Path]:
    """All files whose content a data file depends on: itself and, for a list of pairs, its functions."""
    return [file, file.parent / FUNCTIONS] if format_of(file) == PAIRS else [file]


def data_files(path: Path, split: str | None = None) -> list[Path]:
    """The files of a data set: the file itself, or those in a folder, in name order.

    In a folder a split is found by name: `train.jsonl`, `train-00000-of-00002.parquet`; `dev` and `validation` are
    `valid`. A single file is one split, whatever its name. Beside lists of pairs `data.jsonl` is not a split.

    Raises:
        DataError: there is nothing to read, the format is unknown, or the folder has several splits and none is named.
    """
    if not path.is_dir():
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; expected {_formats()}")
        if format_of(path) is None:
            raise DataError(_unknown(path))
        return [path]
    files = _known_files(path)
    if not files:
        without_functions = next(
            (file for file in sorted(path.iterdir()) if file.suffix == PAIRS and _split_of(file)), None
        )
        hint = f"; {without_functions.name}: {_PAIRS_HINT}" if without_functions else ""
        raise DataError(f"{path}: no data in this folder; expected files {_formats()}{hint}")
    by_split = {file: _split_of(file) for file in files}
    present = sorted({name for name in by_split.values() if name is not None})
    if split is None:
        if len(present) > 1:
            raise DataError(f"{path}: has several splits ({', '.join(present)}); name one of them, or one file")
        return files
    target = _split_of(Path(split)) or split
    matching = [file for file, name in by_split.items() if (name or file.name.split(".")[0]) == target]
    if not matching:
        names = ", ".join(file.name for file in files)
        raise DataError(f"{path}: no file for the split {split!r}; found {names}; expected such as {split}.jsonl")
    return matching


def raw_rows(path: Path, columns: Sequence[str] = ()) -> Iterator[DataRow | RowProblem]:
    """Stream the rows of one file.

    Args:
        path: the file.
        columns: names for the columns of a CSV or TSV file without a header, see `separated_rows`.

    Raises:
        DataError: the file cannot be opened or its format is unknown.
    """
    suffix = format_of(path)
    if suffix is None:
        raise DataError(_unknown(path))
    try:
        if suffix == ".parquet":
            yield from _parquet_rows(path)
            return
        with _open(path) as stream:
            packed = _packed_as(stream)
            if packed is not None:
                yield RowProblem(str(path), None, "bad-format", f"the file is {packed}")
            elif _is_wide(stream):
                message = "the file is UTF-16 or UTF-32, not UTF-8; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"
                yield RowProblem(str(path), 1, "bad-encoding", message)
            elif suffix == PAIRS:
                yield from _pair_rows(stream, path)
            elif suffix in {".csv", ".tsv"}:
                yield from separated_rows(stream, str(path), "\t" if suffix == ".tsv" else ",", columns)
            elif suffix in {".json", ".jsonl"} and _is_array(stream, suffix):
                yield from _array_rows(stream, str(path))
            elif suffix == ".json" and (whole := _one_object(stream)) is not None:
                yield _whole_object(whole, str(path))
            else:
                yield from _json_rows(stream, str(path))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        message = f"the gzip file is damaged ({error}); pack or download it again, or name it without .gz if it is none"
        yield RowProblem(str(path), None, "bad-archive", message)
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from None


def _known_files(folder: Path) -> list[Path]:
    """The data files of a folder; a text file counts if it is a list of pairs and named after a split."""
    known = sorted(file for file in folder.iterdir() if file.is_file() and format_of(file) is not None)
    files = [file for file in known if format_of(file) != PAIRS or _split_of(file)]
    if any(format_of(file) == PAIRS for file in files):
        files = [file for file in files if file.name != FUNCTIONS]
    return files


_PAIRS_HINT = f"a list of pairs (idx1 idx2 label) needs {FUNCTIONS} with the functions beside it"


def _unknown(path: Path) -> str:
    hint = f"; {_PAIRS_HINT}" if path.suffix.lower() == PAIRS else ""
    return f"{path}: unknown format {path.suffix!r}; expected {_formats()}{hint}"


def _formats() -> str:
    return f"{', '.join(SUFFIXES)} (all but the last also with .gz)"


def _split_of(file: Path) -> str | None:
    first = re.split(r"[-_.]", file.name.lower(), maxsplit=1)[0]
    return next((name for name, prefixes in SPLIT_NAMES.items() if first in prefixes), None)


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


_PACKED = {
    b"\x1f\x8b": "packed with gzip; add .gz to its name",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet; unpack it, or save the sheet as CSV",
    b"PAR1": "in the Parquet format; let its name end with .parquet",
    b"BZh": "packed with bzip2; unpack it (bunzip2)",
    b"\xfd7zXZ": "packed with xz; unpack it (unxz)",
    b"\x28\xb5\x2f\xfd": "packed with Zstandard; unpack it (unzstd)",
    b"ARROW1": "in the Arrow format; save it as Parquet",
}
"""First bytes of formats that are not text, with advice for a file that has them under a text format's name."""


def _packed_as(stream: IO[bytes]) -> str | None:
    begin = stream.read(6)
    stream.seek(0)
    return next((advice for mark, advice in _PACKED.items() if begin.startswith(mark)), None)


def _is_wide(stream: IO[bytes]) -> bool:
    """Return whether a text begins like UTF-16 or UTF-32: with their mark, or with a zero byte, which rows lack."""
    begin = stream.read(4)
    stream.seek(0)
    return begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in begin


def _is_array(stream: IO[bytes], suffix: str) -> bool:
    """Return whether a file is one JSON array; a `.jsonl` file is one only if the array visibly holds objects."""
    begin = stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    stream.seek(0)
    return begin.startswith(b"[") and (suffix == ".json" or begin[1:].lstrip().startswith(b"{"))


def _one_object(stream: IO[bytes]) -> dict[str, object] | None:
    """The single JSON object of a file, over several lines or with rows in it; None for JSON lines.

    JSON lines are recognised by their first line, so that only other files are read at once.
    """
    first = stream.readline()
    rest = stream.readline()
    stream.seek(0)
    # A first line that is not a JSON value begins an object over several lines; a JSON value followed by more lines is
    # the first row of JSON lines.
    try:
        values = json.loads(first.decode("utf-8-sig"), object_pairs_hook=object_of_pairs)
    except (ValueError, RecursionError):
        try:
            values = json.loads(stream.read().decode("utf-8-sig"), object_pairs_hook=object_of_pairs)
        except (ValueError, RecursionError):
            values = None
        stream.seek(0)
        return values if isinstance(values, dict) else None
    nested = isinstance(values, dict) and any(isinstance(value, list | dict) for value in values.values())
    return values if nested and not rest.strip() else None


def _whole_object(values: dict[str, object], file: str) -> DataRow | RowProblem:
    """The only row of a file, or the problem that its rows are under a key, or stored by column as pandas does."""
    expected = "expected an array of objects or one object per line"
    rows = [key for key, value in values.items() if isinstance(value, list) and any(isinstance(v, dict) for v in value)]
    if rows:
        message = f"the rows are a list under {shorten(rows[0])!r}; {expected}: save that list alone"
        return RowProblem(file, 1, "not-rows", message)
    sizes = {len(value) if isinstance(value, list | dict) else None for value in values.values()}
    if len(values) > 1 and len(sizes) == 1 and None not in sizes:
        message = f"the values are stored by column; {expected} (in pandas: to_json(orient='records', lines=True))"
        return RowProblem(file, 1, "not-rows", message)
    return _object(values, 1, file)


def _json_rows(stream: IO[bytes], file: str) -> Iterator[DataRow | RowProblem]:
    """Rows of JSON lines; blank lines hold no row and are skipped."""
    for number, raw in enumerate(stream, start=1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if not line:
                continue
            values = json.loads(line, object_pairs_hook=object_of_pairs)
        except UnicodeDecodeError as error:
            message = f"byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8"
            yield RowProblem(file, number, "bad-encoding", message)
        except json.JSONDecodeError as error:
            yield RowProblem(file, number, "bad-json", f"{error.msg} at column {error.colno}; expected one JSON object")
        except (ValueError, RecursionError) as error:
            yield RowProblem(file, number, "bad-json", f"{_reason(error)}; expected one JSON object")
        else:
            yield _object(values, number, file)


def _array_rows(stream: IO[bytes], file: str) -> Iterator[DataRow | RowProblem]:
    """Rows of a JSON array of objects, read one element at a time; nothing after an error can be located."""
    decoder, line, counted = json.JSONDecoder(object_pairs_hook=object_of_pairs), 1, 0
    try:
        text = stream.read().decode("utf-8-sig")
        at = _skip(text, text.index("[") + 1)
        while text[at : at + 1] != "]":
            values, end = decoder.raw_decode(text, at)
            line += text.count("\n", counted, at)  # line breaks since the last row
            counted = at
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
        yield RowProblem(file, None, "bad-encoding", f"byte {error.start + 1} is not UTF-8; save the file as UTF-8")
    except json.JSONDecodeError as error:
        message = f"{error.msg} at column {error.colno}; expected an array of JSON objects; what follows is not read"
        yield RowProblem(file, error.lineno, "bad-json", message)
    except (ValueError, RecursionError) as error:
        yield RowProblem(
            file, line, "bad-json", f"{_reason(error)}; expected an array of JSON objects; what follows is not read"
        )


def _reason(error: ValueError | RecursionError) -> str:
    """The message of a JSON reader without its advice for programmers."""
    return str(error).partition(";")[0]


def repeated_names(names: Collection[str]) -> list[str]:
    """Names given more than once; surrounding blanks do not distinguish names."""
    if len({name.strip() for name in names}) == len(names):
        return []
    return [name for name, count in Counter(name.strip() for name in names).items() if count > 1]


def named_twice(names: Sequence[str]) -> str:
    """Message about names of columns or keys that are given more than once."""
    shown = ", ".join(repr(shorten(name)) for name in names)
    return f"{shown} more than once, and only one of the values can be read; keep one, or rename the others"


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _object(values: object, line: int, file: str) -> DataRow | RowProblem:
    if isinstance(values, dict):
        if repeated := repeated_keys(values) or repeated_names(values):
            return RowProblem(file, line, "bad-json", f"the object has {named_twice(repeated)}")
        return DataRow(line, values)
    names = {list: "a list", str: "a string", type(None): "null", bool: "true or false"}
    kind = names.get(type(values), "a number")
    return RowProblem(file, line, "not-an-object", f"found {kind}; expected an object with one entry per column")


def _parquet_rows(path: Path) -> Iterator[DataRow | RowProblem]:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            names = table.schema_arrow.names
            if repeated := repeated_names(names):
                yield RowProblem(str(path), None, "bad-parquet", f"the table has {named_twice(repeated)}")
                return
            for batch in table.iter_batches(batch_size=PARQUET_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield DataRow(number, values)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        yield RowProblem(str(path), number + 1, "bad-parquet", f"not a sound Parquet file: {reason}")


def _pair_rows(stream: IO[bytes], path: Path) -> Iterator[DataRow | RowProblem]:
    """Rows of lines `idx1 idx2 label`, with each idx replaced by its function; all pairs share the functions' texts."""
    functions: dict[str, str] = {}
    yield from _read_functions(path.parent / FUNCTIONS, functions)
    for number, raw in enumerate(stream, start=1):
        try:
            fields = raw.decode("utf-8-sig" if number == 1 else "utf-8").split()
        except UnicodeDecodeError as error:
            message = f"byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8"
            yield RowProblem(str(path), number, "bad-encoding", message)
            continue
        if not fields:
            continue
        if len(fields) != 3:
            count = f"{len(fields)} column{'s' * (len(fields) != 1)}"
            message = f"found {count}; expected 3: idx1 idx2 label, separated by a tab or blanks"
            yield RowProblem(str(path), number, "bad-pair", message)
            continue
        unknown = [idx for idx in fields[:2] if idx not in functions]
        if unknown:
            message = f"found no function with idx {shorten(unknown[0])!r} in {FUNCTIONS}; expected one of its "
            message += f"{len(functions):,} functions; add it there or delete the pair"
            yield RowProblem(str(path), number, "bad-pair", message)
            continue
        yield DataRow(number, {"left": functions[fields[0]], "right": functions[fields[1]], "label": fields[2]})


def _read_functions(file: Path, functions: dict[str, str]) -> Iterator[RowProblem]:
    """Put the functions of `data.jsonl` into `functions` by their idx, and yield the problems of the file."""
    lines: dict[str, int] = {}
    reader = RowReader(_FUNCTION, {}, str(file))
    with file.open("rb") as stream:
        for row in _json_rows(stream, str(file)):
            if isinstance(row, RowProblem):
                yield row
                continue
            if not {"idx", "func"} <= row.values.keys():
                message = f"expected the columns idx and func; found {', '.join(row.values) or 'none'}; rename them"
                yield RowProblem(str(file), row.line, "missing-column", message)
                continue
            cells = reader.read(row.line, row.values)
            if isinstance(cells, list):
                yield from cells
            elif functions.setdefault(cells["idx"], cells["func"]) == cells["func"]:
                lines.setdefault(cells["idx"], row.line)
            else:
                message = f"idx {shorten(cells['idx'])!r} is another function in line {lines[cells['idx']]}; "
                yield RowProblem(str(file), row.line, "bad-pair", f"{message}give each function its own idx")
