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
from telly.studies.launch import FAILED, FULL_DISK, INTERRUPTED, Launch, handing_on, in_own_process, started
from telly.studies.results import CELLS, Outcome, Results, State
from telly.studies.table import TABLE_FILE, StudyTable, table_of, to_markdown

logger = logging.getLogger(__name__)

SUMMARY_FILE, LOGS = "study.json", "logs"
Outcomes = dict[Path, Outcome]
"""By the cell's folder."""


@dataclass(frozen=True)
class StartCell:
    """A cell to run.

    Attributes:
        resume: whether it continues an interrupted run.
    """

    cell: Cell
    resume: bool


@dataclass(frozen=True)
class Ended:
    """A cell that has run.

    Attributes:
        code: its exit code, see `telly.studies.launch`.
        error: why it is not 0, as far as its record does not say.
    """

    cell: Cell
    code: int
    error: str | None = None


Pool = Callable[[Sequence[StartCell], float | None], Generator[Ended, None, None]]
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

    A failed cell does not keep the others from running; a full disk does, since they would fail as well.

    Args:
        cells: from `cells_of`.
        study: the settings they are from.
        output: the study's folder, or a URL if the pool brings results there.
        launch: how a cell is run; by default in a process of its own, so that its peak memory is its own.
        pool: how many are; by default one after the other.
        show: given the table of a model and task when the last of its cells has ended, while others are to come.

    Returns:
        what became of every cell, in their order.

    Raises:
        ConfigError: another process runs the study in this folder.
        TrainingError: the disk is full; what is done is kept.
        KeyboardInterrupt: running cells were interrupted; the same call goes on with them.
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
    waiting = [cell for cell in cells if outcomes[cell.folder].state is not State.DONE]
    if len(waiting) < len(cells):
        logger.info("%d of %d cells are done already", len(cells) - len(waiting), len(cells))
    hours = study.budget.hours
    deadline = None if hours is None else time.time() + 3600 * hours
    starts = [StartCell(cell, outcomes[cell.folder].state is State.INTERRUPTED) for cell in waiting]
    left = {cell.folder for cell in waiting}
    _summarize(study, cells, outcomes, results)
    try:
        with closing(pool(starts, deadline)) as ends:
            for ended in ends:
                left.discard(ended.cell.folder)
                outcome = outcomes[ended.cell.folder] = _judged(ended, results.outcome(ended.cell))
                _stop_if_no_other_can_run(ended, results)
                logger.log(*_told(ended.cell, outcome))
                _summarize(study, cells, outcomes, results)
                if show is not None:
                    _show_if_whole(ended.cell, cells, outcomes, left, show)
                if not results.is_url:
                    _drop_caches(cells, outcomes, left)
    finally:
        outcomes |= {cell.folder: results.outcome(cell) for cell in waiting if cell.folder in left}
        _summarize(study, cells, outcomes, results)
    if left and hours is not None:
        logger.warning("the budget of %g hours is spent; %d cells are left", hours, len(left))
    return [outcomes[cell.folder] for cell in cells]


def _one_by_one(starts: Sequence[StartCell], deadline: float | None, *, launch: Launch) -> Generator[Ended, None, None]:
    """The pool that runs one cell after the other; each uses the activation caches of those before."""
    began = time.monotonic()
    for number, start in enumerate(starts):
        if deadline is not None and time.time() >= deadline:
            return
        left = about_left(began, number, len(starts))
        logger.info("--- cell %d of %d: %s%s ---", number + 1, len(starts), start.cell.name, left)
        yield Ended(start.cell, launch(start.cell, start.resume))


