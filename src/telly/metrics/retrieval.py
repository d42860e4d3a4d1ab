"""Retrieval metrics over ranks. A rank of 1 is best; ties count against the model (see `ranks_of_targets`)."""

from __future__ import annotations

from typing import NamedTuple

import torch

from telly.metrics.interval import Statistic, values_of
from telly.metrics.ranking import rank_statistics

CHUNK_QUERIES = 256


def ranks_of_targets(
    queries: torch.Tensor, candidates: torch.Tensor, targets: torch.Tensor, chunk: int = CHUNK_QUERIES
) -> torch.Tensor:
    """Rank of each query's target among all candidates, by dot product.

    A candidate with the same score as the target counts as ranked before it, so that a collapsed encoder, which gives
    every candidate the same score, ranks last and not first. At most [chunk, candidates] scores are held at a time.

    Args:
        queries: [queries, hidden].
        candidates: [candidates, hidden].
        targets: row of the right candidate for every query, [queries].
        chunk: number of queries scored at a time.

    Returns:
        ranks from 1 to the number of candidates, [queries]. A score that is not a number ranks last.
    """
    ranks = []
    for start in range(0, len(queries), chunk):
        scores = queries[start : start + chunk] @ candidates.T  # [chunk, candidates]
        ranks.append(ranks_in_scores(scores, targets[start : start + chunk]))
    return torch.cat(ranks)


def ranks_in_scores(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Rank of each row's target, [queries], from scores [queries, candidates]; ties and NaN count against it."""
    target_scores = scores.gather(1, targets.unsqueeze(1))  # [queries, 1]
    # Counting what is lower, not what is higher: equal scores and NaN, which is never lower, then push the target down.
    return scores.shape[1] - (scores < target_scores).sum(dim=1)


def retrieval_metrics(ranks: torch.Tensor) -> dict[str, float]:
    """Mean reciprocal rank and recall at 1, 5, 10, as fractions.

    Args:
        ranks: rank of the right candidate for every query, [queries]; must not be empty.

    Returns:
        `mrr`, `recall@1`, `recall@5`, `recall@10`; greater is better for all.
    """
    return values_of(retrieval_statistics(ranks))


def retrieval_statistics(ranks: torch.Tensor) -> dict[str, Statistic]:
    """The metrics of `retrieval_metrics` in the form that can be resampled."""
    if not len(ranks):
        raise ValueError("no ranks: expected at least one query")
    return rank_statistics(ranks.cpu().reshape(-1, 1).tolist(), [1] * len(ranks))


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


def map_at_r(embeddings: torch.Tensor, labels: torch.Tensor, chunk: int = CHUNK_QUERIES) -> MapAtR:
    """Mean average precision at R, every item a query for the R others with its label (CodeXGLUE's POJ-104).

    Among a query's first R neighbours by dot product, itself left out, each right one at rank i adds (right ones up to
    i) / i; the sum over R is its average precision. Of equal scores the lower index comes first; a score that is not a
    number comes last. At most [chunk, items] scores are held at a time.

    Args:
        embeddings: [items, hidden], of length 1 for cosine similarity.
        labels: [items].
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
        scores = (embeddings[rows] @ embeddings.T).nan_to_num(nan=lowest)  # [chunk, items]
        scores[rows - start, rows] = float("-inf")  # a query must not find itself
        order = scores.sort(dim=1, descending=True, stable=True).indices[:, :deepest]  # [chunk, deepest]
        per_query[rows] = _average_precisions(labels[order] == labels[rows, None], relevant[rows])
    scored = per_query[~per_query.isnan()]
    return MapAtR(scored.mean().item() if len(scored) else 0.0, per_query, len(embeddings) - len(scored))


def _average_precisions(hits: torch.Tensor, relevant: torch.Tensor) -> torch.Tensor:
    """Average precision over each row's first R answers, [queries]; NaN where R is 0."""
    ranks = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    hits = (hits & (ranks <= relevant[:, None])).double()  # each row counts up to its own R only
    return (hits * hits.cumsum(dim=1) / ranks).sum(dim=1) / relevant  # 0 / 0 is NaN
