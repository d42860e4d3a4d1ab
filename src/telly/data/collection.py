"""Collections with relevance judgments: a corpus, queries, and graded pairs of the two.

Two layouts are read. BEIR's, which CoIR and MTEB share, is a folder with `corpus` and `queries` (`_id`, `text`; the
corpus has `title` as well) and judgments by split (`query-id`, `corpus-id`, `score`). CoSQA's is a file of queries that
name their function by `retrieval_idx`, with all functions in `code_idx_map.txt` beside it.

As in `formats`, nothing here raises on bad content: a problem comes as a `RowProblem` in place of the row.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from telly.data.formats import SPLIT_NAMES, data_files, format_of, raw_rows
from telly.data.schema import Column, DataRow, RowProblem, RowReader, Schema, shorten
from telly.errors import DataError
from telly.jsontext import object_of_pairs, repeated_keys
from telly.metrics.answers import QRELS_HEADER

TEXTS = Schema("collection", (Column("id", "label"), Column("text")), is_task=False)
"""Columns of the documents and of the queries, as they are cached."""
CORPUS, QUERIES, QRELS = "corpus", "queries", "qrels"
QRELS_FOLDERS = (QRELS, "data", "default")
"""Folders of judgments: BEIR's, and those of the hub."""
CODE_MAP = "code_idx_map.txt"
COSQA_COLUMNS = ("doc", "retrieval_idx")
_WITH_IDS = Schema("collection", (Column("_id", "label"), Column("text")), is_task=False)
_QUERY = Schema("collection", (Column("_id", "label"), Column("doc")), is_task=False)
HEAD_BYTES = 1 << 16
"""Size of the beginning of a file in which CoSQA's column is looked for."""


@dataclass(frozen=True)
class IdentifiedText:
    """A query or a document: its id and text, and the line of its file where it starts, from 1; None if unknown."""

    file: str
    line: int | None
    id: str
    text: str


@dataclass(frozen=True)
class Judgment:
    """A judged pair of a query and a document by their ids; a grade below 1 means not relevant."""

    file: str
    line: int
    query: str
    document: str
    grade: int


class JudgedCollection(ABC):
    """Documents, queries, and the judgments of one split.

    Attributes:
        corpus_files: files with the documents.
        query_files: files with the queries, of other splits as well.
        qrels_files: files with the judgments.
    """

    corpus_files: Sequence[Path]
    query_files: Sequence[Path]
    qrels_files: Sequence[Path]

    @property
    def files(self) -> list[Path]:
        """All files, each once."""
        return list(dict.fromkeys([*self.corpus_files, *self.query_files, *self.qrels_files]))

    def documents(self) -> Iterator[IdentifiedText | RowProblem]:
        """All documents in their order; a repeated id is a problem."""
        return _with_unique_ids(self._documents())

    def queries(self) -> Iterator[IdentifiedText | RowProblem]:
        """All queries in their order; a repeated id is a problem."""
        return _with_unique_ids(self._queries())

    def judgments(self, queries: Container[str], documents: Container[str]) -> Iterator[Judgment | RowProblem]:
        """The judged pairs of the split; there is a problem if none of them is a relevant one.

        Args:
            queries: ids of the queries.
            documents: ids of the documents.
        """
        files = ", ".join(map(str, self.qrels_files))
        lines: dict[tuple[str, str], Judgment] = {}
        problems = False
        for row in self._judgments():
            problem = row if isinstance(row, RowProblem) else self._problem(row, queries, documents, lines)
            if problem is None:
                assert isinstance(row, Judgment)
                lines[row.query, row.document] = row
            problems |= problem is not None
            yield problem or row
        if not lines and not problems:
            yield RowProblem(files, None, "no-rows", f"has no judgments; expected rows with {', '.join(QRELS_HEADER)}")
        elif lines and max(judgment.grade for judgment in lines.values()) < 1:
            message = f"all {len(lines):,} scores are below 1, so that no query has a relevant document; expected 1 or "
            yield RowProblem(files, None, "no-positives", f"{message}more for relevant documents")

    def _problem(
        self, row: Judgment, queries: Container[str], documents: Container[str], lines: dict[tuple[str, str], Judgment]
    ) -> RowProblem | None:
        """The problem of a judgment, given the earlier ones; None if there is none."""
        for name, id_, known, files in (
            ("query", row.query, queries, self.query_files),
            ("document", row.document, documents, self.corpus_files),
        ):
            if id_ not in known:
                where = ", ".join(file.name for file in files)
                message = f"no {name} has the id {shorten(id_)!r} in {where}; add it there, or delete the row"
                return RowProblem(row.file, row.line, "bad-id", message)
        first = lines.get((row.query, row.document))
        if first is None:
            return None
        where = f"{first.file}:{first.line}"
        if first.grade == row.grade:
            return RowProblem(row.file, row.line, "duplicate", f"repeats {where}; delete one of them")
        message = f"the pair has the grade {row.grade} here and {first.grade} in {where}; delete one of them"
        return RowProblem(row.file, row.line, "bad-grade", message)

    @abstractmethod
    def _documents(self) -> Iterator[IdentifiedText | RowProblem]: ...

    @abstractmethod
    def _queries(self) -> Iterator[IdentifiedText | RowProblem]: ...

    @abstractmethod
    def _judgments(self) -> Iterator[Judgment | RowProblem]: ...


