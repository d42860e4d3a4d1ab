"""Gold and prediction files: read, matched by id or by line, and nothing left out silently.

A file has plain lines (one example per line), lines `id<TAB>text`, or JSON lines. The right answers of rankings may be
BEIR's judgments: `query-id<TAB>corpus-id<TAB>score`, with a header. Cheap to import, so help can use it.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from telly.errors import DataError
from telly.jsontext import is_list_of_texts, object_of_pairs, repeated_keys
from telly.metrics.labels import binary_form

Form = Literal["text", "label", "ranking"]
MAX_NAMED = 3  # ids that an error names
MAX_SHOWN = 40  # characters of a text that an error shows
JSON_SUFFIXES = (".json", ".jsonl")
QRELS_HEADER = ("query-id", "corpus-id", "score")
"""Columns of BEIR's judgments."""
OTHER_SUFFIXES = (".csv", ".parquet", ".gz", ".xlsx", ".pkl", ".npy")
"""Names of files that are not read here; a CSV file would be taken for lines, with its header and ids in them."""


@dataclass(frozen=True)
class AnswerLayout:
    """Layout of a task's gold and prediction files.

    Attributes:
        form: `text` as it is; `label`, one word; `ranking`, ids separated by white space, best first.
        gold_keys: keys of the answer in an object of a gold file, the preferred first.
        id_keys: keys of an object's id, the preferred first.
        pairs: whether lines `idx1 idx2 label` are read, with both ids together as the id.
        labels: the only labels allowed; () allows any.
        prose: whether texts are natural language.
        ranks_examples: whether rankings order the examples themselves, by their ids.
    """

    form: Form
    gold_keys: tuple[str, ...]
    id_keys: tuple[str, ...] = ("id", "idx", "url")
    pairs: bool = False
    labels: tuple[str, ...] = ()
    prose: bool = False
    ranks_examples: bool = False

    def keys(self, gold: bool) -> tuple[str, ...]:
        """Keys of the answer in a gold file, or of the prediction, the preferred first."""
        if gold:
            return self.gold_keys
        return ("prediction", "pred", "text", *(("answers",) if self.form == "ranking" else ("answer", "label")))


GRADE_MARK = "\0"
"""Separates an id from its grade in the right answer of a ranking; an id without it has grade 1."""
REFERENCE_KEYS = ("reference", "gold")
"""Keys of a right answer that every task reads."""


def graded(answer: str) -> dict[str, int]:
    """The right ids of an answer, with their grades."""
    parts = (word.partition(GRADE_MARK) for word in answer.split())
    return {id_: int(grade or 1) for id_, _, grade in parts}


def answer_of(grades: Mapping[str, int]) -> str:
    """The right answer that `graded` reads."""
    return " ".join(id_ if grade == 1 else f"{id_}{GRADE_MARK}{grade}" for id_, grade in grades.items())


@dataclass(frozen=True)
class PredictionEntry:
    """One example of a file: its line, from 1, its id if the file has ids, and its text, label or ranking."""

    line: int
    id: str | None
    value: str


def read_pairs(
    gold: Path, predictions: Sequence[Path], layout: AnswerLayout, by_line: bool = False
) -> list[list[tuple[PredictionEntry, PredictionEntry]]]:
    """Read a gold file and files of predictions for it, and match them.

    Lines are read as `id<TAB>text` if all lines of a file have a tab and its ids are unique, or if its ids occur in
    another of the files.

    Args:
        gold: file of the right answers.
        predictions: one file per system.
        layout: layout of the task's files.
        by_line: match line by line and ignore ids.

    Returns:
        pairs (gold, prediction) in the order of the gold file, for every system.

    Raises:
        DataError: a file cannot be read, a line is bad, an answer is empty, or the files do not match.
    """
    sources = [_Source(gold, layout, gold=True), *(_Source(file, layout, gold=False) for file in predictions)]
    # Text before a tab may be part of the answer. It is an id if it is unique or another file has it as an id.
    unique_ids = {i for source in sources if source.unique for i in source.ids or ()}
    same_ids = len({frozenset(source.ids or ()) for source in sources}) == 1
    for source in sources:
        source.with_ids = source.ids is not None and (
            source.objects is not None or source.unique or same_ids or not unique_ids.isdisjoint(source.ids)
        )
    right, *systems = [(source, source.entries()) for source in sources]
    return [_match(right, system, by_line) for system in systems]


