"""Reader of a task's columns, from local files or the Hugging Face hub into a memory-mapped data set.

Rows are streamed into an Arrow file in the cache of the `datasets` library (`HF_DATASETS_CACHE`), under a key derived
from the files' content, the columns and the mapping; the next read of the same data opens that file.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from telly.data.collection import TEXTS, IdentifiedText, JudgedCollection, collection_at
from telly.data.formats import content_files, data_files, format_of, named_twice, raw_rows, repeated_names
from telly.data.judged import JudgedQueries
from telly.data.schema import Cells, DataRow, RowProblem, RowReader, Schema, check_mapping
from telly.errors import DataError
from telly.hub import hub_answers
from telly.metrics.judgments import Judgments

if TYPE_CHECKING:
    from datasets import Dataset

CACHE_VERSION = 3  # raise it when the same files would be read differently
PAIRS_BATCH, VALUES_BATCH = 1000, 10_000
HUB_NAME = re.compile(r"(?P<name>[\w-][\w.-]*/[\w-][\w.-]*)(?::(?P<config>[\w.-]+))?")

RowT = TypeVar("RowT")


def read(
    source: str,
    schema: Schema,
    mapping: Mapping[str, str] | None = None,
    split: str | None = None,
    limit: int | None = None,
) -> Dataset:
    """Read the schema's columns, as strings or lists of strings, and nothing else.

    Of a collection with judgments (`telly.data.collection`) these are the pairs of a query and a relevant document.

    Args:
        source: a file (.jsonl, .json, .csv, .tsv, .parquet, all but the last also with .gz, or a list of pairs .txt
            beside data.jsonl), a folder of such files, a collection's folder or judgments, or a data set of the hub,
            `owner/name` or `owner/name:config`.
        schema: the columns to read.
        mapping: from the schema's names to the data's columns, if the known names do not fit.
        split: part of a folder or hub data set (default there: "train"). One file is one split.
        limit: read only the first rows.

    Returns:
        A `datasets.Dataset` with the schema's columns in their order, memory-mapped.

    Raises:
        DataError: there is no such data, or a row is bad; the text names the file and line. No bad row is skipped.
        ConfigError: the mapping does not fit the schema.
    """
    mapping = dict(mapping or {})
    check_mapping(schema, mapping)
    if limit is not None and limit < 1:
        raise DataError(f"cannot read {limit} rows of {source}; expected a limit of at least 1")
    hub = _on_hub(source)
    if hub:
        return _read_hub(source, hub, schema, mapping, split or "train", limit)
    collection = collection_at(Path(source), schema, split)
    if collection is not None:
        rows = _relevant_pairs(collection, source, schema)
        return _to_arrow(itertools.islice(rows, limit), source, schema, _key(collection.files, schema, {}, limit))
    files = data_files(Path(source), split)
    rows = _checked_files(files, schema, mapping)
    return _to_arrow(itertools.islice(rows, limit), source, schema, _key(files, schema, mapping, limit))


def read_to_evaluate(
    source: str, schema: Schema, mapping: Mapping[str, str] | None = None, split: str | None = None
) -> Dataset | JudgedQueries:
    """Read data to evaluate on: as `read`, but a collection with judgments as its queries and all its documents.

    Queries without a relevant document are left out. Documents with the same text are one, with the highest grade.

    Raises:
        DataError, ConfigError: as `read`.
    """
    collection = None if _on_hub(source) else collection_at(Path(source), schema, split)
    return read(source, schema, mapping, split) if collection is None else _read_collection(collection, source, schema)


def files_of(source: Path, schema: Schema, split: str | None) -> list[Path]:
    """All local files that the data at a path depend on.

    Raises:
        DataError: there is no such data.
    """
    collection = collection_at(source, schema, split)
    if collection is not None:
        return collection.files
    return [part for file in data_files(source, split) for part in content_files(file)]


def whole_rows(source: str, schema: Schema, split: str | None = None) -> Iterator[dict[str, object]]:
    """All values of every row, also those that no schema reads, in the order of `read`.

    Of a collection with judgments these are the schema's columns.

    Args:
        source: as for `read`.
        schema: as for `read`.
        split: as for `read`.

    Raises:
        DataError: there is no such data, or a row cannot be read.
    """
    hub = _on_hub(source)
    if hub:
        yield from map(dict, _load_hub(source, hub, split or "train", None))
    elif collection_at(Path(source), schema, split) is not None:
        yield from map(dict, read(source, schema, split=split))
    else:
        for file in data_files(Path(source), split):
            for row in raw_rows(file):
                if isinstance(row, RowProblem):
                    raise DataError(str(row))
                yield dict(row.values)


def column_names(source: str, split: str | None = None) -> list[str]:
    """Names of the values in the first row of a data set.

    Args:
        source: as for `read`.
        split: as for `read`.

    Raises:
        DataError: there is no such data, or its first row cannot be read.
    """
    hub = _on_hub(source)
    if hub:
        return list(_load_hub(source, hub, split or "train", 1).column_names)
    file = data_files(Path(source), split)[0]
    first = next(iter(raw_rows(file)), None)
    if isinstance(first, RowProblem):
        raise DataError(str(first))
    return [] if first is None else list(first.values)


def _on_hub(source: str) -> re.Match[str] | None:
    hub = HUB_NAME.fullmatch(source)
    return hub if hub and not Path(source).exists() and format_of(Path(source)) is None else None


def _read_collection(collection: JudgedCollection, source: str, schema: Schema) -> JudgedQueries:
    """The queries that have a relevant document, and all distinct documents; texts are streamed into Arrow files."""
    advice = _advice(collection.qrels_files[0], schema, {})
    documents = _identified_texts(collection.documents(), "documents", collection.corpus_files, source, advice)
    queries = _identified_texts(collection.queries(), "queries", collection.query_files, source, advice)
    candidates, first = _distinct(documents)
    document_rows = {id_: row for row, id_ in enumerate(_values(documents, "id"))}
    query_rows = {id_: row for row, id_ in enumerate(_values(queries, "id"))}
    judged: dict[int, dict[int, int]] = {}
    for judgment in _without_problems(collection.judgments(query_rows, document_rows), advice):
        relevant = judged.setdefault(query_rows[judgment.query], {})
        if judgment.grade > 0:
            candidate = int(candidates[document_rows[judgment.document]])
            relevant[candidate] = max(judgment.grade, relevant.get(candidate, 0))
    answered = {query: relevant for query, relevant in judged.items() if relevant}
    warnings = []
    if len(first) < len(documents):
        repeated = f"{len(documents) - len(first):,} of {len(documents):,} documents repeat the text of another"
        warnings.append(f"{repeated}; documents with the same text are one candidate, with the highest grade")
    if len(answered) < len(judged):
        without = f"{len(judged) - len(answered):,} of {len(judged):,} judged queries have no relevant document"
        warnings.append(f"{without} and are left out")
    query, document = schema.query_and_candidates
    return JudgedQueries(
        queries.select([*answered]).select_columns("text").rename_column("text", query),
        documents.select(first).select_columns("text").rename_column("text", document),
        Judgments.of(answered.values()),
        tuple(warnings),
    )


def _identified_texts(
    rows: Iterator[IdentifiedText | RowProblem], part: str, files: Sequence[Path], source: str, advice: str
) -> Dataset:
    """The documents or queries of a collection as a data set with the columns of `TEXTS`."""
    cells = ({"id": row.id, "text": row.text} for row in _without_problems(rows, advice))
    return _to_arrow(cells, source, TEXTS, _key(list(files), TEXTS, {"part": part}, None))


def _values(dataset: Dataset, column: str) -> Iterator[str]:
    for table in dataset.select_columns(column).with_format("arrow").iter(batch_size=VALUES_BATCH):
        yield from table[column].to_pylist()


def _distinct(documents: Dataset) -> tuple[list[int], list[int]]:
    """Index of each document's text among the distinct texts, [documents], and the row where each text comes first."""
    indices: dict[bytes, int] = {}
    first: list[int] = []
    distinct: list[int] = []
    for row, text in enumerate(_values(documents, "text")):
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        if digest not in indices:
            indices[digest] = len(first)
            first.append(row)
        distinct.append(indices[digest])
    return distinct, first


