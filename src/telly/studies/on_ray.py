"""Running a study's cells as Ray tasks on many machines.

A task writes its cell's results itself before it ends, so that nothing is lost with the machine that asked for it. The
activation caches of a model and task are derived one from the other by a chain of tasks, K upwards, and a cell begins
when its own is there: so no machine waits while it holds a processor, and what a cache was derived from does not depend
on which machine was faster.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock

from telly.errors import ConfigError, TellyError
from telly.settings.resolve import CACHE_FOLDER
from telly.studies.config import Cell, Needs, StudyConfig
from telly.studies.launch import FAILED, INTERRUPTED, in_processes, run_here
from telly.studies.results import Results, State, outcome_of
from telly.studies.run import Ended, StartCell, about_left
from telly.urls import is_url

logger = logging.getLogger(__name__)

LOCAL, AUTO = "local", "auto"
CONNECT_SECONDS = 5.0
END_SECONDS = 60.0
"""How long an interrupted cell may take to end in order."""
NOT_SHARED = "this machine does not see the results' place"
NOT_STARTED = -1
"""Instead of an exit code: the study's time was spent before the cell's turn came."""


@dataclass(frozen=True)
class RayJob:
    """Facts that every Ray task of a study needs.

    Attributes:
        results: where results go.
        token: a file there, by which a task sees that it is the same place.
        folder: the driver's working folder, from which paths to data count.
        needs: what a cell takes.
        deadline: start nothing after that, in seconds of `time.time`; None for no such time.
        own_caches: every cell keeps its activation caches to itself, since machines share no folder.
        command: what was typed, for the records.
    """

    results: Results
    token: str
    folder: str
    needs: Needs
    deadline: float | None
    own_caches: bool
    command: tuple[str, ...]


class RayPool:
    """A pool of cells (`telly.studies.run.Pool`) on a Ray cluster.

    Args:
        address: of the cluster (`HOST:PORT`), `auto` for the one this machine belongs to, or `local` to start one here.
        study: what a cell takes, and its settings.
        output: the study's folder, which all machines see, or a URL.
    """

    def __init__(self, address: str, study: StudyConfig, output: str) -> None:
        self._address = address
        self._needs = study.cell
        self._results = Results(output if is_url(output) else str(Path(output).absolute()))
        given = study.settings.keys() | {name for values in study.task.values() for name in values}
        self._own_caches = self._results.is_url and "cache_dir" not in given

    def __call__(self, starts: Sequence[StartCell], deadline: float | None) -> Generator[Ended, None, None]:
        """Run cells wherever there is room; closing this interrupts those that run, in order.

        Raises:
            ConfigError: Ray is not installed, the cluster cannot be reached, or its machines do not see the results'
                place or have another version of telly.
        """
        if not starts:
            return
        with _connected(self._address) as ray, self._results.token() as token:
            job = RayJob(
                self._results, token, str(Path.cwd()), self._needs, deadline, self._own_caches, tuple(sys.argv)
            )
            _check_machines(ray, job)
            cells, caches = _submit(ray, job, starts)
            try:
                yield from _ends(ray, cells)
            finally:
                _cancel(ray, [*caches, *cells])


def _submit(ray: Any, job: RayJob, starts: Sequence[StartCell]) -> tuple[dict[Any, Cell], list[Any]]:
    """Hand all tasks to Ray; returns cells by the reference of their result, and those of the caches."""
    takes = {"num_cpus": job.needs.cpus, "num_gpus": job.needs.gpus, "max_retries": job.needs.retries}
    cell_task = ray.remote(max_calls=1, **takes)(run_cell)  # a process each: its peak memory is its own
    cache_task = ray.remote(max_calls=1, **takes)(make_caches)
    cells: dict[Any, Cell] = {}
    chains: dict[tuple[str, str], dict[int, Any]] = {}
    for start in starts:
        cell, layer, ready = start.cell, start.cell.cache_layer, None
        if layer is not None and not job.results.is_url:
            chain = chains.setdefault(cell.group, {})
            if layer not in chain:
                chain[layer] = cache_task.remote(job, cell, *list(chain.values())[-1:])
            ready = chain[layer]
        cells[cell_task.remote(job, cell, ready)] = cell
    return cells, [ref for chain in chains.values() for ref in chain.values()]


def _ends(ray: Any, cells: dict[Any, Cell]) -> Iterator[Ended]:
    waiting, started = dict(cells), time.monotonic()
    logger.info("%d cells handed to Ray", len(cells))
    while waiting:
        (ref,), _ = ray.wait(list(waiting), num_returns=1)
        cell = waiting.pop(ref)
        try:
            code, error = ray.get(ref)
        except ray.exceptions.RayError as problem:
            code, error = FAILED, _reason(ray, problem)
        if error == NOT_SHARED:
            raise ConfigError(_not_shared("a machine that joined the cluster"))
        if code == NOT_STARTED:
            continue
        yield Ended(cell, code, error)
        if waiting:
            done = len(cells) - len(waiting)
            logger.info("%d of %d cells have ended%s", done, len(cells), about_left(started, done, len(cells)))


def _reason(ray: Any, error: Exception) -> str:
    """The task's own error, or Ray's message about a task that did not end, as one line."""
    if isinstance(error, ray.exceptions.RayTaskError):
        return f"{type(error.cause).__name__}: {error.cause}"
    return f"Ray: {str(error).strip().splitlines()[0]}"


def _cancel(ray: Any, refs: list[Any]) -> None:
    """End tasks that still run: orderly at first, by force if that takes too long."""
    _, running = ray.wait(refs, num_returns=len(refs), timeout=0)
    for ref in running:
        ray.cancel(ref)
    if running:
        _, stuck = ray.wait(running, num_returns=len(running), timeout=END_SECONDS)
        for ref in stuck:
            ray.cancel(ref, force=True)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Connect Ray to a cluster while the body runs.

    Raises:
        ConfigError: it is not installed, or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing calls home
    try:
        import ray
    except ImportError:
        raise ConfigError("--ray: needs the package ray; install it with `pip install 'telly[ray]'`") from None
    _check_address(address)
    more: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **more)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"--ray {address}: no Ray cluster can be reached ({str(error).strip().splitlines()[0]}); start one with "
            "`ray start --head`, or give --ray local"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Check within seconds that the address answers; Ray itself would try for minutes."""
    if address in {LOCAL, AUTO} or is_url(address):
        return
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        raise ConfigError(f"--ray: expected HOST:PORT, {AUTO} or {LOCAL}, found {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"--ray {address}: nothing answers there ({error.strerror or error}); give the address that "
            "`ray start --head` printed"
        ) from None


