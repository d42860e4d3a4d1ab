"""Running the cells of a study: finished ones are kept, interrupted ones continue, failed ones are tried again."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from telly.disk import folder_lock
from telly.errors import CacheError, TrainingError
from telly.freezing.inventory import remove_cache
from telly.runs.provenance import provenance
from telly.studies.config import Cell, StudyConfig, groups_of
from telly.studies.launch import FAILED, FULL_DISK, INTERRUPTED, Launch, forward_signals, in_own_process, start_cell
from telly.studies.results import CELLS, Outcome, Results, State
from telly.studies.table import TABLE_FILE, StudyTable, table_of, to_markdown

logger = logging.getLogger(__name__)

SUMMARY_FILE, LOGS = "study.json", "logs"
Outcomes = dict[Path, Outcome]
"""Outcomes by the cell's folder."""


@dataclass(frozen=True)
class CellStart:
    """A cell to run.

    Attributes:
        resume: true to continue an interrupted run.
    """

    cell: Cell
    resume: bool


@dataclass(frozen=True)
class CellEnd:
    """A cell that has run.

    Attributes:
        code: exit code of the cell, see `telly.studies.launch`.
        error: reason for a failure that the cell's record does not have.
    """

    cell: Cell
    code: int
    error: str | None = None


Pool = Callable[[Sequence[CellStart], float | None], Generator[CellEnd, None, None]]
"""Runs cells, starts none after a time (of `time.time`), and tells of each as it ends; closing it ends what runs."""


def run_cells(
    cells: Sequence[Cell],
    study: StudyConfig,
    output: Path | str,
    launch: Launch = in_own_process,
    pool: Pool | None = None,
    show: Callable[[StudyTable], None] | None = None,
) -> list[Outcome]:
    """Run the cells that are not done.

    The others run even if a cell fails, unless the disk is full: then they would fail as well.

    Args:
        cells: the cells, from `cells_of`.
        study: settings of the study.
        output: the study's folder, or a URL if the pool uploads the results.
        launch: function that runs a cell. [default: in a separate process, so that its peak memory can be measured]
        pool: function that runs all cells. [default: one after the other]
        show: called with the table of a model and task when the last of its cells has ended, while others run.

    Returns:
        the outcomes of the cells, in their order.

    Raises:
        ConfigError: another process runs the study in this folder.
        TrainingError: the disk is full; finished cells are kept.
        KeyboardInterrupt: running cells were interrupted; the same call continues them.
    """
    results = Results(str(output))
    with contextlib.nullcontext() if results.is_url else folder_lock(Path(output)):
        return _run_cells(cells, study, results, launch, pool, show)


def _run_cells(
    cells: Sequence[Cell],
    study: StudyConfig,
    results: Results,
    launch: Launch,
    pool: Pool | None,
    show: Callable[[StudyTable], None] | None,
) -> list[Outcome]:
    pool = pool or partial(_one_by_one, launch=launch)
    outcomes = {cell.folder: results.outcome(cell) for cell in cells}
    open_cells = [cell for cell in cells if outcomes[cell.folder].state is not State.DONE]
    if len(open_cells) < len(cells):
        logger.info("%d of %d cells are done already", len(cells) - len(open_cells), len(cells))
    hours = study.budget.hours
    deadline = None if hours is None else time.time() + 3600 * hours
    starts = [CellStart(cell, outcomes[cell.folder].state is State.INTERRUPTED) for cell in open_cells]
    remaining = {cell.folder for cell in open_cells}
    _summarize(study, cells, outcomes, results)
    try:
        with closing(pool(starts, deadline)) as ends:
            for end in ends:
                remaining.discard(end.cell.folder)
                outcome = outcomes[end.cell.folder] = _with_reason(end, results.outcome(end.cell))
                _stop_if_no_other_can_run(end, results)
                logger.log(*_message(end.cell, outcome))
                _summarize(study, cells, outcomes, results)
                if show is not None:
                    _show_if_complete(end.cell, cells, outcomes, remaining, show)
                if not results.is_url:
                    _drop_caches(cells, outcomes, remaining)
    finally:
        # cells that were stopped have records that say so
        outcomes |= {cell.folder: results.outcome(cell) for cell in open_cells if cell.folder in remaining}
        _summarize(study, cells, outcomes, results)
    if remaining and hours is not None:
        logger.warning("the budget of %g hours is spent; %d cells are left", hours, len(remaining))
    return [outcomes[cell.folder] for cell in cells]


def _one_by_one(
    starts: Sequence[CellStart], deadline: float | None, *, launch: Launch
) -> Generator[CellEnd, None, None]:
    """The pool that runs one cell after the other; each uses the activation caches of those before."""
    started = time.monotonic()
    for index, start in enumerate(starts):
        if deadline is not None and time.time() >= deadline:
            return
        time_left = time_left_text(started, index, len(starts))
        logger.info("--- cell %d of %d: %s%s ---", index + 1, len(starts), start.cell.name, time_left)
        yield CellEnd(start.cell, launch(start.cell, start.resume))


