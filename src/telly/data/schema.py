"""Schemas: named columns, the names they have in known data sets, and how a row is checked."""

from __future__ import annotations

import difflib
import math
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from telly.errors import ConfigError
from telly.jsontext import is_list_of_texts

Kind = Literal["text", "texts", "numbers", "label"]
Cells = dict[str, Any]
"""The columns of one row: a string each, or a list of strings (`texts`) or of numbers."""
MAX_SHOWN = 40


@dataclass(frozen=True)
class Column:
    """One input of a task.

    Args:
        name: its name within telly.
        kind: `text` is a string that is not blank, or a list of tokens, which are joined by a blank. `label` is a
            string, an integer or a boolean (stored as "0" or "1"). `texts` is any number of texts, from one list, or
            from one column per text whose name ends with a number; an empty cell is none. `numbers` is a list of
            numbers, which may be empty.
        aliases: its names in data sets, the preferred one first. The column's own name may be among them; otherwise it
            comes before them.
        values: the only labels allowed; () allows any. With ("0", "1") true and false are read as well.
        if_empty: advice in the error about a blank text or label.
        prose: whether the text is natural language, whose tokens hold no blanks.
    """

    name: str
    kind: Kind = "text"
    aliases: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    if_empty: str = "fill it or delete the row"
    prose: bool = False

    @property
    def is_optional(self) -> bool:
        """True if data may lack it; its cells are lists then, which may be empty."""
        return self.kind in ("texts", "numbers")

    @property
    def source_names(self) -> tuple[str, ...]:
        """All names in order of preference."""
        return self.aliases if self.name in self.aliases else (self.name, *self.aliases)


@dataclass(frozen=True)
class Schema:
    """The columns that a task reads.

    Args:
        task: the task's name.
        columns: its columns.
        summary: one line of help.
        key: the text column whose texts must not occur in both training and test data, if there is one: the model's
            input, or for search the text to find.
        unordered: two text columns that can be swapped; rows with the same two texts are the same row.
        candidates: the text column whose distinct texts are ranked for every row, if the task ranks them.
        negatives: column of texts that are wrong answers, in place of `key`. Only training data is read with it
            (`for_training`).
        teacher_scores: column of a teacher's scores of the row's right answer and of its negatives, in their order.
        open_labels: whether labels name groups that differ between splits, such as problems, and not classes.
        is_task: whether `telly data validate --task` knows it.
    """

    task: str
    columns: tuple[Column, ...]
    summary: str = ""
    key: str | None = None
    unordered: tuple[str, str] | None = None
    candidates: str | None = None
    negatives: Column | None = None
    teacher_scores: Column | None = None
    open_labels: bool = False
    is_task: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names within telly."""
        return tuple(column.name for column in self.columns)

    @property
    def query_and_candidates(self) -> tuple[str, str]:
        """Names of the column of queries and of the column of their candidates, for a task that ranks candidates."""
        assert self.candidates is not None
        (query,) = (column.name for column in self.columns if column.kind == "text" and column.name != self.candidates)
        return query, self.candidates

    def for_training(self) -> Schema:
        """The schema by which training data is read: with the columns of negatives and of scores that the task has."""
        more = [column for column in (self.negatives, self.teacher_scores) if column is not None]
        return replace(self, columns=(*self.columns, *more)) if more else self

    def fitting(self, mapping: Mapping[str, str]) -> dict[str, str]:
        """The part of a mapping that concerns the columns of this schema."""
        return {name: source for name, source in mapping.items() if name in self.names}

    def one(self, kind: Kind) -> Column:
        """The only column of a kind.

        Raises:
            ValueError: there is none, or there are several.
        """
        columns = [column for column in self.columns if column.kind == kind]
        if len(columns) != 1:
            raise ValueError(f"{self.task}: expected one {kind} column, found {len(columns)}")
        return columns[0]


@dataclass(frozen=True)
class RowProblem:
    """A problem of a file, on a line or row from 1; None for the whole file."""

    file: str
    line: int | None
    kind: str
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        text = f"{where}: {self.kind}: {self.message}"
        return text.encode(errors="replace").decode()  # names from broken files may hold what cannot be printed


@dataclass(frozen=True)
class DataRow:
    """One row before any check; `line` is where it starts, from 1."""

    line: int
    values: dict[str, object]


# Search and summarization read tokens before strings: in CodeSearchNet the string `code` still holds the docstring,
# which would be the answer, and `docstring_tokens` is the first paragraph without mark-up. `original_string` is left
# out likewise. The other tasks read strings before tokens: nothing in them gives the answer away, and tokens joined by
# a blank have lost what counts there. Python without its line breaks cannot be run, so it is no target of generation,
# and clones that differ in layout alone would become equal texts.
CODE_STRING_NAMES = ("code", "function", "func", "func_code_string")
CODE_TOKEN_NAMES = ("code_tokens", "function_tokens", "func_code_tokens")
DOCSTRING_NAMES = (
    "docstring_tokens",
    "func_documentation_tokens",
    "docstring",
    "func_documentation_string",
    "doc",
)
CODE_TOKENS_FIRST = Column("code", aliases=(*CODE_TOKEN_NAMES, *CODE_STRING_NAMES))
CODE_STRINGS_FIRST = Column("code", aliases=(*CODE_STRING_NAMES, *CODE_TOKEN_NAMES))

NEGATIVES = Column("negatives", "texts", aliases=("negatives", "negative", "rejected_response"))
"""Hard negatives: texts that do not answer the row. All of these columns are read, and `negative_1`, `negative_2`, ...