def collection_at(path: Path, schema: Schema, split: str | None) -> JudgedCollection | None:
    """The collection at a path, or None if there is none.

    Args:
        path: a collection's folder, or its file with the judgments of one split.
        schema: columns of the task; one that ranks no candidates reads no collections.
        split: the split to take from a folder.

    Raises:
        DataError: the folder lacks a part or the split, or a file in CoSQA's layout is without its functions.
    """
    if schema.candidates is None:
        return None
    if path.is_dir():
        if (path / CODE_MAP).is_file():
            return CosqaFiles(path, _cosqa_files(path, split))
        return BeirFolder(path, _qrels_files(path, split)) if _is_beir(path) else None
    if path.parent.name in QRELS_FOLDERS and _is_beir(path.parent.parent) and path.is_file():
        return BeirFolder(path.parent.parent, data_files(path))
    if not path.is_file() or not _has_cosqa_rows(path):
        return None
    if not (path.parent / CODE_MAP).is_file():
        column = COSQA_COLUMNS[1]
        raise DataError(
            f"{path}: has {column!r}, the index of a function in CoSQA's {CODE_MAP}; expected that file in the same "
            f"folder: add it, or remove {column!r} so that the rows are read as pairs"
        )
    return CosqaFiles(path.parent, [path])


def _is_beir(folder: Path) -> bool:
    return _has(folder, CORPUS) and (_has(folder, QUERIES) or (folder / QRELS).is_dir())


def _has(folder: Path, name: str) -> bool:
    return (folder / name).is_dir() or bool(_files_named(folder, name))


def _files_named(folder: Path, name: str) -> list[Path]:
    return sorted(file for file in folder.glob(f"{name}.*") if file.is_file() and format_of(file) is not None)


def _qrels_files(folder: Path, split: str | None) -> list[Path]:
    qrels = next((folder / name for name in QRELS_FOLDERS if (folder / name).is_dir()), None)
    if qrels is None:
        raise DataError(f"{folder}: has a corpus but no folder {QRELS!r}; expected such as {QRELS}/test.tsv")
    try:
        return data_files(qrels, split or "train")
    except DataError as error:
        raise DataError(f"{error}; or give one of the files instead of the folder") from None


def _has_cosqa_rows(file: Path) -> bool:
    if format_of(file) not in {".json", ".jsonl"}:
        return False
    with file.open("rb") as stream:
        return f'"{COSQA_COLUMNS[1]}"'.encode() in stream.read(HEAD_BYTES)


