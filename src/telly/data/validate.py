"""Complete check of a data set's files in one pass over each, without keeping the texts."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from telly.data.collection import IdentifiedText, JudgedCollection, Judgment, collection_at
from telly.data.formats import SPLIT_NAMES, data_files, raw_rows
from telly.data.schema import Cells, RowProblem, RowReader, Schema, check_mapping, shorten, spaced
from telly.data.warnings import forms_message
from telly.metrics.labels import form_key, same_but_for_form

__all__ = ["KINDS", "RowProblem", "ValidationReport", "check", "validate"]

TRAIN = "train"
KINDS = {
    "bad-json": "a line is not JSON",
    "bad-csv": "a line does not fit the CSV header",
    "bad-pair": "a list of pairs, or its functions, do not have the expected form",
    "bad-parquet": "the Parquet file is damaged",
    "bad-archive": "the gzip file is damaged",
    "bad-format": "the file's format differs from its name",
    "not-rows": "a JSON file is one object with the rows in it",
    "bad-encoding": "a text is not valid UTF-8",
    "not-an-object": "a JSON value is not an object",
    "missing-column": "a column the task needs is not there",
    "wrong-type": "a value's type does not fit its column",
    "empty-text": "a text or label is blank",
    "bad-label": "a label is none of those that the task knows",
    "bad-negative": "a negative is the query or a right answer, or is there twice",
    "bad-scores": "a row has another number of scores than a right answer and negatives",
    "bad-id": "an id of a collection is unknown, or belongs to two texts",
    "bad-grade": "a score of a collection is not a whole number, or differs from that of the same pair",
    "no-positives": "no document of a collection is relevant to a judged query",
    "duplicate": "a row repeats an earlier row of the same file",
    "mixed-labels": "labels differ in their form alone",
    "one-class": "a label has the same value in all rows",
    "overlap": "a row, or its code, also occurs in the training data",
    "no-rows": "a file has no rows",
}

Location = tuple[str, int]  # file, line


@dataclass
class ValidationReport:
    """Result of a check: all problems, and the number of rows per file, bad ones included."""

    problems: list[RowProblem] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Problems by kind, in the order of `KINDS`."""
        return {kind: n for kind in KINDS if (n := sum(problem.kind == kind for problem in self.problems))}


def validate(files: Mapping[str, Path], schema: Schema, mapping: Mapping[str, str] | None = None) -> list[RowProblem]:
    """Find all problems of a data set; see `check`."""
    return check(files, schema, mapping).problems


def check(files: Mapping[str, Path], schema: Schema, mapping: Mapping[str, str] | None = None) -> ValidationReport:
    """Check a data set: its problems by file in the order given (training data first) and by line.

    Rows are compared without regard to white space. A row of another split overlaps with `train` if the whole row, or
    its key column (for search the code), is the same. Pairs of clones are the same whatever their order and label.
    Negatives are checked in training data alone. Of a collection with judgments its documents, queries and judgments
    are checked, and a judged query overlaps with `train` if it is there as well. Memory grows by about 200 bytes per
    row and per negative, whatever the texts.

    Args:
        files: files or folders by split. The split `train` is compared with all others, whatever their names.
        schema: the columns that the task reads.
        mapping: from the schema's names to the data's columns.

    Raises:
        DataError: a file cannot be opened or its format is unknown.
        ConfigError: the mapping does not fit the schema.
    """
    mapping = mapping or {}
    check_mapping(schema.for_training(), mapping)
    report = ValidationReport()
    train = _TrainIndex()
    for split in sorted(files, key=lambda name: name != TRAIN):
        path = files[split]
        split_of_folder = split if path.is_dir() and split in SPLIT_NAMES else None
        is_train = split == TRAIN
        collection = collection_at(path, schema, split_of_folder)
        checks: list[_FileCheck | _CollectionCheck] = (
            [_FileCheck(file, schema, mapping, train, is_train=is_train) for file in data_files(path, split_of_folder)]
            if collection is None
            else [_CollectionCheck(collection, schema, train, is_train=is_train)]
        )
        for part in checks:
            reported = set(report.problems)  # splits share the problems of functions and of a corpus
            report.problems += sorted((one for one in part.problems() if one not in reported), key=part.order)
            report.rows |= part.rows_by_file
    return report


