"""From gold and prediction files to the metrics of a task, with their intervals: what `telly score` prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from telly.metrics.agreement import in_the_same_terms
from telly.metrics.answers import read_pairs
from telly.metrics.interval import Interval, PairedComparison, bootstrap_intervals, paired_bootstrap
from telly.tasks import get_spec


@dataclass(frozen=True)
class Scores:
    """The scores of one file of predictions.

    Attributes:
        file: the predictions.
        examples: number of examples.
        empty_predictions: number of empty predictions.
        values: metrics by name.
        intervals: bootstrap intervals of the metrics.
        warnings: warnings about the files, such as predicted labels that are none of the right ones.
    """

    file: Path
    examples: int
    empty_predictions: int
    values: dict[str, float]
    intervals: dict[str, Interval]
    warnings: tuple[str, ...] = ()


def score(
    task: str,
    gold: Path,
    predictions: Path,
    other: Path | None = None,
    resamples: int = 1000,
    seed: int = 0,
    by_line: bool = False,
) -> tuple[Scores, Scores | None, dict[str, PairedComparison]]:
    """Score a file of predictions, and compare it with another file.

    Args:
        task: name of the task.
        gold: file of right answers.
        predictions: file of a system's predictions.
        other: file of another system's predictions for the same examples.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.
        by_line: match line by line and ignore ids.

    Returns:
        the scores of both files, and their difference per metric (first minus other); without `other` None and {}.

    Raises:
        DataError: as `read_pairs`, or no prediction can be right (`in_the_same_terms`).
        ConfigError: there is no such task.
    """
    files = [predictions] if other is None else [predictions, other]
    spec = get_spec(task)
    read = read_pairs(gold, files, spec.answers, by_line)
    systems = [in_the_same_terms(spec.answers, gold, file, pairs) for file, pairs in zip(files, read, strict=True)]
    statistics = [
        spec.score([predicted.value for _, predicted in pairs], [right.value for right, _ in pairs])
        for pairs, _ in systems
    ]
    scored = [
        Scores(
            file,
            len(pairs),
            sum(not predicted.value.strip() for _, predicted in pairs),
            {name: statistic.value for name, statistic in metrics.items()},
            bootstrap_intervals(metrics, resamples, seed),
            warnings,
        )
        for file, (pairs, warnings), metrics in zip(files, systems, statistics, strict=True)
    ]
    if other is None:
        return scored[0], None, {}
    return scored[0], scored[1], paired_bootstrap(statistics[0], statistics[1], resamples, seed)
