"""Ranking metrics (MRR, recall, MAP, MAP@R) from the ranks of right answers, the best rank being 1; needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from telly.metrics.interval import Statistic, mean_statistic

RECALL_CUTOFFS = (1, 5, 10)

Texts = Sequence[str]
Statistics = dict[str, Statistic]


def rank_statistics(ranks: Sequence[Sequence[int]], right: Sequence[int]) -> Statistics:
    """`mrr` and `recall@k` of queries, in a form that can be resampled.

    Args:
        ranks: ranks at which each query's right answers were found, in order; empty where none was.
        right: number of right answers of each query, [queries].
    """
    recalls = {
        f"recall@{k}": [sum(rank <= k for rank in found) / count for found, count in zip(ranks, right, strict=True)]
        for k in RECALL_CUTOFFS
    }
    columns = {"mrr": [1 / found[0] if found else 0.0 for found in ranks], **recalls}
    return {name: mean_statistic(np.array(values)) for name, values in columns.items()}


def search_statistics(rankings: Texts, answers: Texts) -> Statistics:
    """`mrr`, `recall@k` and `map` of rankings, in the form that can be resampled.

    Args:
        rankings: ids separated by white space, best first; a right one that is missing counts as ranked last of all.
        answers: the right ids; with one a query, `map` is `mrr`.
    """
    ranks = [_ranks(r, a) for r, a in zip(rankings, answers, strict=True)]
    places, right = [found for found, _ in ranks], [count for _, count in ranks]
    precisions = [_precision_sum(found) / count for found, count in ranks]
    return rank_statistics(places, right) | {"map": mean_statistic(np.array(precisions))}


def clone_retrieval_statistics(rankings: Texts, answers: Texts) -> Statistics:
    """`map@r` of rankings (see `map_at_r`), and `r_precision`, in the form that can be resampled."""
    ranks = [_ranks(r, a) for r, a in zip(rankings, answers, strict=True)]
    found = [([rank for rank in places if rank <= right], right) for places, right in ranks]
    return {
        "map@r": mean_statistic(np.array([_precision_sum(places) / right for places, right in found])),
        "r_precision": mean_statistic(np.array([len(places) / right for places, right in found])),
    }


def _ranks(ranking: str, answers: str) -> tuple[list[int], int]:
    """Ranks, from 1, at which right answers stand, and how many right ones there are."""
    right = set(answers.split())
    return [rank for rank, candidate in enumerate(ranking.split(), 1) if candidate in right], len(right)


def _precision_sum(ranks: Sequence[int]) -> float:
    """Sum of the precision at each right answer."""
    return sum(number / rank for number, rank in enumerate(ranks, 1))