class _Source:
    """One file to match; `with_ids` is set once all files are read."""

    def __init__(self, file: Path, layout: AnswerLayout, gold: bool) -> None:
        self.file, self.layout, self.gold = file, layout, gold
        if file.suffix.lower() in OTHER_SUFFIXES:
            raise DataError(
                f"{file}: expected lines, lines `id<TAB>text` or JSON lines, found a {file.suffix} file; save it as "
                "JSON lines, with the same names of columns"
            )
        self.lines = _lines(file)
        self.objects = self._read_objects()
        self.with_ids = False

    @cached_property
    def fields(self) -> list[tuple[str, str]] | None:
        """Id and text of every line, if all lines have both."""
        if self.layout.pairs and all(len(line.split()) == 3 for line in self.lines):
            return [(" ".join(line.split()[:2]), line.split()[2]) for line in self.lines]
        parts = [line.partition("\t") for line in self.lines]
        return [(i.strip(), text) for i, _, text in parts] if all(i.strip() and tab for i, tab, _ in parts) else None

    @cached_property
    def ids(self) -> list[str] | None:
        """The possible ids, one per line; None if a line has none."""
        if self.objects is None:
            return None if self.fields is None else [i for i, _ in self.fields]
        keys = (key for key in self.layout.id_keys if any(key in values for _, values in self.objects or ()))
        key = next(keys, None)
        if key is None or key == self._answer_key():
            return None
        return [self._cell(line, values, key) for line, values in self.objects]

    @property
    def unique(self) -> bool:
        """True if no id comes twice."""
        return self.ids is not None and len(set(self.ids)) == len(self.ids)

    def entries(self) -> list[PredictionEntry]:
        """Every example, checked."""
        if self.objects is not None:
            key = self._answer_key()
            values = [(line, self._cell(line, cells, key)) for line, cells in self.objects]
        elif self.with_ids and self.fields is not None:
            values = list(enumerate((text for _, text in self.fields), 1))
        else:
            values = list(enumerate(self.lines, 1))
        ids = self.ids if self.with_ids and self.ids is not None else itertools.repeat(None, len(values))
        if self.layout.form != "text":
            self._check_no_header([value for _, value in values])
        return [
            PredictionEntry(line, i, self._checked(line, value)) for i, (line, value) in zip(ids, values, strict=True)
        ]

    def _check_no_header(self, values: list[str]) -> None:
        """Refuse a first line that names a column, as a header does, and would be scored as an example."""
        names = {*self.layout.keys(gold=True), *self.layout.keys(gold=False), "class", "predictions", "labels"}
        first = values[0].strip().lower()
        if self.objects is None and first in names and first not in {value.strip().lower() for value in values[1:]}:
            raise DataError(f"{self.file}:1: {_short(values[0])} looks like the header of a column; remove the line")

    def _checked(self, line: int, value: str) -> str:
        labels = self.layout.labels
        if labels and binary_form(value) not in labels:
            raise DataError(f"{self.file}:{line}: expected the label {' or '.join(labels)}, found {_short(value)}")
        if self.gold and not value.strip():
            raise DataError(
                f"{self.file}:{line}: the right answer is empty; expected one for every example: leave such examples "
                "out of both files, or take a split with answers (CodeXGLUE's published test of line completion has "
                "none)"
            )
        if self.layout.form == "label" and "\t" in value.strip():
            raise DataError(
                f"{self.file}:{line}: expected one label, found {_short(value)}; keep one of several labels"
            )
        if self.layout.form == "ranking":
            words = value.split()
            if len(set(words)) < len(words):
                repeated = next(word for word, count in Counter(words).items() if count > 1)
                raise DataError(f"{self.file}:{line}: {_short(repeated)} comes twice; expected every answer once")
        return value

    def _read_objects(self) -> list[tuple[int, dict[str, Any]]] | None:
        """Line number and object of every line of JSON lines, or of every query of BEIR's judgments; else None."""
        if self.gold and self.layout.form == "ranking" and tuple(self.lines[0].strip().split("\t")) == QRELS_HEADER:
            return self._read_qrels()
        if self.file.suffix not in JSON_SUFFIXES and not _is_object(self.lines[0]):
            return None
        objects = []
        for line, text in enumerate(self.lines, 1):
            if not text.strip():
                continue
            try:
                values = json.loads(text, object_pairs_hook=object_of_pairs)
            except ValueError as error:
                raise DataError(f"{self.file}:{line}: expected one JSON object per line: {error}") from None
            if not isinstance(values, dict):
                raise DataError(f"{self.file}:{line}: expected one JSON object per line, found {_short(text)}")
            if repeated := repeated_keys(values):
                names = ", ".join(map(repr, repeated))
                raise DataError(
                    f"{self.file}:{line}: the object has {names} more than once; keep one, or rename the others"
                )
            objects.append((line, values))
        if not objects:
            raise DataError(f"{self.file}: has no objects; expected one JSON object per line")
        return objects

    def _read_qrels(self) -> list[tuple[int, dict[str, Any]]]:
        """The first line of every query, with its grades by document."""
        queries: dict[str, tuple[int, dict[str, Any]]] = {}
        for line, text in enumerate(self.lines[1:], 2):
            fields = text.strip().split("\t")
            if not text.strip():
                continue
            if len(fields) != len(QRELS_HEADER):
                raise DataError(f"{self.file}:{line}: expected {', '.join(QRELS_HEADER)}, found {len(fields)} columns")
            query, document, grade = fields
            _, values = queries.setdefault(query, (line, {self.layout.id_keys[0]: query, self.layout.gold_keys[0]: {}}))
            grades = values[self.layout.gold_keys[0]]
            if document in grades:
                raise DataError(f"{self.file}:{line}: {_short(document)} is judged twice for {_short(query)}; keep one")
            grades[document] = int(grade) if re.fullmatch(r"[+-]?\d+", grade, re.ASCII) else grade
        if not queries:
            raise DataError(f"{self.file}: has no judgments; expected one per line below the header")
        return list(queries.values())

    def _answer_key(self) -> str:
        line, values = (self.objects or [])[0]
        keys = self.layout.keys(self.gold)
        key = next((key for key in keys if key in values), None)
        if key is None:
            what = "the right answer" if self.gold else "the prediction"
            raise DataError(
                f"{self.file}:{line}: expected {what} under one of {', '.join(keys)}; found {', '.join(values) or '{}'}"
            )
        return key

    def _cell(self, line: int, values: dict[str, Any], key: str) -> str:
        """A value as text: lists of tokens joined by a blank, true and false as 1 and 0."""
        value = values.get(key)
        if isinstance(value, dict) and self.gold and self.layout.form == "ranking" and key in self.layout.gold_keys:
            return self._graded(line, value, key)
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, str | int | float) for part in parts):
            shown = "no such key" if key not in values else _short(json.dumps(value))
            raise DataError(f"{self.file}:{line}: {key}: expected a text or a number, or a list of such, found {shown}")
        if isinstance(value, list):
            self._check_list(line, value, key)
        texts = [str(int(part)) if isinstance(part, bool) else str(part) for part in parts]
        if self.layout.form == "ranking" and isinstance(value, list):
            spaced = next((text for text in texts if len(text.split()) != 1), None)
            if spaced is not None:
                raise DataError(f"{self.file}:{line}: {key}: expected ids without white space, found {_short(spaced)}")
        return " ".join(texts)

    def _graded(self, line: int, grades: dict[str, Any], key: str) -> str:
        """The right ids with their grades, of an object with a grade per id; a grade below 1 means not right."""
        for id_, grade in grades.items():
            if not isinstance(grade, int) or isinstance(grade, bool):
                raise DataError(
                    f"{self.file}:{line}: {key}: expected a whole number as the grade of {_short(id_)}, found "
                    f"{_short(json.dumps(grade))}"
                )
            if len(id_.split()) != 1:
                raise DataError(f"{self.file}:{line}: {key}: expected ids without white space, found {_short(id_)}")
        if repeated := repeated_keys(grades):
            raise DataError(f"{self.file}:{line}: {key}: {_short(repeated[0])} comes twice; keep one")
        return answer_of({id_: grade for id_, grade in grades.items() if grade > 0})

    def _check_list(self, line: int, values: list[Any], key: str) -> None:
        """Refuse several labels, references or predictions, which would be scored as one."""
        if self.layout.form == "label" and len(values) > 1:
            raise DataError(f"{self.file}:{line}: {key}: expected one label, found a list of {len(values)}; keep one")
        several = is_list_of_texts(list(map(str, values)), prose=self.layout.prose)
        if self.layout.form == "text" and several and not key.endswith("tokens"):
            raise DataError(
                f"{self.file}:{line}: {key}: expected one text or a list of its tokens, found a list of {len(values)} "
                "texts; an example is scored with one reference and one prediction, so keep one"
            )


