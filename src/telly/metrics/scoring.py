"""From gold and prediction files to the metrics of a task, with their intervals: what `telly score` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from telly.metrics.agreement import in_the_same_terms
from telly.metrics.answers import PredictionEntry, layout_for, read_pairs
from telly.metrics.classification import binary_statistics, multiclass_statistics
from telly.metrics.interval import (
    Interval,
    PairedComparison,
    Statistic,
    bootstrap_intervals,
    mean_statistic,
    paired_bootstrap,
)
from telly.metrics.suites import completion_statistics, generation_statistics, summarization_statistics

RECALL_CUTOFFS = (1, 5, 10)

Texts = Sequence[str]
Statistics = dict[str, Statistic]


@dataclass(frozen=True)
class Scores:
    """The scores of one file of predictions.

    Attributes:
        file: the predictions.
        examples: how many there are.
        empty_predictions: how many of them are empty.
        values: the metrics.
        intervals: their bootstrap intervals.
        cautions: what a reader of the scores should know, such as predicted labels that are none of the right ones.
    """

    file: Path
    examples: int
    empty_predictions: int
    values: dict[str, float]
    intervals: dict[str, Interval]
    cautions: tuple[str, ...] = ()


def score(
    task: str,
    gold: Path,
    predictions: Path,
    other: Path | None = None,
    resamples: int = 1000,
    seed: int = 0,
    by_line: bool = False,
) -> tuple[Scores, Scores | None, dict[str, PairedComparison]]:
    """Score a file of predictions, and compare it with another one.

    Args:
        task: a name in `TASKS`.
        gold: file of right answers.
        predictions: file of a system's predictions.
        other: file of another system's predictions for the same examples.
        resamples: of the bootstrap.
        seed: of its draws.
        by_line: match line by line whatever ids there are.

    Returns:
        the scores of both files, and per metric how they differ (first minus other); None and nothing without `other`.

    Raises:
        DataError: as `read_pairs`, or no prediction can be right (`in_the_same_terms`).
        ConfigError: there is no such task.
    """
    files = [predictions] if other is None else [predictions, other]
    layout = layout_for(task)
    read = read_pairs(gold, files, layout, by_line)
    systems = [in_the_same_terms(layout, gold, file, pairs) for file, pairs in zip(files, read, strict=True)]
    statistics = [_statistics(task, pairs) for pairs, _ in systems]
    scored = [
        Scores(
            file,
            len(pairs),
            sum(not given.value.strip() for _, given in pairs),
            {name: statistic.value for name, statistic in found.items()},
            bootstrap_intervals(found, resamples, seed),
            cautions,
        )
        for file, (pairs, cautions), found in zip(files, systems, statistics, strict=True)
    ]
    if other is None:
        return scored[0], None, {}
    return scored[0], scored[1], paired_bootstrap(statistics[0], statistics[1], resamples, seed)


def _statistics(task: str, pairs: Sequence[tuple[PredictionEntry, PredictionEntry]]) -> Statistics:
    return TASKS[task]([given.value for _, given in pairs], [right.value for right, _ in pairs])


def search_statistics(rankings: Texts, answers: Texts) -> Statistics:
    """`mrr`, `recall@k` and `map` of rankings, in the form that can be resampled.

    Args:
        rankings: ids separated by white space, best first; a right one that is missing counts as ranked last of all.
        answers: the right ids; with one a query, `map` is `mrr`.
    """
    ranks = [_ranks(r, a) for r, a in zip(rankings, answers, strict=True)]
    columns = {
        "mrr": [1 / found[0] if found else 0.0 for found, _ in ranks],
        **{f"recall@{k}": [sum(r <= k for r in found) / right for found, right in ranks] for k in RECALL_CUTOFFS},
        "map": [_precision_sum(found) / right for found, right in ranks],
    }
    return {name: mean_statistic(np.array(values)) for name, values in columns.items()}


def clone_retrieval_statistics(rankings: Texts, answers: Texts) -> Statistics:
    """`map@r` of rankings (see `map_at_r`), and `r_precision`, in the form that can be resampled."""
    ranks = [_ranks(r, a) for r, a in zip(rankings, answers, strict=True)]
    found = [([rank for rank in places if rank <= right], right) for places, right in ranks]
    return {
        "map@r": mean_statistic(np.array([_precision_sum(places) / right for places, right in found])),
        "r_precision": mean_statistic(np.array([len(places) / right for places, right in found])),
    }


def clone_statistics(predictions: Texts, labels: Texts) -> Statistics:
    """`precision`, `recall`, `f1` and `accuracy` of labels 0 and 1."""
    found = binary_statistics([int(label) for label in labels], [int(label) for label in predictions])
    return {name: found[name] for name in ("precision", "recall", "f1", "accuracy")}


def classify_statistics(predictions: Texts, labels: Texts) -> Statistics:
    """`accuracy` and `macro_f1` of any labels; where the right ones are 0 and 1 also `precision`, `recall`, `f1`.

    No label is always wrong and no class of its own, and so is another label than 0 and 1 where the right ones are
    these.
    """
    given, right = [text.strip() for text in predictions], [text.strip() for text in labels]
    binary = set(right) <= {"0", "1"}
    classes = ["0", "1"] if binary else sorted({*given, *right} - {""})
    number = {label: i for i, label in enumerate(classes)}
    found = multiclass_statistics([number[r] for r in right], [number.get(g, -1) for g in given], max(2, len(classes)))
    # Which of two names is the positive one is not known.
    return found if binary else {name: found[name] for name in ("accuracy", "macro_f1")}


TASKS: Mapping[str, Callable[[Texts, Texts], Statistics]] = {
    "search": search_statistics,
    "clone": clone_statistics,
    "clone-retrieval": clone_retrieval_statistics,
    "summarize": summarization_statistics,
    "generate": generation_statistics,
    "complete": completion_statistics,
    "classify": classify_statistics,
}


def _ranks(ranking: str, answers: str) -> tuple[list[int], int]:
    """Ranks, from 1, at which right answers stand, and how many right ones there are."""
    right = set(answers.split())
    return [rank for rank, candidate in enumerate(ranking.split(), 1) if candidate in right], len(right)


def _precision_sum(ranks: Sequence[int]) -> float:
    """Sum of the precision at each right answer."""
    return sum(number / rank for number, rank in enumerate(ranks, 1))
