"""Intervals of scores and differences to base, from the per-example scores that runs keep; no model is run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from telly.metrics.interval import Interval, Statistic
from telly.metrics.kept import read_scores
from telly.metrics.significance import Difference, Resampled, bootstrap_runs, differences
from telly.metrics.table import METRICS
from telly.report.boards import Board, Row

RowNumber = int


@dataclass(frozen=True)
class BoardScores:
    """What the bootstrap says of a board.

    Attributes:
        intervals: by number of the row and metric; of rows whose runs kept no scores there is none.
        differences: to base, likewise.
        without: rows whose runs kept no scores.
    """

    intervals: dict[tuple[RowNumber, str], Interval]
    differences: dict[tuple[RowNumber, str], Difference]
    without: tuple[Row, ...]


def score_board(board: Board, margin: float, resamples: int, seed: int = 0) -> BoardScores:
    """Resample examples and seeds of all rows, and test every difference to base; corrected within the board.

    Raises:
        DataError: a run's scores cannot be read.
    """
    kept = {number: _kept(row, board.metrics) for number, row in enumerate(board.rows)}
    by_test: defaultdict[str | None, dict[RowNumber, dict[int, dict[str, Statistic]]]] = defaultdict(dict)
    for number, runs in kept.items():
        if runs:
            by_test[board.rows[number].test_data][number] = runs
    found: dict[tuple[RowNumber, str], Resampled] = {}
    for systems in by_test.values():
        found |= bootstrap_runs(systems, resamples, seed)
    pairs = {}
    for number, row in enumerate(board.rows):
        base = board.base_of(row)
        if base is None:
            continue
        against = board.rows.index(base)
        for name in board.metrics:
            if (number, name) in found and (against, name) in found:
                pairs[number, name] = (found[number, name], found[against, name], METRICS[name].greater_is_better)
    return BoardScores(
        {key: value.interval for key, value in found.items()},
        differences(pairs, margin),
        tuple(row for number, row in enumerate(board.rows) if not kept[number]),
    )


def _kept(row: Row, metrics: tuple[str, ...]) -> dict[int, dict[str, Statistic]]:
    """Statistics by seed, of the metrics that every run of the row kept; nothing where a run kept none."""
    by_seed = {}
    for run in row.runs:
        if run.record.scores is None:
            return {}
        by_seed[run.seed] = read_scores(run.folder / run.record.scores)
    common = [name for name in metrics if all(name in found for found in by_seed.values())]
    return {seed: {name: found[name] for name in common} for seed, found in by_seed.items()} if common else {}
