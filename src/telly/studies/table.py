"""Results of a study so far: one table per model and task, with one row per variant."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from telly.errors import DataError
from telly.freezing.variants import Variant
from telly.markdown import DASH, markdown_table
from telly.metrics.interval import RESAMPLES
from telly.metrics.per_example import read_per_example
from telly.metrics.significance import bootstrap_runs
from telly.metrics.table import METRICS
from telly.runs.record import RunRecord
from telly.studies.config import Cell
from telly.studies.results import Outcome, State

TABLE_FILE = "table.md"
NOTE = (
    "Means over the finished seeds. ±: half of the 95 % interval, over test examples and, with several seeds, over "
    "training. Change: from base with the same seeds. Seconds: whole run."
)
SINGLE_NOTE = "One seed: the changes compare two trained models, not two methods; another seed may reverse them."


@dataclass(frozen=True)
class Finished:
    """A finished cell: folder and record."""

    folder: Path
    record: RunRecord


Runs = Mapping[int, Finished]
"""Finished runs of a variant, by seed."""


@dataclass(frozen=True)
class StudyTable:
    """Results of one model and task as text.

    Attributes:
        title: task, model, and number of finished cells.
        columns: names of the columns.
        rows: one row per variant, in the cells' order.
        note: remark on the changes; may be empty.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def table_of(cells: Sequence[Cell], outcomes: Mapping[Path, Outcome]) -> StudyTable | None:
    """The table of finished cells of one model and task; None if none is finished.

    Args:
        cells: all cells of the model and task, in their order.
        outcomes: outcomes by the cell's folder.
    """
    done: dict[Variant, dict[int, Finished]] = {}
    for cell in cells:
        outcome = outcomes[cell.folder]
        if outcome.state is State.DONE and outcome.record is not None:
            done.setdefault(cell.variant, {})[cell.config.seed] = Finished(cell.folder, outcome.record)
    if not done:
        return None

    metric = cells[0].config.metric
    rows = tuple(
        (variant.slug, str(len(runs)), _score(metric, runs), _change(metric, runs, done.get(Variant(), {})),
         _mean(runs, lambda r: r.trainable), _mean(runs, lambda r: r.total_seconds))
        for variant, runs in done.items()
    )  # fmt: skip
    task, model = cells[0].config.task, Path(cells[0].config.model).name
    title = f"{task}, {model}: {sum(map(len, done.values()))} of {len(cells)} cells"
    single = len(done) > 1 and any(len(runs) == 1 for runs in done.values())
    columns = ("variant", "seeds", metric, "change", "trained", "seconds")
    return StudyTable(title, columns, rows, SINGLE_NOTE if single else "")


def to_markdown(tables: Iterable[StudyTable]) -> str:
    """The tables as Markdown, each with a heading."""
    parts = [_section(table) for table in tables]
    return "\n".join([*parts, NOTE]) + "\n" if parts else "No cell is done yet.\n"


def _section(table: StudyTable) -> str:
    note = f"\n{table.note}\n" if table.note else ""
    return f"## {table.title}\n\n{markdown_table(table.columns, table.rows)}\n{note}"


def _score(metric: str, runs: Runs) -> str:
    value = _mean_score(metric, runs, runs)
    if value is None:
        return DASH
    digits = METRICS[metric].digits
    half = _half_interval(metric, tuple(run.folder / (run.record.scores or "") for _, run in sorted(runs.items())))
    return f"{value:.{digits}f}" + ("" if half is None else f" ± {half:.{digits}f}")


def _change(metric: str, runs: Runs, base: Runs) -> str:
    if runs is base:
        return ""
    shared = runs.keys() & base.keys()
    value, reference = _mean_score(metric, runs, shared), _mean_score(metric, base, shared)
    return f"{100 * (value / reference - 1):+.1f} %" if value is not None and reference else DASH


def _mean_score(metric: str, runs: Runs, seeds: Iterable[int]) -> float | None:
    values = [(runs[seed].record.test or {}).get(metric) for seed in seeds]
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def _mean(runs: Runs, quantity: Callable[[RunRecord], float | None]) -> str:
    known = [value for value in (quantity(run.record) for run in runs.values()) if value is not None]
    return f"{statistics.fmean(known):,.0f}" if known else DASH


@cache
def _half_interval(metric: str, files: tuple[Path, ...]) -> float | None:
    """Half of a score's 95 % interval; None if a run has no per-example scores, or they are behind a URL."""
    try:
        runs = {index: {metric: read_per_example(file)[metric]} for index, file in enumerate(files)}
    except (DataError, KeyError):
        return None
    interval = bootstrap_runs({metric: runs}, RESAMPLES)[metric, metric].interval
    return (interval.high - interval.low) / 2