FileEntries = tuple[_Source, list[PredictionEntry]]


def _match(right: FileEntries, system: FileEntries, by_line: bool) -> list[tuple[PredictionEntry, PredictionEntry]]:
    (gold, answers), (source, predictions) = right, system
    if not by_line and gold.with_ids != source.with_ids:
        raise DataError(_one_sided(gold, source))
    ids, predicted_ids = [entry.id for entry in answers], [entry.id for entry in predictions]
    # Equal columns of ids match line by line, even if they hold duplicates.
    if by_line or not gold.with_ids or ids == predicted_ids:
        if len(answers) != len(predictions):
            count = f"{len(predictions):,} prediction{'s' * (len(predictions) != 1)}"
            raise DataError(
                f"{source.file}: {count} for {len(answers):,} examples of {gold.file}; expected one per line in "
                "the same order, and an empty line for an empty prediction"
            )
        return list(zip(answers, predictions, strict=True))
    for file, entries in ((gold.file, answers), (source.file, predictions)):
        _check_unique(file, entries)
    by_id, known = {entry.id: entry for entry in predictions}, set(ids)
    missing = [str(i) for i in ids if i not in by_id]
    unknown = [str(i) for i in predicted_ids if i not in known]
    problems = [f"no prediction for {_named(missing)}"] * bool(missing) + [f"{_named(unknown)} unknown"] * bool(unknown)
    if problems:
        raise DataError(
            f"{source.file}: {' and '.join(problems)}; expected one prediction for each of the {len(ids):,} ids of "
            f"{gold.file}"
        )
    return [(entry, by_id[entry.id]) for entry in answers]