The names are those of sentence-transformers and of swift."""

TEACHER_SCORES = Column("teacher_scores", "numbers")
"""Scores of a teacher, such as a cross-encoder: of the right answer first, then of the negatives in their order."""

CODE = Schema("code", (CODE_STRINGS_FIRST,), summary="source code alone, for looking into models", is_task=False)
"""Read by probes and comparisons where the data belong to no task."""


def check_mapping(schema: Schema, mapping: Mapping[str, str]) -> None:
    """Check a mapping from the schema's names to the data's column names.

    Raises:
        ConfigError: a name is not in the schema, or two names read the same column.
    """
    for name in mapping:
        if name not in schema.names:
            known = ", ".join(schema.names)
            raise ConfigError(f"cannot map {name!r}: the columns of task {schema.task!r} are {known}")
    if len(set(mapping.values())) < len(mapping):
        pairs = ", ".join(f"{name}={source}" for name, source in mapping.items())
        raise ConfigError(f"two columns read the same data ({pairs}); map each to its own column")


def parse_mapping(pairs: Collection[str], schema: Schema) -> dict[str, str]:
    """Read `name=column` texts of the command line, checked against the schema.

    Raises:
        ConfigError: a text has another form, a name comes twice or is not in the schema.
    """
    mapping: dict[str, str] = {}
    for pair in pairs:
        name, equals, source = (part.strip() for part in pair.partition("="))
        if not (name and equals and source):
            raise ConfigError(f"cannot read the mapping {pair!r}; expected NAME=COLUMN such as {schema.names[0]}=doc")
        if name in mapping:
            raise ConfigError(f"{name!r} is mapped twice: to {mapping[name]!r} and to {source!r}")
        mapping[name] = source
    check_mapping(schema, mapping)
    return mapping


def source_column(column: Column, available: Collection[str], mapping: Mapping[str, str]) -> str | None:
    """The data's column to read, or None: the mapped one, else the first of the column's names that is available.

    A data column that is mapped to a name is not read for another one. Blanks around the data's names are ignored,
    unless the exact name is available as well.
    """
    taken = {_matching(name, available) for name in mapping.values()}
    if column.name in mapping:
        return _matching(mapping[column.name], available)
    matches = (_matching(name, available) for name in column.source_names)
    return next((name for name in matches if name is not None and name not in taken), None)


def _matching(name: str, available: Collection[str]) -> str | None:
    """The available name that equals `name`, or equals it but for surrounding blanks."""
    return name if name in available else next((other for other in available if other.strip() == name.strip()), None)


def missing_message(schema: Schema, column: Column, available: Collection[str], mapping: Mapping[str, str]) -> str:
    """Error text for a column that `source_column` does not find: expected and available names, and advice.

    Only a data column that no other column of the task reads is proposed.
    """
    names = (mapping[column.name],) if column.name in mapping else column.source_names
    other_mappings = {name: source for name, source in mapping.items() if name != column.name}
    required = [other for other in schema.columns if not other.is_optional]
    read = {source_column(other, available, other_mappings) for other in required if other.name != column.name}
    for optional in (other for other in schema.columns if other not in required):
        read.update(_sources_of_texts(optional, available, mapping))
    free = [name for name in available if name not in read and name.strip()]
    near = next((match for name in names for match in difflib.get_close_matches(name, free, n=1)), None)
    expected = f"{mapping[column.name]!r}" if column.name in mapping else f"one of {', '.join(column.source_names)}"
    columns = ", ".join(name if name == name.strip() else repr(name) for name in available) or "none"
    if len(available) < len(required):
        needed = f"{len(required)} columns ({', '.join(other.name for other in required)})"
        advice = f"the task reads {needed}, so add what is missing, or give every column its own name"
    elif near is not None:
        advice = f"use --map {shlex.quote(f'{column.name}={near}')}"
    elif free:
        advice = f"use --map {column.name}=COLUMN"
    else:
        advice = f"none of these is left for it, so add a column {column.source_names[0]!r}"
    return f"no column for {column.name!r}: expected {expected}; found {columns}; {advice}"


class RowReader:
    """Turns the raw rows of one file into the schema's columns, and names what is wrong with them.

    The first row that has a column decides under which name it is read in the whole file, so that rows of two layouts
    are not mixed unnoticed.
    """

    def __init__(self, schema: Schema, mapping: Mapping[str, str], file: str) -> None:
        check_mapping(schema, mapping)
        self.schema, self.mapping, self.file = schema, mapping, file
        self.sources: dict[str, str] = {}

    def read(self, line: int, values: Mapping[str, object]) -> Cells | list[RowProblem]:
        """The columns of one row as strings or lists of strings, or all problems of the row."""
        cells: Cells = {}
        problems: list[RowProblem] = []
        for column in self.schema.columns:
            if column.kind == "texts":
                self._read_texts(column, line, values, cells, problems)
                continue
            if column.kind == "numbers":
                self._read_scores(column, line, values, cells, problems)
                continue
            source = self.sources.get(column.name) or source_column(column, values, self.mapping)
            if source is None:
                message = missing_message(self.schema, column, values, self.mapping)
                problems.append(RowProblem(self.file, line, "missing-column", message))
                continue
            self.sources[column.name] = source
            if source not in values:
                columns = ", ".join(values) or "none"
                message = (
                    f"column {source!r} is not here, but in the rows before; found {columns}; give all rows the same"
                )
                problems.append(RowProblem(self.file, line, "missing-column", message))
                continue
            try:
                cells[column.name] = _READ[column.kind](values[source], column, source)
            except _BadValueError as bad:
                problems.append(RowProblem(self.file, line, bad.kind, f"{source!r} {bad}"))
        return problems or cells

    def _read_texts(
        self, column: Column, line: int, values: Mapping[str, object], cells: Cells, problems: list[RowProblem]
    ) -> None:
        """Read the texts of all columns that `column` names; a row without any has none."""
        text_columns = [other.name for other in self.schema.columns if other.kind == "text" and other.name in cells]
        seen = {spaced(cells[name]): f"the {name}" for name in text_columns}
        texts: list[str] = []
        for source in _sources_of_texts(column, values, self.mapping):
            try:
                for text in _texts(values[source], column, source):
                    if spaced(text) in seen:
                        message = f"equals {seen[spaced(text)]} of its row: {shorten(text)!r}; take it out of the"
                        raise _BadValueError("bad-negative", f"{message} {column.name}")
                    seen[spaced(text)] = f"another of the {column.name}"
                    texts.append(text)
            except _BadValueError as bad:
                problems.append(RowProblem(self.file, line, bad.kind, f"{source!r} {bad}"))
        cells[column.name] = texts

    def _read_scores(
        self, column: Column, line: int, values: Mapping[str, object], cells: Cells, problems: list[RowProblem]
    ) -> None:
        """Read the scores of the row's right answer and of its negatives; a row may have none."""
        source = source_column(column, values, self.mapping)
        value = None if source is None else values[source]
        cells[column.name] = scores = [] if value is None else value
        if not isinstance(scores, list) or not all(map(_is_number, scores)):
            message = f"{source!r} must be a list of finite numbers, found {_describe(value)}"
            problems.append(RowProblem(self.file, line, "wrong-type", message))
            return
        negatives = cells.get(self.schema.negatives.name, []) if self.schema.negatives is not None else []
        if scores and len(scores) != 1 + len(negatives):
            message = (
                f"{source!r} has {len(scores)} scores, and the row has one right answer and {len(negatives)} negatives"
            )
            problems.append(RowProblem(self.file, line, "bad-scores", f"{message}; expected a score for each"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _sources_of_texts(column: Column, available: Collection[str], mapping: Mapping[str, str]) -> list[str]:
    """The data's columns that a column of several texts is read from: the mapped one, else all that have its names.

    A numbered column, such as `negative_2`, comes after the others, in the order of the numbers.
    """
    if column.name in mapping:
        source = _matching(mapping[column.name], available)
        return [] if source is None else [source]
    taken = set(mapping.values())
    numbered: list[tuple[int, str]] = []
    for name in available:
        stem, _, number = name.strip().rpartition("_")
        if name.strip() in column.source_names:
            numbered.append((-1, name))
        elif stem in column.source_names and number.isdecimal():
            numbered.append((int(number), name))
    return [name for _, name in sorted(numbered) if name not in taken]


def spaced(text: str) -> str:
    """A text with every run of white space as one blank, by which texts are compared."""
    return " ".join(text.split())


class _BadValueError(Exception):
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def _text(value: object, column: Column, source: str) -> str:
    if isinstance(value, list):
        if not all(isinstance(token, str) for token in value):
            odd = next(token for token in value if not isinstance(token, str))
            raise _BadValueError(
                "wrong-type", f"must be a string or a list of strings, found {_describe(odd)} in the list"
            )
        if not source.strip().endswith("tokens") and is_list_of_texts(value, prose=column.prose):
            raise _BadValueError(
                "wrong-type",
                f"must be one text or a list of tokens, found a list of {len(value)} texts; keep one of several "
                "references, and join lines with line breaks",
            )
        text = " ".join(value)
    elif isinstance(value, str):
        text = value
    else:
        hint = "; store the column as text" if isinstance(value, bytes) else ""
        raise _BadValueError("wrong-type", f"must be a string or a list of strings, found {_describe(value)}{hint}")
    if not text.strip():
        raise _BadValueError("empty-text", f"has no text; {column.if_empty}")
    _check_unicode(text)
    return text


def _texts(value: object, column: Column, source: str) -> list[str]:
    """The texts of one cell: one string, a list of strings, or a list of lists of tokens; null or "" is none."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [_text(value, column, source)]
    if not isinstance(value, list):
        raise _BadValueError("wrong-type", f"must be a string or a list of strings, found {_describe(value)}")
    strings = [text for text in value if isinstance(text, str)]
    if len(strings) == len(value) > 1 and not is_list_of_texts(strings, prose=False):
        raise _BadValueError(
            "wrong-type",
            f"must be a list of texts, found {len(value)} words, which look like the tokens of one text; "
            "write a list with one text, or one list of tokens, per negative",
        )
    return [_text(text, column, source) for text in value]


def _label(value: object, column: Column, _source: str) -> str:
    binary = column.values == ("0", "1")
    if isinstance(value, bool):
        value = int(value)
    if not isinstance(value, str | int):
        whole = isinstance(value, float) and value.is_integer()
        hint = f"; write it as {value:.0f}" if whole else ""
        raise _BadValueError(
            "wrong-type", f"must be a string, an integer or true/false, found {_describe(value)}{hint}"
        )
    text = str(value).strip()
    if not text:
        raise _BadValueError("empty-text", f"has no label; {column.if_empty}")
    _check_unicode(text)
    if binary:
        text = {"true": "1", "false": "0"}.get(text.lower(), text)
    if column.values and text not in column.values:
        allowed = f"{', '.join(column.values)}{', true or false' * binary}"
        raise _BadValueError("bad-label", f"is {shorten(text)!r}; expected one of {allowed}; mend it or delete the row")
    return text


def _check_unicode(text: str) -> None:
    """Refuse what cannot be written as UTF-8: half a surrogate pair from JSON, or bytes a CSV file could not decode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _BadValueError(
            "bad-encoding", f"is not valid Unicode at character {error.start + 1}; save as UTF-8"
        ) from None


_READ = {"text": _text, "label": _label}


def shorten(text: str) -> str:
    """A text that fits into an error message."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _describe(value: object) -> str:
    """A value's JSON type, and the value where that is short."""
    if value is None:
        return "null"
    names: dict[type, str] = {bool: "true/false", int: "number", float: "number", dict: "object", list: "list"}
    name = names.get(type(value), type(value).__name__)
    shown = repr(value)
    return f"{name} {shown}" if isinstance(value, int | float) and len(shown) < 30 else name