def side_by_side(
    starts: Sequence[CellStart], deadline: float | None, *, jobs: int, threads: int
) -> Generator[CellEnd, None, None]:
    """The pool that runs several cells at a time on one machine; each logs its progress to its own file.

    Args:
        starts: the cells, in their order.
        deadline: time after which no cell is started, in seconds of `time.time`.
        jobs: maximum number of cells at a time.
        threads: number of threads per cell.
    """
    started, done = time.monotonic(), 0
    waiting, running = deque(starts), dict[BaseProcess, Cell]()
    with forward_signals(running.keys()) as signals:
        try:
            while running or waiting:
                while waiting and len(running) < jobs and not signals and (deadline is None or time.time() < deadline):
                    start = waiting.popleft()
                    log = start.cell.folder.parent.parent / LOGS / f"{start.cell.folder.name}.txt"
                    log.parent.mkdir(parents=True, exist_ok=True)
                    time_left = time_left_text(started, done, len(starts))
                    number = len(starts) - len(waiting)
                    logger.info("--- cell %d of %d: %s%s; %s ---", number, len(starts), start.cell.name, time_left, log)
                    running[start_cell(start.cell, start.resume, threads, log)] = start.cell
                if not running:
                    break
                sentinels = wait([process.sentinel for process in running])  # of processes that have ended
                for process in [process for process in running if process.sentinel in sentinels]:
                    process.join()
                    done += 1
                    yield CellEnd(running.pop(process), FAILED if process.exitcode is None else process.exitcode)
            if signals:
                raise KeyboardInterrupt
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.join()


def time_left_text(started: float, done: int, cells: int) -> str:
    """Estimated time for the remaining cells, as the end of a message; empty before the first cell is done.

    Args:
        started: start of the first cell, in seconds of `time.monotonic`.
        done: number of cells that have ended.
        cells: number of all cells.
    """
    return f", about {(time.monotonic() - started) / done * (cells - done) / 60:.0f} min left" if done else ""


def _with_reason(end: CellEnd, outcome: Outcome) -> Outcome:
    """The outcome, with a reason for the failure if the record has none because the run had not begun."""
    if outcome.state is State.DONE or outcome.error is not None or end.code == INTERRUPTED:
        return outcome
    state = State.FAILED if outcome.state is State.OPEN else outcome.state
    return Outcome(state, end.error or f"its process ended with exit code {end.code}", outcome.record)


def _stop_if_no_other_can_run(end: CellEnd, results: Results) -> None:
    if end.code == FULL_DISK:
        raise TrainingError(
            f"{results.output}: the disk is full, so {end.cell.name} failed; finished cells are kept. "
            "Free some space, then run the same command again"
        )
    if end.code == INTERRUPTED:
        raise KeyboardInterrupt


def _message(cell: Cell, outcome: Outcome) -> tuple[int, str]:
    """Level and text of the message about a cell that has ended."""
    if outcome.state is not State.DONE or outcome.record is None:
        return logging.WARNING, f"failed: {cell.name}: {outcome.error}"
    record = outcome.record
    score = (record.test or {}).get(record.metric or "")
    score_text = "" if score is None else f"{record.metric} {score:.4f}, "
    return logging.INFO, f"done: {cell.name}: {score_text}{record.wall_seconds or 0:.0f} s"


def _show_if_complete(
    cell: Cell, cells: Sequence[Cell], outcomes: Outcomes, remaining: set[Path], show: Callable[[StudyTable], None]
) -> None:
    """Show the table of a cell's model and task if the cell was the last of them and other groups still run."""
    group = [other for other in cells if other.group == cell.group]
    if remaining and not any(other.folder in remaining for other in group) and (table := table_of(group, outcomes)):
        show(table)


def _summarize(study: StudyConfig, cells: Sequence[Cell], outcomes: Outcomes, results: Results) -> None:
    rows = [
        {
            "folder": f"{CELLS}/{cell.folder.name}",
            "model": cell.config.model,
            "task": cell.config.task,
            "variant": cell.variant.slug,
            "seed": cell.config.seed,
            "state": str(outcomes[cell.folder].state),
            "error": outcomes[cell.folder].error,
        }
        for cell in cells
    ]
    summary = {"study": study.model_dump(mode="json"), "cells": rows, "provenance": provenance(), "command": sys.argv}
    results.write(SUMMARY_FILE, json.dumps(summary, indent=1) + "\n")
    tables = (table_of(group, outcomes) for group in groups_of(cells))
    results.write(TABLE_FILE, to_markdown(table for table in tables if table is not None))


def _drop_caches(cells: Sequence[Cell], outcomes: Outcomes, remaining: set[Path]) -> None:
    """Remove the activation caches that no remaining cell reads.

    The caches of the highest K stay, since those of the next K are computed from them.
    """
    for group in groups_of(cells):
        cached = [cell for cell in group if cell.cache_layer is not None]
        done = [cell for cell in cached if outcomes[cell.folder].state is State.DONE and _caches(outcomes[cell.folder])]
        highest = max((cell.cache_layer or 0 for cell in done), default=0)
        layers = {cell.cache_layer for cell in cached if cell.folder in remaining} | {highest}
        needed = {folder for cell in done if cell.cache_layer in layers for folder in _caches(outcomes[cell.folder])}
        for folder in {folder for cell in done for folder in _caches(outcomes[cell.folder])} - needed:
            if folder.is_dir():
                with contextlib.suppress(CacheError):  # another study builds it
                    remove_cache(folder)


def _caches(outcome: Outcome) -> list[Path]:
    if outcome.record is None or outcome.record.cache is None:
        return []
    return [Path(cache.folder) for cache in outcome.record.cache.caches.values()]
