"""Retrieval metrics over ranks. A rank of 1 is best; ties count against the model (see `ranks_in_scores`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from telly.metrics.interval import Statistic, values_of
from telly.metrics.judgments import Judgments
from telly.metrics.ranking import QueryRanks, rank_statistics

CHUNK_QUERIES = 256

Scores = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Scores of queries [queries, hidden] and candidates [candidates, hidden], [queries, candidates]; greater is nearer."""


def dot_products(queries: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Dot products, which are cosines where embeddings have length 1, [queries, candidates]."""
    return queries @ candidates.T


def ranks_of_relevant(
    queries: torch.Tensor,
    candidates: torch.Tensor,
    judgments: Judgments,
    scores: Scores = dot_products,
    chunk: int = CHUNK_QUERIES,
) -> npt.NDArray[np.int64]:
    """Rank of each query's relevant documents among all candidates; see `ranks_in_scores`.

    Args:
        queries: [queries, hidden].
        candidates: [candidates, hidden].
        judgments: relevant candidates of every query.
        scores: similarity of queries and candidates.
        chunk: number of queries scored at a time, so that at most [chunk, candidates] scores are held.

    Returns:
        ranks from 1 to the number of candidates, in the order of the judgments' documents, [pairs].
    """
    ranks = []
    for start in range(0, len(queries), chunk):
        part = slice(start, start + chunk)
        rows = np.arange(len(queries))[part]
        ranks.append(ranks_in_scores(scores(queries[part], candidates), judgments.select(rows)))
    return np.concatenate(ranks)


def ranks_in_scores(scores: torch.Tensor, judgments: Judgments) -> npt.NDArray[np.int64]:
    """Rank of each row's relevant documents in scores [queries, candidates]; ties count against the model.

    Of equal scores, documents that are not relevant come first, and then the lower grades, so that a collapsed encoder,
    which gives every candidate the same score, ranks relevant documents last and not first. A score that is not a
    number comes before all others if its document is not relevant, and after them otherwise.

    Returns:
        ranks from 1, in the order of the judgments' documents, [pairs].
    """
    counts = judgments.counts
    queries = np.repeat(np.arange(len(judgments)), counts)  # [pairs]
    of_relevant = scores[torch.from_numpy(queries), torch.from_numpy(judgments.documents)]  # [pairs]
    position = np.arange(len(queries)) - judgments.offsets[queries]  # of a pair within its query
    ranks = np.empty(len(queries), dtype=np.int64)
    for place in range(counts.max(initial=0)):  # one document per query at a time, to hold no more than the scores
        at = np.flatnonzero(position == place)
        rows = scores if len(at) == len(scores) else scores[torch.from_numpy(queries[at])]
        # Counting what is lower, not what is higher: equal scores and NaN, which is never lower, push a document down.
        lower = (rows < of_relevant[torch.from_numpy(at)][:, None]).sum(dim=1)
        ranks[at] = scores.shape[1] - lower.cpu().numpy()
    # That also counts a query's other relevant documents of the same score. From the last of them upwards, each goes
    # one rank above the next.
    values = of_relevant.double().cpu().numpy()
    missing = np.isnan(values)
    order = np.lexsort((judgments.grades, -np.where(missing, 0, values), missing, queries))
    ordered = ranks[order]
    for place in range(counts.max(initial=1) - 2, -1, -1):
        at = np.flatnonzero((position == place) & (place < counts[queries] - 1))
        ordered[at] = np.minimum(ordered[at], ordered[at + 1] - 1)
    ranks[order] = ordered
    return ranks


def retrieval_metrics(ranks: npt.NDArray[np.int64], judgments: Judgments) -> dict[str, float]:
    """The metrics of `rank_statistics`, as fractions; greater is better for all.

    Args:
        ranks: rank of each relevant document, in the order of the judgments' documents, [pairs].
        judgments: relevant documents of every query; there must be a query.
    """
    return values_of(retrieval_statistics(ranks, judgments))


def retrieval_statistics(ranks: npt.NDArray[np.int64], judgments: Judgments) -> dict[str, Statistic]:
    """The metrics of `retrieval_metrics` in the form that can be resampled."""
    if not len(judgments):
        raise ValueError("no ranks: expected at least one query")
    queries = []
    for start, end in itertools.pairwise(judgments.offsets.tolist()):
        order = start + ranks[start:end].argsort()
        grades = judgments.grades[order].tolist()
        queries.append(QueryRanks(ranks[order].tolist(), grades, grades))
    return rank_statistics(queries)


class MapAtR(NamedTuple):
    """Result of `map_at_r`.

    Attributes:
        value: mean over the queries that have something to find, as a fraction; 0 if none has.
        per_query: average precision of every item as a query, NaN for an item whose label no other has, [items].
        left_out: number of items whose label no other has.
    """

    value: float
    per_query: torch.Tensor
    left_out: int


def map_at_r(
    embeddings: torch.Tensor, labels: torch.Tensor, scores: Scores = dot_products, chunk: int = CHUNK_QUERIES
) -> MapAtR:
    """Mean average precision at R, every item a query for the R others with its label (CodeXGLUE's POJ-104).

    Among a query's first R neighbours by score, itself left out, each right one at rank i adds (right ones up to
    i) / i; the sum over R is its average precision. Of equal scores the lower index comes first; a score that is not a
    number comes last. At most [chunk, items] scores are held at a time.

    Args:
        embeddings: [items, hidden].
        labels: [items].
        scores: similarity of two items. [default: the dot product]
        chunk: number of queries scored at a time.
    """
    if len(embeddings) != len(labels) or not len(embeddings):
        raise ValueError(f"expected one label for every embedding, found {len(labels)} for {len(embeddings)}")
    _, groups, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    relevant = sizes[groups] - 1  # R of every query, [items]
    deepest = int(relevant.max())
    lowest = torch.finfo(embeddings.dtype).min
    per_query = embeddings.new_full((len(embeddings),), float("nan"), dtype=torch.float64)
    for start in range(0, len(embeddings), chunk) if deepest else ():
        rows = torch.arange(start, min(start + chunk, len(embeddings)), device=embeddings.device)
        found = scores(embeddings[rows], embeddings).nan_to_num(nan=lowest)  # [chunk, items]
        found[rows - start, rows] = float("-inf")  # a query must not find itself
        order = found.sort(dim=1, descending=True, stable=True).indices[:, :deepest]  # [chunk, deepest]
        per_query[rows] = _average_precisions(labels[order] == labels[rows, None], relevant[rows])
    scored = per_query[~per_query.isnan()]
    return MapAtR(scored.mean().item() if len(scored) else 0.0, per_query, len(embeddings) - len(scored))


def _average_precisions(hits: torch.Tensor, relevant: torch.Tensor) -> torch.Tensor:
    """Average precision over each row's first R answers, [queries]; NaN where R is 0."""
    ranks = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    hits = (hits & (ranks <= relevant[:, None])).double()  # each row counts up to its own R only
    return (hits * hits.cumsum(dim=1) / ranks).sum(dim=1) / relevant  # 0 / 0 is NaN