def _relevant_pairs(collection: JudgedCollection, source: str, schema: Schema) -> Iterator[Cells]:
    """The pairs of each query with its relevant documents, as rows of the schema; a collection has no negatives."""
    # This is a generator, so the collection is read only if the cache lacks these pairs.
    judged = _read_collection(collection, source, schema)
    query, document = schema.query_and_candidates
    others: Cells = {column.name: [] for column in schema.columns if column.is_optional}
    owners = np.repeat(np.arange(len(judged)), judged.judgments.counts)
    for start in range(0, len(owners), PAIRS_BATCH):
        batch = slice(start, start + PAIRS_BATCH)
        texts = judged.queries[owners[batch]][query], judged.documents[judged.judgments.documents[batch]][document]
        yield from ({query: one, document: other, **others} for one, other in zip(*texts, strict=True))


def _without_problems(rows: Iterable[RowT | RowProblem], advice: str) -> Iterator[RowT]:
    """The rows; a repeated one is left out, and any other problem raises a DataError."""
    for row in rows:
        if not isinstance(row, RowProblem):
            yield row
        elif row.kind != "duplicate":
            raise DataError(f"{row}; {advice}")


def _checked_files(files: list[Path], schema: Schema, mapping: dict[str, str]) -> Iterator[Cells]:
    for file in files:
        reader = RowReader(schema, mapping, str(file))
        yield from _checked(raw_rows(file), reader, _advice(file, schema, mapping))


def _advice(file: Path, schema: Schema, mapping: dict[str, str]) -> str:
    """Advice about a bad row: a command that reads the same columns of the same file, and so finds the row, too."""
    if not schema.is_task:
        return "mend it or delete the row"
    maps = [part for name, source in mapping.items() for part in ("--map", f"{name}={source}")]
    command = shlex.join(["telly", "data", "validate", str(file), "--task", schema.task, *maps])
    return f"`{command}` lists all problems"


