"""Rows of CSV and TSV files, whose first line names the columns.

The separator follows from the file's suffix, unless only another one splits the header: spreadsheets write semicolons
into `.csv` files in countries with a decimal comma. Blanks around the names of columns are ignored.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import IO

from telly.data.schema import DataRow, RowProblem, shorten

MAX_FIELD = 2**27
SEPARATORS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?')
"""A first line that tells Excel the separator; it is not the header."""


def separated_rows(
    stream: IO[bytes], file: str, separator: str, columns: Sequence[str] = ()
) -> Iterator[DataRow | RowProblem]:
    """Yield the rows of a CSV file with a header line; a quoted field may span several lines.

    Args:
        stream: content of the file.
        file: its name, for messages.
        separator: expected separator of fields; the file may show another one.
        columns: names of the columns, of which the last holds numbers, in a file that may lack the line with the names;
            a first line that ends with a number is then a row.
    """
    csv.field_size_limit(MAX_FIELD)  # the default of 128 KiB is less than some source files
    # Bytes that are not UTF-8 become surrogates here and are reported with their column when the row is checked.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    begin, separator, blanks = _begin(text, separator)
    reader = csv.reader(itertools.chain(begin, text), delimiter=separator, skipinitialspace=blanks, strict=True)
    header: list[str] | None = None
    start = 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            message = f'{error}; quote fields with ", double a quote within, and leave no blank beside the quotes'
            yield RowProblem(file, start, "bad-csv", message)
            start = reader.line_num + 1
            continue
        line, start = start, reader.line_num + 1
        if not fields:
            continue  # a blank line
        if header is None and columns and re.fullmatch(r"[+-]?[\d.]+", fields[-1].strip()):
            header = list(columns)
        if header is None:
            header = [name.strip() for name in fields]
            problem = _header_problem(header, file, line)
            if problem is not None:
                yield problem
                return
        elif len(fields) != len(header):
            message = f"found {len(fields)} fields; expected {len(header)} as in the header ({', '.join(header)})"
            if len(header) == 1:
                message += "; the first line has to name all columns, so remove lines above it"
            yield RowProblem(file, line, "bad-csv", message)
        else:
            yield DataRow(line, dict(zip(header, fields, strict=True)))


def _header_problem(header: list[str], file: str, line: int) -> RowProblem | None:
    if any("\ud800" <= sign <= "\udfff" for name in header for sign in name):
        return RowProblem(file, line, "bad-encoding", "the header has names that are not UTF-8; save as UTF-8")
    if unprintable := [name for name in header if not name.isprintable()]:
        message = f"the header names {unprintable[0]!a}, with characters that cannot be seen; rename the column"
        return RowProblem(file, line, "bad-csv", message)
    if len(header) == 1 and not re.fullmatch(r"[\w -]+", header[0]):
        message = (
            f"the first line, {shorten(header[0])!r}, is one field; expected the names of all columns there, separated "
            "by commas, semicolons, tabs or vertical bars: remove lines above it, or save the file so"
        )
        return RowProblem(file, line, "bad-csv", message)
    repeated = sorted({name or "''" for name in header if header.count(name) > 1})
    if repeated:
        message = f"the header names {', '.join(repeated)} more than once; rename the columns"
        return RowProblem(file, line, "bad-csv", message)
    return None


def _begin(text: io.TextIOWrapper, separator: str) -> tuple[list[str], str, bool]:
    """The lines up to the header, the separator of fields, and whether blanks follow it."""
    begin: list[str] = []
    for line in text:
        declared = _SEPARATOR_LINE.fullmatch(line.rstrip("\r\n")) if not begin else None
        if declared is not None:
            separator = declared[1]
            begin.append("\n")  # a blank line in its place is skipped, and keeps the line numbers right
            continue
        begin.append(line)
        if line.strip():
            break
    header = begin[-1] if begin else ""
    separator = _separator(header, separator)
    names = _fields(header, separator)
    return begin, separator, any(name.startswith(" ") for name in names[1:])


def _separator(header: str, separator: str) -> str:
    """The expected separator; another one if only that one splits the header into several fields."""
    if len(_fields(header, separator)) != 1:
        return separator
    fields = {other: _fields(header, other) for other in SEPARATORS if other != separator}
    best = max(fields, key=lambda other: len(fields[other]))
    all_named = len(fields[best]) > 1 and all(name.strip() for name in fields[best])
    return best if all_named else separator


def _fields(line: str, separator: str) -> list[str]:
    """The fields of one line, even if its quotes do not fit this separator."""
    return next(csv.reader([line], delimiter=separator), [])
