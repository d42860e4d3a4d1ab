"""Intervals of scores and differences to base, from the per-example scores of runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from telly.metrics.estimate import Resampled
from telly.metrics.interval import Interval, Statistic
from telly.metrics.per_example import read_per_example
from telly.metrics.significance import Difference, bootstrap_runs, differences, enough_resamples
from telly.metrics.table import METRICS
from telly.reports.groups import ComparisonGroup, ResultRow

RowIndex = int
"""Index of a row in its comparison group."""


@dataclass(frozen=True)
class GroupScores:
    """Bootstrap results of a comparison group.

    Attributes:
        intervals: 95 % intervals by index of the row and metric; rows without per-example scores have none.
        differences: differences to base, by the same keys.
        without: rows whose runs have no per-example scores.
        comparisons: number of differences on the page, over which p-values were corrected.
    """

    intervals: dict[tuple[RowIndex, str], Interval]
    differences: dict[tuple[RowIndex, str], Difference]
    without: tuple[ResultRow, ...]
    comparisons: int = 0


def score_groups(groups: Sequence[ComparisonGroup], margin: float, resamples: int, seed: int = 0) -> list[GroupScores]:
    """Resample the examples of all groups, and test every difference to base, corrected over all the groups of a page.

    Args:
        groups: the comparison groups of one page.
        margin: relative loss of base's value up to which a row is called similar.
        resamples: minimum number of resamples; pages with many comparisons of single runs need more.
        seed: seed of the resampling.

    Raises:
        DataError: a run's scores cannot be read.
    """
    statistics = [
        {row: _statistics(result, group.metrics) for row, result in enumerate(group.rows)} for group in groups
    ]
    tests = [test for g, group in enumerate(groups) for test in _tests(g, group, statistics[g])]
    single_runs = sum(min(len(groups[g].rows[index].runs) for index in (row, base)) == 1 for g, row, base, _ in tests)
    resampled: dict[tuple[int, RowIndex, str], Resampled] = {}
    for g, group in enumerate(groups):
        # rows on the same test examples are resampled together: differences are paired, and much more certain so
        by_test_data: defaultdict[str | None, dict[RowIndex, dict[int, dict[str, Statistic]]]] = defaultdict(dict)
        for row, runs in statistics[g].items():
            if runs:
                by_test_data[group.rows[row].test_data][row] = runs
        for systems in by_test_data.values():
            values = bootstrap_runs(systems, enough_resamples(resamples, single_runs), seed)
            resampled |= {(g, row, metric): value for (row, metric), value in values.items()}
    compared = differences(
        {
            (g, row, metric): (resampled[g, row, metric], resampled[g, base, metric], METRICS[metric].greater_is_better)
            for g, row, base, metric in tests
        },
        margin,
    )
    return [
        GroupScores(
            {(row, metric): value.interval for (owner, row, metric), value in resampled.items() if owner == g},
            {(row, metric): value for (owner, row, metric), value in compared.items() if owner == g},
            tuple(result for row, result in enumerate(group.rows) if not statistics[g][row]),
            len(compared),
        )
        for g, group in enumerate(groups)
    ]


def _tests(
    g: int, group: ComparisonGroup, statistics: Mapping[RowIndex, Mapping[int, Mapping[str, Statistic]]]
) -> Iterator[tuple[int, RowIndex, RowIndex, str]]:
    """The comparisons of a group: index of the group, of a row and of its base, and a metric that both have."""
    for row, result in enumerate(group.rows):
        base = group.base_of(result)
        if base is None or result.test_data != base.test_data:
            continue
        base_row = group.rows.index(base)
        for metric in group.metrics:
            if all(statistics[r] and metric in next(iter(statistics[r].values())) for r in (row, base_row)):
                yield g, row, base_row, metric


def _statistics(row: ResultRow, metrics: tuple[str, ...]) -> dict[int, dict[str, Statistic]]:
    """Per-example statistics by seed and metric, for metrics that all runs of the row have; empty if a run has none."""
    by_seed = {}
    for run in row.runs:
        if run.record.scores is None:
            return {}
        by_seed[run.seed] = read_per_example(run.folder / run.record.scores)
    common = [name for name in metrics if all(name in scores for scores in by_seed.values())]
    return {seed: {name: scores[name] for name in common} for seed, scores in by_seed.items()} if common else {}
