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

RowNumber = int


@dataclass(frozen=True)
class GroupScores:
    """Bootstrap results of a comparison group.

    Attributes:
        intervals: by index of the row and metric; rows whose runs kept no scores have none.
        differences: differences to base, by the same keys.
        without: rows whose runs kept no scores.
        comparisons: number of differences on the page, over which p was corrected.
    """

    intervals: dict[tuple[RowNumber, str], Interval]
    differences: dict[tuple[RowNumber, str], Difference]
    without: tuple[ResultRow, ...]
    comparisons: int = 0


def score_groups(groups: Sequence[ComparisonGroup], margin: float, resamples: int, seed: int = 0) -> list[GroupScores]:
    """Resample the examples of all groups, and test every difference to base, corrected over all the groups of a page.

    Args:
        groups: of one page.
        margin: share of base's value that may be lost and still be called similar.
        resamples: at least so many; more where the page has many comparisons of single runs.
        seed: of the resampling.

    Raises:
        DataError: a run's scores cannot be read.
    """
    kept = [{number: _kept(row, group.metrics) for number, row in enumerate(group.rows)} for group in groups]
    tests = [test for at, group in enumerate(groups) for test in _tests(at, group, kept[at])]
    singles = sum(min(len(groups[at].rows[n].runs) for n in (number, base)) == 1 for at, number, base, _ in tests)
    found: dict[tuple[int, RowNumber, str], Resampled] = {}
    for at, group in enumerate(groups):
        by_test: defaultdict[str | None, dict[RowNumber, dict[int, dict[str, Statistic]]]] = defaultdict(dict)
        for number, runs in kept[at].items():
            if runs:
                by_test[group.rows[number].test_data][number] = runs
        for systems in by_test.values():
            drawn = bootstrap_runs(systems, enough_resamples(resamples, singles), seed)
            found |= {(at, number, metric): value for (number, metric), value in drawn.items()}
    compared = differences(
        {
            (at, number, metric): (found[at, number, metric], found[at, base, metric],
                                   METRICS[metric].greater_is_better)
            for at, number, base, metric in tests
        },
        margin,
    )  # fmt: skip
    return [
        GroupScores(
            {(number, metric): value.interval for (of, number, metric), value in found.items() if of == at},
            {(number, metric): value for (of, number, metric), value in compared.items() if of == at},
            tuple(row for number, row in enumerate(group.rows) if not kept[at][number]),
            len(compared),
        )
        for at, group in enumerate(groups)
    ]


def _tests(
    at: int, group: ComparisonGroup, kept: Mapping[RowNumber, Mapping[int, Mapping[str, Statistic]]]
) -> Iterator[tuple[int, RowNumber, RowNumber, str]]:
    """The comparisons of a group: index of the group, of a row and of its base, and a metric that both kept."""
    for number, row in enumerate(group.rows):
        base = group.base_of(row)
        if base is None:
            continue
        against = group.rows.index(base)
        if row.test_data != base.test_data:
            continue
        for name in group.metrics:
            if all(kept[n] and name in next(iter(kept[n].values())) for n in (number, against)):
                yield at, number, against, name


def _kept(row: ResultRow, metrics: tuple[str, ...]) -> dict[int, dict[str, Statistic]]:
    """Statistics by seed, for metrics that every run of the row kept; empty if a run kept none."""
    by_seed = {}
    for run in row.runs:
        if run.record.scores is None:
            return {}
        by_seed[run.seed] = read_per_example(run.folder / run.record.scores)
    common = [name for name in metrics if all(name in found for found in by_seed.values())]
    return {seed: {name: found[name] for name in common} for seed, found in by_seed.items()} if common else {}