def _check_machines(ray: Any, job: RayJob) -> None:
    """Ask every machine that can run a cell whether it sees the results' place and has this version of telly.

    Raises:
        ConfigError: one does not; all are named.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"]]
    fit = [
        node
        for node in nodes
        if node["Resources"].get("CPU", 0) >= job.needs.cpus and node["Resources"].get("GPU", 0) >= job.needs.gpus
    ]
    if not fit:
        logger.warning(
            "none of the %d machines has %g CPUs and %g GPUs, which a cell takes; waiting for one",
            *(len(nodes), job.needs.cpus, job.needs.gpus),
        )
    ask = ray.remote(num_cpus=0)(look_around)
    asked = {
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(job): node
        for node in fit
    }
    blind, others = [], {}
    for ref, node in asked.items():
        try:
            sees, telly = ray.get(ref)
        except ray.exceptions.RayError as error:
            raise ConfigError(f"{node['NodeManagerAddress']}: telly cannot run there: {_reason(ray, error)}") from None
        if not sees:
            blind.append(node["NodeManagerAddress"])
        if telly != version("telly"):
            others[node["NodeManagerAddress"]] = telly
    if blind:
        raise ConfigError(_not_shared(", ".join(blind)))
    if others:
        found = ", ".join(f"{telly} on {address}" for address, telly in others.items())
        raise ConfigError(f"expected telly {version('telly')} on all machines, found {found}; install it everywhere")


def _not_shared(where: str) -> str:
    return (
        f"--output is not seen by {where}; expected a folder that all machines share, at the same path, or a URL such "
        "as s3://bucket/study"
    )


def look_around(job: RayJob) -> tuple[bool, str]:
    """Whether a machine sees the place of the results, and its version of telly."""
    return job.results.sees(job.token), version("telly")


def make_caches(job: RayJob, cell: Cell, _before: object = None) -> None:
    """Ray task that builds the activation caches of a cell; the cell will meet and record any error."""
    from telly.tuning.run import build_caches

    if _prepare(job) is None:
        try:
            build_caches(cell.config)
        except TellyError as error:
            print(f"telly: activation caches of {cell.name}: {error}", file=sys.stderr)


def run_cell(job: RayJob, cell: Cell, _caches: object = None) -> tuple[int, str | None]:
    """Ray task that runs a cell and stores its results.

    One that was tried before, on a machine that is lost, goes on where a shared folder has it.

    Returns:
        exit code, and why it is not 0.
    """
    refused = _prepare(job)
    if refused is not None:
        return refused
    if job.results.is_url:
        return _run_and_bring(job, cell)
    cell.folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{cell.folder}.lock")
    with lock:  # a process that its machine's loss left behind may still be at it
        outcome = outcome_of(cell)
        if outcome.state is State.DONE:
            return 0, None
        ended = _run(job, cell, outcome.state is State.INTERRUPTED)
        if ended[0] == 0:
            Path(lock.lock_file).unlink(missing_ok=True)
    return ended


def _run_and_bring(job: RayJob, cell: Cell) -> tuple[int, str | None]:
    if job.results.outcome(cell).state is State.DONE:
        return 0, None
    with TemporaryDirectory(prefix="telly-cell-") as folder:
        places: dict[str, Any] = {"output": Path(folder) / cell.folder.name}
        if job.own_caches:
            places["cache_dir"] = Path(folder) / CACHE_FOLDER
        here = replace(cell, config=cell.config.model_copy(update=places))
        ended = _run(job, here, False)
        if ended[0] != INTERRUPTED and outcome_of(here).state in {State.DONE, State.FAILED}:
            job.results.save(cell, here.folder)
    return ended


def _run(job: RayJob, cell: Cell, resume: bool) -> tuple[int, str | None]:
    if job.needs.processes == 1:
        return run_here(cell.config, resume)
    return in_processes(job.needs.processes, cell, resume), None


def _prepare(job: RayJob) -> tuple[int, str] | None:
    """Set up this process like one on the driver's machine; returns code and reason if nothing may start."""
    import torch

    if job.deadline is not None and time.time() >= job.deadline:
        return NOT_STARTED, "the study's time is spent"
    if not job.results.sees(job.token):
        return FAILED, NOT_SHARED
    if Path(job.folder).is_dir():
        os.chdir(job.folder)
    sys.argv = list(job.command)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # by which Ray cancels a task
    threads = max(1, int(job.needs.cpus) // job.needs.processes)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    torch.set_num_threads(threads)
    return None