def side_by_side(
    starts: Sequence[StartCell], deadline: float | None, *, jobs: int, threads: int
) -> Generator[Ended, None, None]:
    """The pool that runs several cells at a time on one machine; each logs its progress to its own file.

    Args:
        starts: the cells, in their order.
        deadline: start none after this time.
        jobs: number of cells at a time.
        threads: threads per cell.
    """
    began, done = time.monotonic(), 0
    waiting, running = deque(starts), dict[BaseProcess, Cell]()
    with handing_on(running.keys()) as signals:
        try:
            while running or waiting:
                while waiting and len(running) < jobs and not signals and (deadline is None or time.time() < deadline):
                    start = waiting.popleft()
                    log = start.cell.folder.parent.parent / LOGS / f"{start.cell.folder.name}.txt"
                    log.parent.mkdir(parents=True, exist_ok=True)
                    left = about_left(began, done, len(starts))
                    place = len(starts) - len(waiting)
                    logger.info("--- cell %d of %d: %s%s; %s ---", place, len(starts), start.cell.name, left, log)
                    running[started(start.cell, start.resume, threads, log)] = start.cell
                if not running:
                    break
                ready = wait([process.sentinel for process in running])
                for process in [process for process in running if process.sentinel in ready]:
                    process.join()
                    done += 1
                    yield Ended(running.pop(process), FAILED if process.exitcode is None else process.exitcode)
            if signals:
                raise KeyboardInterrupt
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.join()


def about_left(began: float, done: int, cells: int) -> str:
    """What follows a line about a study: how long the rest takes if it goes on as since `began` (of `time.monotonic`).

    Nothing before the first of the cells is done.
    """
    return f", about {(time.monotonic() - began) / done * (cells - done) / 60:.0f} min left" if done else ""


def _judged(ended: Ended, found: Outcome) -> Outcome:
    """The outcome, with a reason for the failure if the record has none because the run had not begun."""
    if found.state is State.DONE or found.error is not None or ended.code == INTERRUPTED:
        return found
    state = State.FAILED if found.state is State.OPEN else found.state
    return Outcome(state, ended.error or f"its process ended with exit code {ended.code}", found.record)


def _stop_if_no_other_can_run(ended: Ended, results: Results) -> None:
    if ended.code == FULL_DISK:
        raise TrainingError(
            f"{results.output}: no room on the disk for {ended.cell.name}; the cells that are done are kept. Make "
            "room, then run the same command again"
        )
    if ended.code == INTERRUPTED:
        raise KeyboardInterrupt


def _told(cell: Cell, outcome: Outcome) -> tuple[int, str]:
    """Level and text of the message about a cell that has ended."""
    if outcome.state is not State.DONE or outcome.record is None:
        return logging.WARNING, f"failed: {cell.name}: {outcome.error}"
    record = outcome.record
    score = (record.test or {}).get(record.metric or "")
    shown = "" if score is None else f"{record.metric} {score:.4f}, "
    return logging.INFO, f"done: {cell.name}: {shown}{record.wall_seconds or 0:.0f} s"


def _show_if_whole(
    cell: Cell, cells: Sequence[Cell], outcomes: Outcomes, left: set[Path], show: Callable[[StudyTable], None]
) -> None:
    """Show the table of a cell's model and task if the cell was the last of them and other groups still run."""
    group = [other for other in cells if other.group == cell.group]
    if left and not any(other.folder in left for other in group) and (table := table_of(group, outcomes)):
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


def _drop_caches(cells: Sequence[Cell], outcomes: Outcomes, left: set[Path]) -> None:
    """Remove the activation caches that no cell will read: those of a K that has ended, once a higher K has its own.

    The next K is derived from the highest one there is.
    """
    for group in groups_of(cells):
        cached = [cell for cell in group if cell.cache_layer is not None]
        made = [cell for cell in cached if outcomes[cell.folder].state is State.DONE and _caches(outcomes[cell.folder])]
        highest = max((cell.cache_layer or 0 for cell in made), default=0)
        kept = {cell.cache_layer for cell in cached if cell.folder in left} | {highest}
        needed = {place for cell in made if cell.cache_layer in kept for place in _caches(outcomes[cell.folder])}
        for place in {place for cell in made for place in _caches(outcomes[cell.folder])} - needed:
            if place.is_dir():
                with contextlib.suppress(CacheError):  # another study builds it
                    remove_cache(place)


def _caches(outcome: Outcome) -> list[Path]:
    if outcome.record is None or outcome.record.cache is None:
        return []
    return [Path(cache.folder) for cache in outcome.record.cache.caches.values()]
