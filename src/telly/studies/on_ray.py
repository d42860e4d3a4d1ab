"""Running a study's cells as Ray tasks on many machines.

A task writes the results of its cell before it ends, so that they survive the loss of the driver's machine.

A chain of tasks computes the activation caches of a model and task, each from the one before, K upwards. A cell starts
when its cache is complete. So no machine waits while it holds a processor, and the source of a cache does not depend on
the speed of machines.
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
from telly.studies.config import Cell, CellResources, StudyConfig
from telly.studies.launch import FAILED, INTERRUPTED, in_processes, run_here
from telly.studies.results import Results, State, outcome_of
from telly.studies.run import CellEnd, CellStart, time_left_text
from telly.urls import is_url

logger = logging.getLogger(__name__)

LOCAL, AUTO = "local", "auto"
CONNECT_SECONDS = 5.0
CANCEL_SECONDS = 60.0
"""Seconds within which an interrupted cell must end in order."""
NOT_SHARED = "this machine does not see the folder of the results"
NOT_STARTED = -1
"""Value in place of an exit code: the study's time was spent before the cell could start."""


@dataclass(frozen=True)
class RayJob:
    """Facts that every Ray task of a study needs.

    Attributes:
        results: folder or URL of the results.
        token: name of a file there, by which a task checks that it sees the same folder or URL.
        folder: the driver's working folder, to which paths of data are relative.
        resources: resources of a cell.
        deadline: time after which nothing is started, in seconds of `time.time`; None for no limit.
        own_caches: true to build activation caches for each cell alone, since machines share no folder.
        command: the driver's command line, for the records.
    """

    results: Results
    token: str
    folder: str
    resources: CellResources
    deadline: float | None
    own_caches: bool
    command: tuple[str, ...]


class RayPool:
    """A pool of cells (`telly.studies.run.Pool`) on a Ray cluster.

    Args:
        address: address of the cluster (`HOST:PORT`), `auto` for that of this machine, or `local` to start one here.
        study: settings of the study.
        output: the study's folder, which all machines see, or a URL.
    """

    def __init__(self, address: str, study: StudyConfig, output: str) -> None:
        self._address = address
        self._resources = study.cell
        self._results = Results(output if is_url(output) else str(Path(output).absolute()))
        settings = study.settings.keys() | {name for values in study.task.values() for name in values}
        self._own_caches = self._results.is_url and "cache_dir" not in settings

    def __call__(self, starts: Sequence[CellStart], deadline: float | None) -> Generator[CellEnd, None, None]:
        """Run cells on machines with free resources; closing the generator ends running cells in order.

        Raises:
            ConfigError: Ray is not installed, the cluster cannot be reached, or its machines do not see the folder of
                the results or have another version of telly.
        """
        if not starts:
            return
        with _connected(self._address) as ray, self._results.token() as token:
            job = RayJob(
                self._results, token, str(Path.cwd()), self._resources, deadline, self._own_caches, tuple(sys.argv)
            )
            _check_machines(ray, job)
            cells, caches = _submit(ray, job, starts)
            try:
                yield from _ends(ray, cells)
            finally:
                _cancel(ray, [*caches, *cells])


def _submit(ray: Any, job: RayJob, starts: Sequence[CellStart]) -> tuple[dict[Any, Cell], list[Any]]:
    """Submit all tasks to Ray; returns the cells by the reference of their result, and the references of caches."""
    options = {"num_cpus": job.resources.cpus, "num_gpus": job.resources.gpus, "max_retries": job.resources.retries}
    cell_task = ray.remote(max_calls=1, **options)(run_cell)  # separate processes, so that peak memory can be measured
    cache_task = ray.remote(max_calls=1, **options)(make_caches)
    cells: dict[Any, Cell] = {}
    chains: dict[tuple[str, str], dict[int, Any]] = {}
    for start in starts:
        cell, layer, cache = start.cell, start.cell.cache_layer, None
        if layer is not None and not job.results.is_url:
            chain = chains.setdefault(cell.group, {})
            if layer not in chain:
                # references as arguments: Ray starts a task when the results of these are there
                chain[layer] = cache_task.remote(job, cell, *list(chain.values())[-1:])
            cache = chain[layer]
        cells[cell_task.remote(job, cell, cache)] = cell
    return cells, [ref for chain in chains.values() for ref in chain.values()]


def _ends(ray: Any, cells: dict[Any, Cell]) -> Iterator[CellEnd]:
    """Wait for the cells, and yield each when it has ended; those that were not started in time are left out."""
    waiting, started = dict(cells), time.monotonic()
    logger.info("%d cells submitted to Ray", len(cells))
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
        yield CellEnd(cell, code, error)
        if waiting:
            done = len(cells) - len(waiting)
            logger.info("%d of %d cells have ended%s", done, len(cells), time_left_text(started, done, len(cells)))


def _reason(ray: Any, error: Exception) -> str:
    """The task's own error, or Ray's message about a task that did not end, as one line."""
    if isinstance(error, ray.exceptions.RayTaskError):
        return f"{type(error.cause).__name__}: {error.cause}"
    return f"Ray: {str(error).strip().splitlines()[0]}"


