"""Retrieval metrics over ranks. A rank of 1 is best; ties count against the model (see `ranks_of_targets`)."""

from __future__ import annotations

import torch

RECALL_CUTOFFS = (1, 5, 10)
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
        chunk: queries scored at a time.

    Returns:
        ranks from 1 to the number of candidates, [queries]. A score that is not a number ranks last.
    """
    ranks = []
    for start in range(0, len(queries), chunk):
        scores = queries[start : start + chunk] @ candidates.T  # [chunk, candidates]
        ranks.append(ranks_in_scores(scores, targets[start : start + chunk]))
    return torch.cat(ranks)


def ranks_in_scores(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Rank of each row's target in given scores, [queries, candidates]; ties and NaN count against it."""
    own = scores.gather(1, targets.unsqueeze(1))  # [queries, 1]
    return scores.shape[1] - (scores < own).sum(dim=1)


def retrieval_metrics(ranks: torch.Tensor) -> dict[str, float]:
    """Mean reciprocal rank and recall at 1, 5, 10, as shares of one.

    Args:
        ranks: rank of the right candidate for every query, [queries]; must not be empty.

    Returns:
        `mrr`, `recall@1`, `recall@5`, `recall@10`; greater is better for all.
    """
    if not len(ranks):
        raise ValueError("no ranks: expected at least one query")
    metrics = {"mrr": (1.0 / ranks.double()).mean().item()}
    return metrics | {f"recall@{k}": (ranks <= k).double().mean().item() for k in RECALL_CUTOFFS}
