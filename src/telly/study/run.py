"""Running a study's cells: what is done is kept, what was interrupted goes on, what failed is named and tried again."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from telly.disk import is_full_disk, write_json
from telly.errors import StoreError, TellyError, TrainingError
from telly.freezing.inventory import remove_store
from telly.freezing.variants import Top
from telly.study.config import Cell, StudyConfig
from telly.tuning.record import RECORD_FILE, RunRecord, provenance

SUMMARY_FILE = "study.json"
FULL_DISK = 75
"""Exit code of a cell that found no room; the others would find none either."""
USER_ERROR, INTERRUPTED = 2, 130


class State(StrEnum):
    """Where a cell stands."""

    OPEN = "open"
    DONE = "done"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Attributes:
        state: where it stands.
        error: why it failed; None if it did not.
        record: what the run recorded; None before it began.
    """

    state: State
    error: str | None
    record: RunRecord | None


def outcome_of(cell: Cell) -> Outcome:
    """Where a cell stands, by its run's record."""
    try:
        found = json.loads((cell.folder / RECORD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Outcome(State.OPEN, None, None)
    found.pop("epoch_seconds", None)
    record = RunRecord(**found)
    state = {"finished": State.DONE, "failed": State.FAILED}.get(record.status, State.INTERRUPTED)
    return Outcome(state, record.error if state is State.FAILED else None, record)


Launch = Callable[[Cell, bool], int]
"""Runs a cell, resuming or anew, and gives its exit code."""


def run_cells(
    cells: Sequence[Cell],
    study: StudyConfig,
    output: Path,
    say: Callable[[str], None],
    launch: Launch | None = None,
) -> list[Outcome]:
    """Run the cells that are not done, in their order.

    A failed cell does not keep the others from running; a full disk does, since they would fail as well.

    Args:
        cells: from `cells_of`.
        study: the settings they are from.
        output: the study's folder.
        say: told in a sentence what a person should know.
        launch: how a cell is run; by default in a process of its own, so that its peak memory is its own.

    Returns:
        what became of every cell, in their order.

    Raises:
        TrainingError: the disk is full; what is done is kept.
        KeyboardInterrupt: the running cell was interrupted; the same call goes on with it.
    """
    launch = launch or in_own_process
    started = time.monotonic()
    outcomes = {cell.folder: outcome_of(cell) for cell in cells}
    waiting = [cell for cell in cells if outcomes[cell.folder].state is not State.DONE]
    if len(waiting) < len(cells):
        say(f"{len(cells) - len(waiting)} of {len(cells)} cells are done already")
    for number, cell in enumerate(waiting, start=1):
        hours = (time.monotonic() - started) / 3600
        if study.budget.hours is not None and hours >= study.budget.hours:
            say(f"the budget of {study.budget.hours:g} hours is spent; {len(waiting) - number + 1} cells are left")
            break
        say(f"--- cell {number} of {len(waiting)}: {cell.name}{_left(started, number - 1, len(waiting))} ---")
        code = launch(cell, outcomes[cell.folder].state is State.INTERRUPTED)
        outcome = outcomes[cell.folder] = outcome_of(cell)
        _summarize(study, cells, outcomes, output)
        if code == FULL_DISK:
            raise TrainingError(
                f"{output}: no room on the disk for {cell.name}; the cells that are done are kept. Make room, then run "
                "the same command again"
            )
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if outcome.state is State.DONE:
            say(_told(outcome))
            _drop_stores(cells, outcomes, cell)
        else:
            say(f"failed: {cell.name}: {outcome.error or f'its process ended with exit code {code}'}")
    _summarize(study, cells, outcomes, output)
    return [outcomes[cell.folder] for cell in cells]


def _left(started: float, done: int, of: int) -> str:
    """How long the rest will take if it is like what was done."""
    if not done:
        return ""
    minutes = (time.monotonic() - started) / done * (of - done) / 60
    return f", about {minutes:.0f} min left"


def _told(outcome: Outcome) -> str:
    assert outcome.record is not None
    record = outcome.record
    score = (record.test or {}).get(record.metric or "")
    shown = "" if score is None else f"{record.metric} {score:.4f}, "
    return f"done: {shown}{record.wall_seconds or 0:.0f} s"


def _summarize(study: StudyConfig, cells: Sequence[Cell], outcomes: dict[Path, Outcome], output: Path) -> None:
    rows = [
        {
            "folder": str(cell.folder.relative_to(output)),
            "model": cell.config.model,
            "task": cell.config.task,
            "variant": cell.variant,
            "seed": cell.config.seed,
            "state": str(outcomes[cell.folder].state),
            "error": outcomes[cell.folder].error,
        }
        for cell in cells
    ]
    output.mkdir(parents=True, exist_ok=True)
    write_json(
        output / SUMMARY_FILE,
        {"study": study.model_dump(mode="json"), "cells": rows, "provenance": provenance(), "command": sys.argv},
    )


def _drop_stores(cells: Sequence[Cell], outcomes: dict[Path, Outcome], last: Cell) -> None:
    """Remove the stores that no open cell reads: those of a lower K than the last one's, once the last has its own.

    The next K is derived from the last one's by a single layer.
    """
    if not _stores(outcomes[last.folder]):
        return
    done = [cell for cell in cells if cell.group == last.group and outcomes[cell.folder].state is State.DONE]
    kept = {place for cell in done if _k(cell) >= _k(last) for place in _stores(outcomes[cell.folder])}
    for cell in done:
        for place in _stores(outcomes[cell.folder]):
            if place not in kept and place.is_dir():
                with contextlib.suppress(StoreError):  # another run reads it
                    remove_store(place)


def _k(cell: Cell) -> int:
    """How high the layer is whose states the cell stores."""
    if cell.config.top is Top.HEAD_ONLY:
        return sys.maxsize
    return -1 if cell.config.k is None else cell.config.k


def _stores(outcome: Outcome) -> list[Path]:
    if outcome.record is None:
        return []
    return [Path(store["folder"]) for store in outcome.record.cache.get("stores", {}).values()]


def in_own_process(cell: Cell, resume: bool) -> int:
    """Run a cell in a fork of a process that has imported the libraries already; gives its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["telly.tuning.run"])
    process = context.Process(target=_tune, args=(cell.config.model_dump(mode="json"), resume))
    process.start()
    with _handing_on(process):
        process.join()
    return 1 if process.exitcode is None else process.exitcode


@contextmanager
def _handing_on(process: BaseProcess) -> Iterator[None]:
    """While a cell runs, Ctrl-C and termination are the cell's to act on; this process waits for its orderly end."""

    def hand_on(_number: int, _frame: Any) -> None:
        process.terminate()

    previous = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _tune(values: dict[str, Any], resume: bool) -> None:
    """The body of a cell's process."""
    from telly.tuning.config import TuneConfig
    from telly.tuning.run import interruptible, tune

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hands a Ctrl-C on
    try:
        with interruptible():
            tune(TuneConfig.parse(values), resume=resume, overwrite=not resume)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except TellyError as error:
        print(f"telly: error: {error}", file=sys.stderr)
        sys.exit(FULL_DISK if _full(error) else USER_ERROR)


def _full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and is_full_disk(error):
            return True
        error = error.__cause__ or error.__context__
    return False