def _check_unique(file: Path, entries: Sequence[PredictionEntry]) -> None:
    first: dict[str | None, int] = {}
    repeated = []
    for entry in entries:
        if entry.id in first:
            repeated.append(entry)
        first.setdefault(entry.id, entry.line)
    if repeated:
        raise DataError(
            f"{file}:{repeated[0].line}: {_named([str(entry.id) for entry in repeated])} more than once, the first on "
            f"line {first[repeated[0].id]}; expected every id once, or --by-line to match line by line"
        )


def _one_sided(gold: _Source, predictions: _Source) -> str:
    """The error where only one of two files has ids."""
    with_ids, without = (gold, predictions) if gold.with_ids else (predictions, gold)
    first_without_tab = next((n for n, line in enumerate(without.lines, 1) if "\t" not in line), None)
    location = str(without.file)
    if first_without_tab and without.objects is None:
        location += f":{first_without_tab}"
    reason = "an id that comes twice" if without.fields is not None else "no id"
    example = (with_ids.ids or [""])[0]
    return (
        f"{location}: {reason}, but {with_ids.file} has ids such as {_short(example)}; expected ids in both files "
        "(`id<TAB>text` on every line, or JSON lines) or in neither; --by-line matches line by line"
    )


def _lines(file: Path) -> list[str]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}; expected a file of lines") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{file}:{line}: not UTF-8 ({error.reason}); convert the file") from None
    # Only line feeds end a line: generated code may hold form feeds and other separators of `str.splitlines`.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if not text:
        raise DataError(f"{file}: is empty; expected one example per line")
    return lines


def _is_object(line: str) -> bool:
    try:
        values = json.loads(line)
    except ValueError:
        return False
    return isinstance(values, dict) and bool(values)


def _named(ids: Collection[str]) -> str:
    """The number of ids and the first few."""
    shown = ", ".join(map(_short, list(ids)[:MAX_NAMED]))
    return f"{len(ids):,} id{'s' * (len(ids) != 1)} ({shown}{', ...' * (len(ids) > MAX_NAMED)})"


def _short(text: str) -> str:
    return repr(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "...")