class _TrainIndex:
    """First location of each row and each key text of the training data, by digest, and its labels by form."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Location] = {}
        self.keys: dict[bytes, Location] = {}
        self.queries: dict[bytes, Location] = {}
        self.labels: dict[str, dict[str, str]] = {}


class _FileCheck:
    """One pass over one file."""

    def __init__(
        self, file: Path, schema: Schema, mapping: Mapping[str, str], train: _TrainIndex, *, is_train: bool
    ) -> None:
        self.schema = schema.for_training() if is_train else schema
        self.file, self.train, self.is_train = str(file), train, is_train
        self.reader = RowReader(self.schema, self.schema.fitting(mapping), self.file)
        self.rows = 0
        self.first_lines: dict[bytes, int] = {}  # by identity
        self.labels: dict[str, dict[str, int]] = {c.name: {} for c in schema.columns if c.kind == "label"}
        self.answers: dict[bytes, int] = {}  # lines of the right answers, by their digest with the rest of the row
        self.negatives: dict[bytes, int] = {}  # likewise those of the negatives

    def problems(self) -> Iterator[RowProblem]:
        """All problems, not quite in line order. Runs once."""
        missing: dict[str, list[RowProblem]] = defaultdict(list)
        any_problem = False
        for row in raw_rows(Path(self.file)):
            if isinstance(row, RowProblem):
                any_problem = True
                yield row
                continue
            self.rows += 1
            cells = self.reader.read(row.line, row.values)
            if isinstance(cells, dict):
                yield from self._compare(row.line, cells)
                continue
            for problem in cells:
                if problem.kind == "missing-column":
                    missing[problem.message].append(problem)
                else:
                    yield problem
        for message, problems in missing.items():
            if len(problems) == self.rows > 1:  # a wrong column name, not a bad row: once is enough
                yield replace(problems[0], message=f"{message} (in all {self.rows:,} rows)")
            else:
                yield from problems
        if not self.rows and not any_problem:
            yield RowProblem(self.file, None, "no-rows", "has no rows; expected at least one")
        yield from self._negatives_that_answer()
        yield from self._label_forms()
        yield from self._one_class()

    @property
    def rows_by_file(self) -> dict[str, int]:
        """Number of rows of the file, bad ones included."""
        return {self.file: self.rows}

    def order(self, problem: RowProblem) -> tuple[bool, bool, int]:
        """A key for sorting: by line, with the problems of the file of functions before those of the pairs."""
        return problem.file == self.file, problem.line is None, problem.line or 0

    def _compare(self, line: int, cells: Cells) -> Iterator[RowProblem]:
        negatives = cells.pop(self.schema.negatives.name, []) if self.schema.negatives else []
        if self.schema.teacher_scores:
            cells.pop(self.schema.teacher_scores.name, None)  # rows are compared by their texts
        identity = self._identity(cells)
        # Several rows may have the same texts and each another negative.
        whole = _digest(*cells.values(), *negatives) if negatives else identity
        if whole in self.first_lines:
            yield RowProblem(
                self.file, line, "duplicate", f"repeats line {self.first_lines[whole]}; delete one of them"
            )
        else:
            self.first_lines[whole] = line
        for name, values in self.labels.items():
            values[cells[name]] = values.get(cells[name], 0) + 1
        key = _digest(cells[self.schema.key]) if self.schema.key else None
        if self.is_train:
            self.train.rows.setdefault(identity, (self.file, line))
            if key is not None:
                self.train.keys.setdefault(key, (self.file, line))
            if self.schema.candidates is not None:
                query, _ = self.schema.query_and_candidates
                self.train.queries.setdefault(_digest(cells[query]), (self.file, line))
        elif identity in self.train.rows:
            what = "the pair" if self.schema.unordered else "the row"
            yield self._overlap(line, what, self.train.rows[identity])
        elif key in self.train.keys:
            yield self._overlap(line, f"the {self.schema.key}", self.train.keys[key])

        self._remember(line, cells, negatives)

    def _remember(self, line: int, cells: Cells, negatives: list[str]) -> None:
        """Note what answers the rest of the row, and what does not."""
        if self.schema.negatives and self.schema.key:
            rest = [cell for name, cell in cells.items() if name != self.schema.key]
            self.answers.setdefault(_digest(*rest, cells[self.schema.key]), line)
            for text in negatives:
                self.negatives.setdefault(_digest(*rest, text), line)

    def _negatives_that_answer(self) -> Iterator[RowProblem]:
        """Problems of negatives that are the right answer in another row with the same query or label."""
        for digest, line in self.negatives.items():
            if digest in self.answers:
                others = " and ".join(
                    c.name for c in self.schema.columns if c.name != self.schema.key and not c.is_optional
                )
                message = f"a negative is the {self.schema.key} of line {self.answers[digest]}, which has the same "
                yield RowProblem(self.file, line, "bad-negative", f"{message}{others}; take it out of the negatives")

    def _identity(self, cells: Mapping[str, str]) -> bytes:
        """A digest by which rows are compared: of all columns, or of the unordered pair alone."""
        if self.schema.unordered is None:
            return _digest(*cells.values())
        return b"".join(sorted(_digest(cells[name]) for name in self.schema.unordered))

    def _overlap(self, line: int, what: str, location: Location) -> RowProblem:
        return _overlap(self.file, line, what, location)

    def _label_forms(self) -> Iterator[RowProblem]:
        """Problems of labels that the file spells in several ways, or differently from the training data."""
        for name, values in self.labels.items():
            for forms in same_but_for_form(values):
                yield RowProblem(self.file, None, "mixed-labels", f"{name!r} has {forms_message(forms)}")
            if self.schema.open_labels:
                continue  # its splits have different labels on purpose
            train_labels = self.train.labels.setdefault(name, {})
            if self.is_train:
                train_labels |= {form_key(label): label for label in values}
                continue
            for label in sorted(values):
                spelling = train_labels.get(form_key(label), label)
                if spelling != label:
                    message = f"{name!r} has {shorten(label)!r} where the training data has {shorten(spelling)!r}"
                    yield RowProblem(self.file, None, "mixed-labels", f"{message}; write them in the same way")

    def _one_class(self) -> Iterator[RowProblem]:
        for name, values in self.labels.items():
            if len(values) == 1:
                label, count = next(iter(values.items()))
                message = f"{name!r} is {label!r} in all {count:,} rows; expected at least two classes"
                yield RowProblem(self.file, None, "one-class", message)


class _CollectionCheck:
    """One pass over the files of a collection with judgments."""

    def __init__(self, collection: JudgedCollection, schema: Schema, train: _TrainIndex, *, is_train: bool) -> None:
        self.collection, self.schema, self.train, self.is_train = collection, schema, train, is_train
        self.rows_by_file = {str(file): 0 for file in collection.files}
        self.judged_files = set(map(str, collection.qrels_files))

    def problems(self) -> Iterator[RowProblem]:
        """All problems of the corpus, of the queries and of the judgments. Runs once."""
        documents: dict[str, bytes] = {}
        queries: dict[str, bytes] = {}
        yield from self._texts(self.collection.documents(), documents)
        yield from self._texts(self.collection.queries(), queries)
        first: dict[bytes, Location] = {}
        for row in self.collection.judgments(queries, documents):
            if row.file in self.rows_by_file and row.line is not None:
                self.rows_by_file[row.file] += 1
            if isinstance(row, RowProblem):
                yield row
            elif row.grade > 0:
                self._remember(row, queries[row.query], documents[row.document])
                first.setdefault(queries[row.query], (row.file, row.line))
        if not self.is_train:
            for query in first.keys() & self.train.queries.keys():
                yield _overlap(*first[query], "the query", self.train.queries[query])

    def order(self, problem: RowProblem) -> tuple[int, bool, int]:
        """A key for sorting: corpus, queries and judgments, each by line."""
        files = list(self.rows_by_file)
        file = files.index(problem.file) if problem.file in files else len(files)
        return file, problem.line is None, problem.line or 0

    def _texts(self, rows: Iterable[IdentifiedText | RowProblem], digests: dict[str, bytes]) -> Iterator[RowProblem]:
        """Problems of texts; the other texts' digests are added by their ids."""
        for row in rows:
            if isinstance(row, RowProblem):
                yield row
            else:
                self.rows_by_file[row.file] += row.file not in self.judged_files  # these are counted as judgments
                digests[row.id] = _digest(row.text)

    def _remember(self, judgment: Judgment, query: bytes, document: bytes) -> None:
        if self.is_train:
            location = judgment.file, judgment.line
            self.train.queries.setdefault(query, location)
            self.train.keys.setdefault(document, location)


def _overlap(file: str, line: int, what: str, location: Location) -> RowProblem:
    where = f"{location[0]}:{location[1]}"
    return RowProblem(file, line, "overlap", f"{what} also occurs in {where}; keep it in one of the two")


def _digest(*texts: str) -> bytes:
    """A digest of texts that ignores spacing and line breaks."""
    return hashlib.blake2b("\0".join(map(spaced, texts)).encode(), digest_size=16).digest()