def _cosqa_files(folder: Path, split: str | None) -> list[Path]:
    """The files of rows that have the split's name among the parts of theirs, as in `cosqa-retrieval-dev-500.json`."""
    names = next((names for names in SPLIT_NAMES.values() if split in names), (split or "train",))
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and _has_cosqa_rows(file)]
    found = [file for file in files if not set(names).isdisjoint(re.split(r"[-_.]", file.name.lower()))]
    if not found:
        shown = ", ".join(file.name for file in files) or f"no file with {COSQA_COLUMNS[1]!r}"
        expected = f"cosqa-retrieval-{names[-1]}.json"
        raise DataError(f"{folder}: no file for the split {names[0]!r}; found {shown}; expected such as {expected}")
    return found


class BeirFolder(JudgedCollection):
    """BEIR's layout, and CoIR's on the hub, which has Parquet files in folders of the parts' names.

    Args:
        folder: the folder.
        qrels_files: files with the judgments.

    Raises:
        DataError: a part is missing, or there are two files of it.
    """

    def __init__(self, folder: Path, qrels_files: Sequence[Path]) -> None:
        self.corpus_files, self.query_files = _part(folder, CORPUS), _part(folder, QUERIES)
        self.qrels_files = qrels_files

    def _documents(self) -> Iterator[IdentifiedText | RowProblem]:
        return _identified(self.corpus_files, titles=True)

    def _queries(self) -> Iterator[IdentifiedText | RowProblem]:
        return _identified(self.query_files, titles=False)

    def _judgments(self) -> Iterator[Judgment | RowProblem]:
        for file in self.qrels_files:
            for row in raw_rows(file, QRELS_HEADER):
                if isinstance(row, RowProblem):
                    yield row
                    continue
                values = {name.replace("_", "-"): value for name, value in row.values.items()}
                if not values.keys() >= set(QRELS_HEADER):
                    yield _missing_column(file, row, QRELS_HEADER)
                    continue
                yield _judgment(file, row.line, *(values[name] for name in QRELS_HEADER))


def _part(folder: Path, name: str) -> list[Path]:
    if (folder / name).is_dir():
        return data_files(folder / name)
    files = _files_named(folder, name)
    if not files:
        raise DataError(f"{folder}: has no {name}; expected {name}.jsonl, or a folder {name!r} with data files")
    if len(files) > 1:
        shown = ", ".join(file.name for file in files)
        raise DataError(f"{folder}: has {shown}; expected one of them, so remove or rename the others")
    return files


def _identified(files: Iterable[Path], *, titles: bool) -> Iterator[IdentifiedText | RowProblem]:
    """Rows with an id and a text; with `titles`, title and text are joined by a blank and stripped, as BEIR does."""
    for file in files:
        reader = RowReader(_WITH_IDS, {}, str(file))
        for row in raw_rows(file):
            if isinstance(row, RowProblem):
                yield row
                continue
            values = {"_id": row.values.get("id"), **row.values}
            if values["_id"] is None or "text" not in values:
                yield _missing_column(file, row, ("_id", "text"))
                continue
            text, title = values["text"], values.get("title")
            if titles and isinstance(text, str):
                values["text"] = f"{title} {text}".strip() if isinstance(title, str) else text.strip()
            yield from _read(reader, row.line, values)


