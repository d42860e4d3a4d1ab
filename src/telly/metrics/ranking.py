"""Ranking metrics from the ranks of right answers, the best rank being 1; needs no torch.

NDCG@10 and MAP follow trec_eval (and so pytrec_eval, BEIR and MTEB): the gain of an answer is its grade, the discount
is log2(rank + 1), and average precision counts all right answers, ranked or not (Järvelin and Kekäläinen 2002).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from telly.metrics.answers import graded
from telly.metrics.interval import Statistic, mean_statistic

RECALL_CUTOFFS = (1, 5, 10)
CUTOFF = 10
"""Number of answers that `mrr@10` and `ndcg@10` look at."""

Texts = Sequence[str]
Statistics = dict[str, Statistic]


class QueryRanks(NamedTuple):
    """Ranks of one query's right answers.

    Attributes:
        ranks: rank of each right answer that is ranked, ascending.
        grades: grade of each of these.
        all_grades: grades of all right answers, in any order.
    """

    ranks: Sequence[int]
    grades: Sequence[int]
    all_grades: Sequence[int]


def rank_statistics(queries: Sequence[QueryRanks]) -> Statistics:
    """`mrr`, `mrr@10`, `ndcg@10`, `map` and `recall@k` of queries, in a form that can be resampled."""
    columns = {
        "mrr": [_reciprocal_rank(query) for query in queries],
        "mrr@10": [_reciprocal_rank(query, CUTOFF) for query in queries],
        "ndcg@10": [_ndcg(query) for query in queries],
        "map": [_precision_sum(query.ranks) / len(query.all_grades) for query in queries],
    }
    for k in RECALL_CUTOFFS:
        columns[f"recall@{k}"] = [sum(rank <= k for rank in ranks) / len(every) for ranks, _, every in queries]
    return {name: mean_statistic(np.array(values)) for name, values in columns.items()}


def search_statistics(rankings: Texts, answers: Texts) -> Statistics:
    """The metrics of `rank_statistics` for rankings.

    Args:
        rankings: ids separated by white space, best first; a right one that is missing counts as ranked last of all.
        answers: the right ids, as `telly.metrics.answers.graded` reads them; with one right id per query, `map` equals
            `mrr`.
    """
    return rank_statistics([_ranks(ranking, graded(answer)) for ranking, answer in zip(rankings, answers, strict=True)])


def clone_retrieval_statistics(rankings: Texts, answers: Texts) -> Statistics:
    """`map@r` of rankings (see `map_at_r`), and `r_precision`, in the form that can be resampled."""
    queries = [_ranks(ranking, graded(answer)) for ranking, answer in zip(rankings, answers, strict=True)]
    # A query with R right answers is judged by its first R ranks alone.
    first = [([rank for rank in ranks if rank <= len(every)], len(every)) for ranks, _, every in queries]
    return {
        "map@r": mean_statistic(np.array([_precision_sum(ranks) / relevant for ranks, relevant in first])),
        "r_precision": mean_statistic(np.array([len(ranks) / relevant for ranks, relevant in first])),
    }


def _ranks(ranking: str, right: Mapping[str, int]) -> QueryRanks:
    """Ranks of the right answers in a ranking."""
    ranks = {rank: right[word] for rank, word in enumerate(ranking.split(), 1) if word in right}
    return QueryRanks([*ranks], [*ranks.values()], [*right.values()])


def _reciprocal_rank(query: QueryRanks, cutoff: float = math.inf) -> float:
    """1 / rank of the best right answer, 0 if it is not ranked or beyond the cutoff."""
    return 1 / query.ranks[0] if query.ranks and query.ranks[0] <= cutoff else 0.0


def _ndcg(query: QueryRanks) -> float:
    """Discounted gain of the first ten answers, divided by that of the best possible ranking."""
    best = enumerate(sorted(query.all_grades, reverse=True)[:CUTOFF], 1)
    found = zip(query.ranks, query.grades, strict=True)
    return _gain((rank, grade) for rank, grade in found if rank <= CUTOFF) / _gain(best)


def _gain(graded_ranks: Iterable[tuple[int, int]]) -> float:
    """Sum of grades, each divided by log2(rank + 1)."""
    return sum(grade / math.log2(rank + 1) for rank, grade in graded_ranks)


def _precision_sum(ranks: Sequence[int]) -> float:
    """Sum of the precision at each right answer."""
    return sum(hits / rank for hits, rank in enumerate(ranks, 1))