def _cancel(ray: Any, refs: list[Any]) -> None:
    """Cancel tasks that have not ended, at first in order, and by force if that takes too long."""
    _, running = ray.wait(refs, num_returns=len(refs), timeout=0)
    for ref in running:
        ray.cancel(ref)
    if running:
        _, stuck = ray.wait(running, num_returns=len(running), timeout=CANCEL_SECONDS)
        for ref in stuck:
            ray.cancel(ref, force=True)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Connect Ray to a cluster while the body runs.

    Raises:
        ConfigError: Ray is not installed, or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray sends usage statistics by default
    try:
        import ray
    except ImportError:
        raise ConfigError("--ray: needs the package ray; install it with `pip install 'telly[ray]'`") from None
    _check_address(address)
    options: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
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
    """Check within seconds that the address answers; Ray alone would try for minutes."""
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
    """Check that every machine that can run a cell sees the folder of the results and has this version of telly.

    Raises:
        ConfigError: some do not; the text names them.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"]]
    suitable = [
        node
        for node in nodes
        if node["Resources"].get("CPU", 0) >= job.resources.cpus
        and node["Resources"].get("GPU", 0) >= job.resources.gpus
    ]
    if not suitable:
        logger.warning(
            "none of the %d machines has the %g CPUs and %g GPUs of a cell; waiting for one",
            *(len(nodes), job.resources.cpus, job.resources.gpus),
        )
    check = ray.remote(num_cpus=0)(check_machine)
    checks = {
        check.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(job): node
        for node in suitable
    }
    blind, other_versions = [], {}
    for ref, node in checks.items():
        try:
            sees_results, telly = ray.get(ref)
        except ray.exceptions.RayError as error:
            raise ConfigError(f"{node['NodeManagerAddress']}: telly cannot run there: {_reason(ray, error)}") from None
        if not sees_results:
            blind.append(node["NodeManagerAddress"])
        if telly != version("telly"):
            other_versions[node["NodeManagerAddress"]] = telly
    if blind:
        raise ConfigError(_not_shared(", ".join(blind)))
    if other_versions:
        found = ", ".join(f"{telly} on {address}" for address, telly in other_versions.items())
        raise ConfigError(f"expected telly {version('telly')} on all machines, found {found}; install it everywhere")


def _not_shared(where: str) -> str:
    return (
        f"--output is not seen by {where}; expected a folder that all machines share, at the same path, or a URL such "
        "as s3://bucket/study"
    )


def check_machine(job: RayJob) -> tuple[bool, str]:
    """Ray task that returns whether its machine sees the folder of the results, and its version of telly."""
    return job.results.sees(job.token), version("telly")


def make_caches(job: RayJob, cell: Cell, _before: object = None) -> None:
    """Ray task that builds the activation caches of a cell; errors are only printed, as the cell will record them."""
    from telly.tuning.run import build_caches

    if _prepare(job) is None:
        try:
            build_caches(cell.config)
        except TellyError as error:
            print(f"telly: activation caches of {cell.name}: {error}", file=sys.stderr)


def run_cell(job: RayJob, cell: Cell, _caches: object = None) -> tuple[int, str | None]:
    """Ray task that runs a cell and writes its results.

    With a shared folder, a cell that was interrupted by the loss of its machine continues from its last checkpoint.

    Returns:
        the exit code, and the reason if it is not 0.
    """
    refusal = _prepare(job)
    if refusal is not None:
        return refusal
    if job.results.is_url:
        return _run_and_upload(job, cell)
    cell.folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{cell.folder}.lock")
    with lock:  # a machine that Ray lost may still run the cell
        outcome = outcome_of(cell)
        if outcome.state is State.DONE:
            return 0, None
        code, error = _run(job, cell, outcome.state is State.INTERRUPTED)
        if code == 0:
            Path(lock.lock_file).unlink(missing_ok=True)
    return code, error


def _run_and_upload(job: RayJob, cell: Cell) -> tuple[int, str | None]:
    if job.results.outcome(cell).state is State.DONE:
        return 0, None
    with TemporaryDirectory(prefix="telly-cell-") as folder:
        folders: dict[str, Any] = {"output": Path(folder) / cell.folder.name}
        if job.own_caches:
            folders["cache_dir"] = Path(folder) / CACHE_FOLDER
        local = replace(cell, config=cell.config.model_copy(update=folders))
        code, error = _run(job, local, False)
        if code != INTERRUPTED and outcome_of(local).state in {State.DONE, State.FAILED}:
            job.results.save(cell, local.folder)
    return code, error


def _run(job: RayJob, cell: Cell, resume: bool) -> tuple[int, str | None]:
    if job.resources.processes == 1:
        return run_here(cell.config, resume)
    return in_processes(job.resources.processes, cell, resume), None


def _prepare(job: RayJob) -> tuple[int, str] | None:
    """Set up this process like one on the driver's machine; returns code and reason if the task must not start."""
    import torch

    if job.deadline is not None and time.time() >= job.deadline:
        return NOT_STARTED, "the study's time is spent"
    if not job.results.sees(job.token):
        return FAILED, NOT_SHARED
    if Path(job.folder).is_dir():
        os.chdir(job.folder)
    sys.argv = list(job.command)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Ray cancels tasks by it
    threads = max(1, int(job.resources.cpus) // job.resources.processes)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    torch.set_num_threads(threads)
    return None