class CosqaFiles(JudgedCollection):
    """CoSQA's layout. A row also has the docstring of its function, which is not the query.

    Args:
        folder: folder with the map of functions.
        files: files of rows with `doc`, `retrieval_idx` and perhaps `label`.
    """

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        self.corpus_files, self.query_files, self.qrels_files = [folder / CODE_MAP], files, files

    def _documents(self) -> Iterator[IdentifiedText | RowProblem]:
        (path,) = self.corpus_files
        file = str(path)
        try:
            functions = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=object_of_pairs)
        except (ValueError, RecursionError) as error:
            yield RowProblem(file, None, "bad-json", f"{error}; expected one object with an index per function")
            return
        if not isinstance(functions, dict):
            yield RowProblem(file, None, "not-an-object", "expected one object with an index per function")
            return
        for code in repeated_keys(functions):
            yield RowProblem(file, None, "bad-id", f"the function {shorten(code)!r} comes twice; delete one of them")
        reader = RowReader(_WITH_IDS, {}, file)
        for code, index in functions.items():
            yield from _read(reader, None, {"_id": index, "text": code})

    def _queries(self) -> Iterator[IdentifiedText | RowProblem]:
        """The distinct queries, which are their own ids, so that rows with the same query are one query."""
        known: set[str] = set()
        for file in self.query_files:
            reader = RowReader(_QUERY, {}, str(file))
            for row in raw_rows(file):
                if isinstance(row, RowProblem):
                    yield row
                elif not set(COSQA_COLUMNS) <= row.values.keys():
                    yield _missing_column(file, row, COSQA_COLUMNS)
                elif (query := str(row.values["doc"]).strip()) not in known:
                    known.add(query)
                    yield from _read(reader, row.line, row.values | {"_id": query})

    def _judgments(self) -> Iterator[Judgment | RowProblem]:
        """The rows' pairs, with their label as grade; a row without a label is a right pair."""
        for file in self.qrels_files:
            for row in raw_rows(file):
                if isinstance(row, DataRow) and set(COSQA_COLUMNS) <= row.values.keys():
                    query, index = (row.values[name] for name in COSQA_COLUMNS)
                    yield _judgment(file, row.line, query, index, row.values.get("label", 1))


def _read(reader: RowReader, line: int | None, values: dict[str, object]) -> Iterator[IdentifiedText | RowProblem]:
    """An id and a text, checked as the columns of a task are."""
    cells = reader.read(line or 0, values)
    if isinstance(cells, list):
        yield from (replace(problem, line=line) for problem in cells)
    else:
        yield IdentifiedText(reader.file, line, *cells.values())


def _missing_column(file: Path, row: DataRow, expected: Sequence[str]) -> RowProblem:
    message = f"expected the columns {', '.join(expected)}; found {', '.join(row.values) or 'none'}; rename them"
    return RowProblem(str(file), row.line, "missing-column", message)


def _judgment(file: Path, line: int, query: object, document: object, grade: object) -> Judgment | RowProblem:
    text = f"{grade:.0f}" if isinstance(grade, float) and grade.is_integer() else str(grade).strip()
    if isinstance(grade, bool) or not re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        message = f"the score {shorten(str(grade))!r} is not a whole number; expected 0 for a document that is not "
        return RowProblem(str(file), line, "bad-grade", f"{message}relevant, and 1 or more for one that is")
    return Judgment(str(file), line, str(query).strip(), str(document).strip(), int(text))


def _with_unique_ids(rows: Iterable[IdentifiedText | RowProblem]) -> Iterator[IdentifiedText | RowProblem]:
    """The rows, with a problem in place of each whose id came before."""
    first: dict[str, tuple[bytes, str]] = {}
    for row in rows:
        if isinstance(row, RowProblem):
            yield row
            continue
        digest = hashlib.blake2b(row.text.encode(), digest_size=16).digest()
        if row.id not in first:
            first[row.id] = digest, row.file if row.line is None else f"{row.file}:{row.line}"
            yield row
            continue
        before, where = first[row.id]
        if before == digest:
            message = f"repeats the id {shorten(row.id)!r} of {where}; delete one of them"
            yield RowProblem(row.file, row.line, "duplicate", message)
        else:
            message = f"the id {shorten(row.id)!r} has another text in {where}; give each its own id"
            yield RowProblem(row.file, row.line, "bad-id", message)
