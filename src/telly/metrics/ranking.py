"""Ranking metrics (MRR, recall, MAP, MAP@R) from the ranks of right answers, the best rank being 1; needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from telly.metrics.interval import Statistic, mean_statistic

RECALL_CUTOFFS = (1, 5, 10)

Texts = Sequence[str]
Statistics = dict[str, Statistic]


def rank_statistics(ranks: Sequence[Sequence[int]], relevant: Sequence[int]) -> Statistics:
    """`mrr` and `recall@k` of queries, in a form that can be resampled.

    Args:
        ranks: ranks of each query's right answers, ascending, without those that are not ranked.
        relevant: number of right answers of each query, [queries].
    """
    recalls = {
        f"recall@{k}": [sum(rank <= k for rank in of_query) / n for of_query, n in zip(ranks, relevant, strict=True)]
        for k in RECALL_CUTOFFS
    }
    columns = {"mrr": [1 / of_query[0] if of_query else 0.0 for of_query in ranks], **recalls}
    return {name: mean_statistic(np.array(values)) for name, values in columns.items()}


def search_statistics(rankings: Texts, answers: Texts) -> Statistics:
    """`mrr`, `recall@k` and `map` of rankings, in the form that can be resampled.

    Args:
        rankings: ids separated by white space, best first; a right one that is missing counts as ranked last of all.
        answers: the right ids; with one per query, `map` equals `mrr`.
    """
    queries = [_ranks(r, a) for r, a in zip(rankings, answers, strict=True)]
    ranks, relevant = [ranks for ranks, _ in queries], [count for _, count in queries]
    precisions = [_precision_sum(ranks) / count for ranks, count in queries]
    return rank_statistics(ranks, relevant) | {"map": mean_statistic(np.array(precisions))}


def clone_retrieval_statistics(rankings: Texts, answers: Texts) -> Statistics:
    """`map@r` of rankings (see `map_at_r`), and `r_precision`, in the form that can be resampled."""
    queries = [_ranks(r, a) for r, a in zip(rankings, answers, strict=True)]
    # A query with R right answers is judged by its first R ranks alone.
    first = [([rank for rank in ranks if rank <= relevant], relevant) for ranks, relevant in queries]
    return {
        "map@r": mean_statistic(np.array([_precision_sum(ranks) / relevant for ranks, relevant in first])),
        "r_precision": mean_statistic(np.array([len(ranks) / relevant for ranks, relevant in first])),
    }


def _ranks(ranking: str, answers: str) -> tuple[list[int], int]:
    """Ranks of the right answers, from 1 and ascending, and the number of right answers."""
    right = set(answers.split())
    return [rank for rank, candidate in enumerate(ranking.split(), 1) if candidate in right], len(right)


def _precision_sum(ranks: Sequence[int]) -> float:
    """Sum of the precision at each right answer."""
    return sum(hits / rank for hits, rank in enumerate(ranks, 1))
