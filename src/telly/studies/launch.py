"""Running a cell: in this process, in its own, or in several processes that train it together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from telly.disk import caused_by_full_disk
from telly.errors import ConfigError, TellyError
from telly.settings.config import TuneConfig
from telly.studies.config import Cell
from telly.studies.forks import fork_context
from telly.studies.results import State, outcome_of

FULL_DISK = 75
"""Exit code of a cell that failed because the disk is full; the other cells would fail as well."""
FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130

Launch = Callable[[Cell, bool], int]
"""Function that runs a cell, resuming it or from the start, and returns its exit code."""


def run_here(config: TuneConfig, resume: bool) -> tuple[int, str | None]:
    """Run a cell in this process; returns the exit code, and the reason if it is not 0."""
    from telly.processes import interruptible
    from telly.tuning.run import tune

    try:
        with interruptible():
            tune(
                config,
                resume=resume,
                overwrite=not resume,
                reuse_baselines_from=config.output.parent if config.output else None,
            )
    except KeyboardInterrupt:
        return INTERRUPTED, "interrupted"
    except TellyError as error:
        return FULL_DISK if caused_by_full_disk(error) else USER_ERROR, str(error)
    return 0, None


def in_own_process(cell: Cell, resume: bool) -> int:
    """Run a cell in a fork of a process that has imported the libraries already; returns the exit code."""
    process = start_cell(cell, resume)
    with forward_signals([process]):
        process.join()
    return FAILED if process.exitcode is None else process.exitcode


def start_cell(cell: Cell, resume: bool, threads: int | None = None, log: Path | None = None) -> BaseProcess:
    """Start a cell in a fork of a process that has imported the libraries already.

    Args:
        cell: the cell to run.
        resume: continue an interrupted run.
        threads: number of threads. [default: chosen by torch]
        log: file for progress messages, in place of standard error.
    """
    process = fork_context().Process(
        target=_own_process, args=(cell.config.model_dump(mode="json"), resume, threads, log)
    )
    process.start()
    return process


def _own_process(values: dict[str, Any], resume: bool, threads: int | None, log: Path | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent forwards a Ctrl-C
    if log is not None:
        with log.open("ab") as file:
            os.dup2(file.fileno(), sys.stderr.fileno())
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    code, error = run_here(TuneConfig.parse(values), resume)
    if error and code != INTERRUPTED:
        print(f"telly: error: {error}", file=sys.stderr)
    sys.exit(code)


def check_processes(cells: Sequence[Cell], processes: int) -> None:
    """Check that every batch can be shared equally by the processes.

    Raises:
        ConfigError: a cell's batch size is not a multiple of their number.
    """
    indivisible = {f"{cell.config.task} {size}" for cell in cells if (size := cell.config.batch_size) % processes}
    if indivisible:
        raise ConfigError(
            f"{processes} processes cannot share the batches: batch_size must be a multiple of {processes}; found "
            f"{', '.join(sorted(indivisible))}"
        )


def in_processes(count: int, cell: Cell, resume: bool) -> int:
    """Run a cell in several processes that train it together, by `accelerate launch`; returns the exit code.

    `--multi_gpu` only means several processes: without GPUs they communicate by gloo, while `accelerate launch --cpu`
    would start one process unless MPI is installed.
    """
    from telly.config import to_toml

    with tempfile.TemporaryDirectory(prefix="telly-cell-") as folder:
        settings = Path(folder) / "cell.toml"
        settings.write_text(to_toml(cell.config), encoding="utf-8")
        processes = ("--multi_gpu", "--num_processes", str(count), "--num_machines", "1", "--main_process_port", "0")
        precision = ("--mixed_precision", "no", "--dynamo_backend", "no")  # telly sets the precision
        run = ("-m", "telly", "tune", cell.config.task, "--config", str(settings))
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "telly.studies.accelerated", str(os.getpid())),
                *(*processes, *precision, *run, "--resume" if resume else "--overwrite"),
            ],
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is forwarded once, not sent to each of them
        )
        with forward_signals([process]) as signals:
            code = process.wait()
    outcome = outcome_of(cell)
    if outcome.state is State.DONE:
        return 0
    if signals:
        return INTERRUPTED
    # `accelerate launch` has one exit code for all errors, so the record must tell
    full = outcome.record is not None and outcome.record.full_disk
    return FULL_DISK if full else code or FAILED


@contextmanager
def forward_signals(processes: Collection[BaseProcess | subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Forward Ctrl-C and termination to running cells; this process waits for their orderly end.

    Args:
        processes: processes of the cells; may change in the meantime.

    Yields:
        the numbers of the signals received so far.
    """
    received: list[int] = []

    def forward(number: int, _frame: Any) -> None:
        received.append(number)
        for process in processes:
            process.terminate()

    previous = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
