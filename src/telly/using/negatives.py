"""Hard negatives for search data: documents that rank high for a query without being one of its answers.

The method is top-k mining with a margin relative to the positive's score (NV-Retriever, Moreira et al. 2024), as in
sentence-transformers' `mine_hard_negatives`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from telly.data.judged import JudgedQueries
from telly.data.readers import read, read_to_evaluate, whole_rows
from telly.data.schema import NEGATIVES, spaced
from telly.disk import full_disk_as, whole_file
from telly.errors import ConfigError, DataError
from telly.freezing.build import existing_cache
from telly.freezing.cost import CacheDecision
from telly.freezing.states import StateDtype
from telly.inference.embedding_cache import cached_embeddings
from telly.inference.tuned_model import TunedModel
from telly.metrics.bm25 import Bm25
from telly.metrics.retrieval import CHUNK_QUERIES
from telly.mining.duplicates import Signature, are_near_duplicates, signature
from telly.models.similarity import Similarity
from telly.settings.config import TuneConfig
from telly.tasks import get_spec
from telly.tasks.training.embeddings import embed_rows
from telly.training.progress import counting_bar
from telly.tuning.caches import open_sources, requests
from telly.tuning.job import Job, prepare

TASK = "search"
COLUMN = NEGATIVES.name
"""Column of the mined negatives, a list of texts per row."""
BM25_MODEL = "bm25"

MARGIN, MAX_SCORE, NO_MATCH, COPY = "relative margin", "maximum score", "no common word", "near-copy of a positive"
NO_DOCUMENT = "no further document"
"""Reasons for which a query gets fewer negatives than asked for."""

Ranker = Callable[[list[int]], torch.Tensor]
"""Maps indices of queries to their scores of all documents, [queries, documents]."""


@dataclass(frozen=True)
class NegativeSettings:
    """Which documents are taken as negatives of a query.

    Ranks are those among all documents but the query's positives, from 1.

    Attributes:
        count: maximum number of negatives per query.
        min_rank: rank of the first candidate.
        max_rank: rank of the last candidate.
        relative_margin: a candidate is left out if it scores higher than the positive minus this fraction of it, which
            with 0.05 is 95 % of a positive score; None leaves none out. Of several positives the lowest score counts.
        max_score: highest score of a negative; None sets no limit.
        near_copies: whether near-copies of a positive are allowed.

    Raises:
        ConfigError: a value is out of range, or the ranks are fewer than `count`.
    """

    count: int = 5
    min_rank: int = 1
    max_rank: int = 100
    relative_margin: float | None = 0.05
    max_score: float | None = None
    near_copies: bool = False

    def __post_init__(self) -> None:
        if self.count < 1 or self.min_rank < 1:
            raise ConfigError(f"--count {self.count}, --min-rank {self.min_rank}: expected at least 1 of each")
        if self.max_rank - self.min_rank + 1 < self.count:
            raise ConfigError(
                f"--min-rank {self.min_rank} --max-rank {self.max_rank}: these are fewer ranks than --count "
                f"{self.count}; raise --max-rank to {self.min_rank + self.count - 1} or more"
            )
        if self.relative_margin is not None and not 0 <= self.relative_margin <= 1:
            raise ConfigError(f"--relative-margin {self.relative_margin}: expected a fraction from 0 to 1")


@dataclass(frozen=True)
class SearchData:
    """Queries and documents of a data set, each text once.

    Attributes:
        queries: distinct queries.
        documents: distinct documents; two that differ in white space alone are one.
        query_of: index of every row's query, [rows].
        positives: indices of every query's documents, [queries] lists.
        first_query: a row with the query, [queries].
        first_document: a row with the document; shorter than `documents` if some are in no row.
    """

    queries: list[str]
    documents: list[str]
    query_of: list[int]
    positives: list[list[int]]
    first_query: list[int]
    first_document: list[int]

    @classmethod
    def of(cls, queries: Sequence[str], documents: Sequence[str]) -> SearchData:
        """Group the rows of a data set, [rows] each."""
        query_index: dict[str, int] = {}
        document_index: dict[str, int] = {}
        data = cls([], [], [], [], [], [])
        for row, (query, document) in enumerate(zip(queries, documents, strict=True)):
            q = query_index.setdefault(query, len(query_index))
            if q == len(data.queries):
                data.queries.append(query)
                data.positives.append([])
                data.first_query.append(row)
            d = document_index.setdefault(spaced(document), len(document_index))
            if d == len(data.documents):
                data.documents.append(document)
                data.first_document.append(row)
            data.query_of.append(q)
            if d not in data.positives[q]:
                data.positives[q].append(d)
        return data

    def among(self, documents: Sequence[str]) -> SearchData:
        """The same queries, with the documents of a collection as well; these have no row."""
        known = {spaced(document) for document in self.documents}
        others = {spaced(document): document for document in documents}
        more = [document for key, document in others.items() if key not in known]
        return replace(self, documents=[*self.documents, *more])


@dataclass
class MinedNegatives:
    """Result of mining.

    Attributes:
        negatives: indices of documents by query, the most similar first, [queries] lists.
        scores: their scores.
        left_out: number of candidates that were left out, by reason.
        short: number of queries with fewer negatives than asked for, by reason; one query may have several reasons.
    """

    negatives: list[list[int]] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    short: Counter[str] = field(default_factory=Counter)

    def num_short(self, count: int) -> int:
        """Number of queries with fewer than `count` negatives."""
        return sum(len(found) < count for found in self.negatives)


@dataclass(frozen=True)
class NegativesReport:
    """Summary of a file with mined negatives.

    Attributes:
        file: the file.
        model: the model that ranked the documents, or `bm25`.
        settings: the settings.
        rows: number of rows.
        queries: number of distinct queries.
        documents: number of distinct documents.
        negatives: number of negatives of all queries.
        short_queries: number of queries with fewer negatives than asked for.
        without: number of queries without any.
        short: queries with fewer negatives by reason; a query may have several.
        left_out: candidates that were left out, by reason.
        cached_layers: frozen layers whose states came from the activation cache; None if none did.
    """

    file: str
    model: str
    settings: NegativeSettings
    rows: int
    queries: int
    documents: int
    negatives: int
    short_queries: int
    without: int
    short: dict[str, int]
    left_out: dict[str, int]
    cached_layers: int | None = None


def mine_negatives(
    source: str,
    output: Path,
    settings: NegativeSettings,
    *,
    model: str,
    cache_dir: Path,
    freeze: int | None = None,
    columns: dict[str, str] | None = None,
    overwrite: bool = False,
) -> NegativesReport:
    """Write the rows of search data with a column of hard negatives, as JSON lines.

    Args:
        source: data as `telly tune` reads it; of a folder or hub data set the training data.
        output: file to write.
        settings: which documents are taken.
        model: a run's folder, a model folder, a hub id, the embedded model, or `bm25`.
        cache_dir: folder of activation caches, in which embeddings are kept as well.
        freeze: number of layers whose states are computed once, kept in the activation cache and read from there by
            runs with that K; None reads the states of a run's frozen layers if they are there, and computes none.
        columns: names of the data's columns by those of the task.
        overwrite: replace an existing file.

    Raises:
        DataError: the data cannot be read, has negatives already, or has no second document.
        ConfigError: the output exists, or the model cannot embed.
        ModelError, PlanError, CacheError: the model cannot be loaded or split, or states cannot be cached.
    """
    if output.exists() and not overwrite:
        raise ConfigError(f"{output}: exists; choose another --output, or replace it with --overwrite")
    spec = get_spec(TASK)
    roles = spec.embedding_roles(spec.options())
    assert roles is not None
    schema = spec.schema.for_training()
    dataset = read(source, schema, columns, "train")
    if any(map(len, dataset[COLUMN])):
        raise DataError(f"{source}: has negatives already; remove their column, or train on it as it is")
    data = SearchData.of(dataset[roles.query], dataset[roles.document])
    judged = read_to_evaluate(source, schema, columns, "train")
    if isinstance(judged, JudgedQueries):
        if freeze is not None:
            raise ConfigError(f"--freeze: {source} is a collection, whose documents no run caches; leave it out")
        data = data.among(judged.documents[roles.document])
    if len(data.documents) < 2:
        raise DataError(f"{source}: all rows have the same {roles.document}; expected at least two to choose from")
    cached_layers = None
    if model == BM25_MODEL:
        ranker = _by_words(data)
    else:
        loaded = TunedModel.load(model, needs="embed")
        queries, documents, cached_layers = _embedded(loaded, data, dataset, cache_dir, freeze)
        ranker = _by_similarity(queries, documents, loaded.similarity)
    mined = choose(ranker, data, settings, positive_scores_only=model == BM25_MODEL)
    _write(output, source, data, mined)
    return NegativesReport(
        file=str(output),
        model=model,
        settings=settings,
        rows=len(data.query_of),
        queries=len(data.queries),
        documents=len(data.documents),
        negatives=sum(map(len, mined.negatives)),
        short_queries=mined.num_short(settings.count),
        without=mined.num_short(1),
        short=dict(mined.short.most_common()),
        left_out=dict(mined.left_out.most_common()),
        cached_layers=cached_layers,
    )


def choose(
    ranker: Ranker, data: SearchData, settings: NegativeSettings, *, positive_scores_only: bool = False
) -> MinedNegatives:
    """Choose the negatives of every query.

    Args:
        ranker: scores all documents for some queries.
        data: the queries, and their positives.
        settings: which documents are taken.
        positive_scores_only: leave out documents with a score of 0, which share no word with the query.
    """
    mined = MinedNegatives()
    signatures = cache(lambda document: signature(data.documents[document]))
    total = len(data.queries)
    with counting_bar("ranking", "query") as progress:
        for start in range(0, total, CHUNK_QUERIES):
            chunk = list(range(start, min(start + CHUNK_QUERIES, total)))
            scores = ranker(chunk)  # [chunk, documents]
            window = settings.max_rank + max(len(data.positives[query]) for query in chunk)
            best = scores.topk(min(window, scores.shape[1]), dim=1)
            for row, query in enumerate(chunk):
                positives = data.positives[query]
                limits = _ScoreLimits(settings, float(scores[row, positives].min()), positive_scores_only)
                copies = None if settings.near_copies else [signatures(document) for document in positives]
                _choose_for_query(
                    mined,
                    zip(best.indices[row].tolist(), best.values[row].tolist(), strict=True),
                    set(positives),
                    limits,
                    copies,
                    signatures,
                )
            progress(chunk[-1] + 1, total)
    return mined


@dataclass(frozen=True)
class _ScoreLimits:
    """The limits for one query.

    Attributes:
        settings: those of all queries.
        positive: lowest score of a positive.
        positive_scores_only: leave out scores of 0.
    """

    settings: NegativeSettings
    positive: float
    positive_scores_only: bool

    def reason_against(self, score: float) -> str | None:
        """The reason for which a candidate with this score is left out; None if it is not."""
        settings = self.settings
        if self.positive_scores_only and score <= 0:
            return NO_MATCH
        margin = settings.relative_margin
        # Not (1 - margin) x positive: that is above a negative score.
        if margin is not None and score > self.positive - margin * abs(self.positive):
            return MARGIN
        if settings.max_score is not None and score > settings.max_score:
            return MAX_SCORE
        return None


def _choose_for_query(
    mined: MinedNegatives,
    ranked: Iterator[tuple[int, float]],
    positives: set[int],
    limits: _ScoreLimits,
    copies: list[Signature] | None,
    signatures: Callable[[int], Signature],
) -> None:
    """Append the negatives of one query, and the reasons for which candidates were left out.

    Args:
        mined: the result so far.
        ranked: documents and scores, the highest score first.
        positives: the query's documents.
        limits: the limits for the query.
        copies: signatures of the positives, of which near-copies are left out; None leaves none out.
        signatures: signature by document.
    """
    settings = limits.settings
    documents: list[int] = []
    scores: list[float] = []
    reasons: Counter[str] = Counter()
    candidates = ((document, score) for document, score in ranked if document not in positives)
    for rank, (document, score) in enumerate(candidates, start=1):
        if rank > settings.max_rank or len(documents) == settings.count:
            break
        if rank < settings.min_rank:
            continue
        reason = limits.reason_against(score)
        if reason is None and copies and any(are_near_duplicates(signatures(document), copy) for copy in copies):
            reason = COPY
        if reason is not None:
            reasons[reason] += 1
            continue
        documents.append(document)
        scores.append(score)
    mined.negatives.append(documents)
    mined.scores.append(scores)
    mined.left_out.update(reasons)
    if len(documents) < settings.count:
        mined.short.update(list(reasons) or [NO_DOCUMENT])


def _by_words(data: SearchData) -> Ranker:
    """Rank by BM25."""
    index = Bm25.of(data.documents)
    return lambda chunk: torch.from_numpy(np.stack([index.scores(data.queries[query]) for query in chunk]))


def _by_similarity(queries: torch.Tensor, documents: torch.Tensor, similarity: Similarity) -> Ranker:
    """Rank by the similarity of embeddings, [queries, size] and [documents, size]."""
    return lambda chunk: similarity.scores(queries[chunk], documents)


def _embedded(
    model: TunedModel, data: SearchData, dataset: Any, cache_dir: Path, freeze: int | None
) -> tuple[torch.Tensor, torch.Tensor, int | None]:
    """Embeddings of queries and documents, and the number of layers whose states came from the activation cache."""
    in_rows = len(data.first_document) == len(data.documents)
    job = _job_with_cache(model, dataset, cache_dir, freeze) if in_rows else None
    if job is None:
        queries = cached_embeddings(model, data.queries, "query", cache_dir)
        documents = cached_embeddings(model, data.documents, "document", cache_dir)
        return torch.from_numpy(queries), torch.from_numpy(documents), None
    source = open_sources(job, CacheDecision(True, "asked for")).by_split["train"]
    roles = model.roles
    assert roles is not None  # of a model that embeds
    embeddings = []
    job.module.eval()
    with torch.no_grad(), job.autocast:
        for column, first in ((roles.query, data.first_query), (roles.document, data.first_document)):
            rows = job.train.rows[column][first]
            embeddings.append(embed_rows(job.module.embed, source, rows, job.module.device).cpu())
    return embeddings[0], embeddings[1], job.split.k


def _job_with_cache(model: TunedModel, dataset: Any, cache_dir: Path, freeze: int | None) -> Job | None:
    """The model, frozen up to the layer whose states the activation cache has or will have; None to run all of it.

    Texts are encoded as for training, so that a run on the same data reads the same cache.

    Args:
        model: the loaded model.
        dataset: the data.
        cache_dir: folder of activation caches.
        freeze: K; None takes that of the model's run if its cache is there.

    Raises:
        ConfigError: K is given for a model of another task, whose cache has other texts.
    """
    changes: dict[str, Any] = {"freeze": freeze, "cache_dir": cache_dir, "cache_always": True}
    if freeze is None and model.record is not None:
        changes |= {"freeze": model.record.k, "cache_dtype": StateDtype(model.record.config.values["cache_dtype"])}
    if model.task.name != TASK:
        if freeze is not None:
            raise ConfigError(f"--freeze: {model.name} is a model of {model.task.name}; expected one of {TASK}")
        return None
    if changes["freeze"] is None:
        return None
    # An untuned model that is loaded reads up to the limits of its folder, and in tuning up to those of the task.
    settings = model.settings if model.is_tuned else TuneConfig(task=TASK, model=model.name).resolve()
    job = prepare(settings.model_copy(update=changes), datasets={"train": dataset})
    return job if freeze is not None or existing_cache(requests(job)["train"]) else None


def _write(output: Path, source: str, data: SearchData, mined: MinedNegatives) -> None:
    """Write the data's own columns and the negatives, one JSON object per row.

    Raises:
        DataError: the data has negatives already or values that JSON lacks, or the file cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with (
            full_disk_as(lambda _: DataError(f"{output}: the disk is full; free some space and run the command again")),
            whole_file(output) as partial,
            partial.open("w", encoding="utf-8") as stream,
        ):
            for query, values in zip(data.query_of, whole_rows(source, get_spec(TASK).schema, "train"), strict=True):
                negatives = [data.documents[document] for document in mined.negatives[query]]
                stream.write(json.dumps(values | {COLUMN: negatives}, ensure_ascii=False, allow_nan=False) + "\n")
    except (TypeError, ValueError) as error:
        raise DataError(f"{source}: has values that JSON cannot hold ({error}); remove their column") from None
    except OSError as error:
        raise DataError(f"{output}: cannot be written: {error.strerror or error}; choose another --output") from None