def _checked(rows: Iterable[DataRow | RowProblem], reader: RowReader, advice: str) -> Iterator[Cells]:
    """Yield the columns of rows; raise a DataError at the first problem."""
    for row in rows:
        cells = [row] if isinstance(row, RowProblem) else reader.read(row.line, row.values)
        if isinstance(cells, list):
            raise DataError(f"{cells[0]}; {advice}")
        yield cells


def _key(files: list[Path], schema: Schema, mapping: dict[str, str], limit: int | None) -> str:
    """A digest of everything that the read data depends on: the files' content, the columns, the mapping, the limit."""
    digest = hashlib.blake2b(digest_size=16)
    for file in itertools.chain.from_iterable(map(content_files, files)):
        try:
            digest.update(f"{format_of(file)} {file.stat().st_size}\n".encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "blake2b").digest())
        except OSError as error:
            raise DataError(f"{file}: cannot be read: {error.strerror or error}") from None
    digest.update(repr((CACHE_VERSION, _columns(schema), sorted(mapping.items()), limit)).encode())
    return digest.hexdigest()


def _columns(schema: Schema) -> list[object]:
    """The parts of a schema that affect how a row is read, without its help texts."""
    return [(column.name, column.kind, column.source_names, column.values) for column in schema.columns]


def _to_arrow(rows: Iterator[Cells], source: str, schema: Schema, key: str) -> Dataset:
    import datasets
    from datasets.exceptions import DatasetGenerationError

    text = datasets.Value("string")
    lists = {"texts": datasets.List(text), "numbers": datasets.List(datasets.Value("float32"))}
    features = datasets.Features({column.name: lists.get(column.kind, text) for column in schema.columns})
    try:
        with _quiet():
            return datasets.Dataset.from_generator(
                lambda: _at_least_one(rows, source), features=features, fingerprint=key
            )
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, DataError):
            raise error.__cause__ from None
        raise DataError(_cache_message(source, error.__cause__ or error)) from error
    except OSError as error:
        raise DataError(_cache_message(source, error)) from None


def _cache_message(source: str, error: BaseException) -> str:
    from datasets import config

    message = f"{source}: cannot be written to the cache {config.HF_DATASETS_CACHE}: {error}"
    return f"{message}; free space there or set HF_DATASETS_CACHE to a folder that can be written"


def _at_least_one(rows: Iterator[Cells], source: str) -> Iterator[Cells]:
    first = next(rows, None)
    if first is None:
        raise DataError(f"{source}: has no rows; expected at least one")
    yield first
    yield from rows


def _read_hub(
    source: str, hub: re.Match[str], schema: Schema, mapping: dict[str, str], split: str, limit: int | None
) -> Dataset:
    raw = _load_hub(source, hub, split, limit)
    if repeated := repeated_names(raw.column_names):
        raise DataError(f"{source} ({split}): the data set has {named_twice(repeated)}")
    reader = RowReader(schema, mapping, f"{source} ({split})")
    rows = (DataRow(number, values) for number, values in enumerate(raw, start=1))
    key = hashlib.blake2b(repr((CACHE_VERSION, raw._fingerprint, _columns(schema), sorted(mapping.items()))).encode())
    advice = "mend it in a copy of the data and read that"
    return _to_arrow(_checked(rows, reader, advice), source, schema, key.hexdigest()[:32])


def _load_hub(source: str, hub: re.Match[str], split: str, limit: int | None) -> Dataset:
    import datasets

    online = hub_answers()
    try:
        with _quiet(), _offline(not online):
            return datasets.load_dataset(hub["name"], hub["config"], split=f"{split}[:{limit}]" if limit else split)
    except Exception as error:  # noqa: BLE001 - the hub's client raises anything from OSError to its own and pandas' errors
        raise DataError(_hub_message(source, split, error, online=online)) from None


def _hub_message(source: str, split: str, error: Exception, *, online: bool) -> str:
    if not online:
        return (
            f"{source}: no such file or folder, and the Hugging Face hub cannot be reached to look for a data set of "
            f"this name (nor is it in the cache); check the path, or go online and run the command again"
        )
    reason = str(error).strip().split("\n", maxsplit=1)[0] or type(error).__name__
    return (
        f"{source}: no such file or folder, and the Hugging Face hub does not give it as a data set with the split "
        f"{split!r}: {reason}; check the path, or write owner/name or owner/name:config"
    )


@contextmanager
def _offline(offline: bool) -> Iterator[None]:
    """Restrict the hub's client to its cache within the context, if `offline`."""
    import datasets
    from huggingface_hub import constants

    # Both libraries copy the environment variable at import, so both copies have to change.
    modules: list[Any] = [datasets.config, constants]
    before = [module.HF_HUB_OFFLINE for module in modules]
    try:
        for module in modules:
            module.HF_HUB_OFFLINE = offline or module.HF_HUB_OFFLINE
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value


@contextmanager
def _quiet() -> Iterator[None]:
    """Disable progress bars within the context."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = not are_progress_bars_disabled()
    try:
        disable_progress_bars()
        yield
    finally:
        if shown:
            enable_progress_bars()
