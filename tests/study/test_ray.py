"""Studies on a Ray cluster: two machines of one processor each, of which one is lost in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from telly.errors import ConfigError
from telly.studies.config import Cell, StudyConfig, cells_of, load_study
from telly.studies.on_ray import RayPool
from telly.studies.results import Outcome, Results, State, outcome_of
from telly.studies.run import SUMMARY_FILE, run_cells
from tiny_runs import SMALL, Tiny, complete, environment, largest_difference, record_of
from tiny_studies import SETTINGS, telly_study, write_study

pytest.importorskip("ray")
CACHE_MEMORY = 80 * 2**20
WAIT_SECONDS = 240
STEPS = 30
"""Of a cell: two epochs of 120 pairs, eight a step."""
EVERY_OTHER_STEP = SETTINGS | {"save_steps": 2}
"""There is a checkpoint to go on from."""


@pytest.fixture(scope="module")
def study_file(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("ray") / "mine.toml", tiny, settings=EVERY_OTHER_STEP)


@pytest.fixture(scope="module")
def alone(study_file: Path) -> Path:
    """The study's folder, run cell by cell on one machine."""
    output = study_file.parent / "alone"
    telly_study(study_file, output)
    return output


@contextmanager
def machines(count: int) -> Iterator[Any]:
    """A head that runs nothing, and machines of one processor each."""
    from ray.cluster_utils import Cluster

    # Ray's processes give way to all others by default, and would wait for the tests beside these
    with environment(SMALL | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}):
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": CACHE_MEMORY}
        found = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(count):
                found.add_node(num_cpus=1, object_store_memory=CACHE_MEMORY)
            yield found
        finally:
            found.shutdown()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with machines(2) as found:
        yield found


def telly(study: Path, output: Path | str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "telly", "study", str(study), "--output", str(output), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | SMALL)


class Driver:
    """`telly study` on a cluster, while it runs."""

    def __init__(self, study: Path, output: Path, address: str) -> None:
        command = [sys.executable, "-m", "telly", "study", str(study), "--output", str(output), "--ray", address]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | SMALL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )

    def when(self, condition: Callable[[], bool]) -> None:
        """Wait for it."""
        end = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert self.process.poll() is None and time.monotonic() < end, self.end()
            time.sleep(0.02)

    def end(self) -> tuple[int, str]:
        """Exit code and standard error."""
        error = self.process.communicate(timeout=WAIT_SECONDS)[1]
        return self.process.returncode, error


OWN_CACHE = 0.02
"""A store made from tokens is rounded once, one derived from another's states twice, and training carries that on."""


def same_results(study_file: Path, output: Path, alone: Path, within: float = 0.0) -> None:
    for cell, expected in zip(
        *(cells_of(load_study(str(study_file)), place) for place in (output, alone)), strict=True
    ):
        assert outcome_of(cell).state is State.DONE
        assert largest_difference(cell.folder, expected.folder) <= within, cell.name
        if not within:
            assert record_of(cell.folder)["test"] == record_of(expected.folder)["test"], cell.name


def lose_the_machine_that_runs(cluster: Any, folder: Path) -> None:
    """End a machine at once, with the process that holds the lock of a cell's folder.

    The process is stopped first: ending the machine's raylet alone would leave it running for seconds.
    """
    for node in cluster.worker_nodes:
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        for process in raylet.children(recursive=True):
            if any(file.path == f"{folder}.lock" for file in process.open_files()):
                process.suspend()
                cluster.remove_node(node, allow_graceful=False)
                process.kill()
                return
    raise AssertionError("no machine runs it")


def test_a_machine_is_lost_in_the_middle(cluster: Any, study_file: Path, alone: Path, tmp_path: Path):
    output = tmp_path / "out"
    base = cells_of(load_study(str(study_file)), output)[0]
    driver = Driver(study_file, output, cluster.address)
    driver.when(complete(base.folder, 4))
    lose_the_machine_that_runs(cluster, base.folder)
    code, error = driver.end()
    assert code == 0, error
    same_results(study_file, output, alone)
    record = record_of(base.folder)
    assert len(record["sessions"]) == 1 and 4 <= record["resumed_from_step"] < STEPS, "it went on where it was"
    cells = cells_of(load_study(str(study_file)), output)
    assert record_of(cells[2].folder)["cache"]["caches"]["train"]["source"] == "cache", "made before, by its own task"
    assert [path.name for path in (output / "cells").iterdir() if path.suffix == ".lock"] == []
    left = [json.loads(file.read_text())["key"]["layer"] for file in (output / "activations").glob("*/store.json")]
    assert left == [3] * 3, "a lower K's stores are dropped"
    cluster.add_node(num_cpus=1, object_store_memory=CACHE_MEMORY)


def test_nothing_that_is_done_is_lost_with_who_asked_for_it(cluster: Any, tiny: Tiny, alone: Path, tmp_path: Path):
    output = tmp_path / "out"
    two_cells = write_study(tmp_path / "two.toml", tiny, variants=["base", 2], settings=EVERY_OTHER_STEP)
    cells = cells_of(load_study(str(two_cells)), output)
    driver = Driver(two_cells, output, cluster.address)
    driver.when(lambda: any(outcome_of(cell).state is State.DONE for cell in cells))
    driver.process.kill()
    driver.end()
    done = [cell for cell in cells if outcome_of(cell).state is State.DONE]
    before = {cell.folder: (cell.folder / "record.json").stat().st_mtime_ns for cell in done}
    again = telly(two_cells, output, "--ray", cluster.address)
    assert again.returncode == 0, again.stderr
    assert f"{len(done)} of 2 cells are done already" in again.stderr
    assert {folder: (folder / "record.json").stat().st_mtime_ns for folder in before} == before
    same_results(two_cells, output, alone)


@pytest.mark.slow
def test_the_head_is_lost(study_file: Path, alone: Path, tmp_path: Path):
    output = tmp_path / "out"
    cells = cells_of(load_study(str(study_file)), output)
    with machines(1) as lost:
        driver = Driver(study_file, output, lost.address)
        driver.when(lambda: any(outcome_of(cell).state is State.DONE for cell in cells))
        for started in lost.head_node.all_processes.values():
            for process in started:
                psutil.Process(process.process.pid).kill()
        code, error = driver.end()
        assert code != 0, "not all cells are done, and it says so"
    done = {cell.folder for cell in cells if outcome_of(cell).state is State.DONE}
    before = {folder: (folder / "record.json").stat().st_mtime_ns for folder in done}
    again = telly(study_file, output)  # without a cluster
    assert done and again.returncode == 0, error + again.stderr
    assert f"{len(done)} of 3 cells are done already" in again.stderr
    assert {folder: (folder / "record.json").stat().st_mtime_ns for folder in before} == before
    same_results(study_file, output, alone)


@pytest.mark.slow
def test_ctrl_c_ends_cells_in_order(cluster: Any, study_file: Path, alone: Path, tmp_path: Path):
    output = tmp_path / "out"
    base = cells_of(load_study(str(study_file)), output)[0]
    driver = Driver(study_file, output, cluster.address)
    driver.when(complete(base.folder, 2))
    driver.process.send_signal(signal.SIGINT)
    code, error = driver.end()
    assert code == 130 and "run the same command again to resume" in error and "Traceback" not in error, error
    assert outcome_of(base).state is State.INTERRUPTED
    assert record_of(base.folder)["status"] == "interrupted"
    states = {cell["variant"]: cell["state"] for cell in json.loads((output / SUMMARY_FILE).read_text())["cells"]}
    assert states["base"] == "interrupted"
    again = telly(study_file, output)  # without a cluster
    assert again.returncode == 0, again.stderr
    assert record_of(base.folder)["resumed_from_step"]
    same_results(study_file, output, alone)


@pytest.mark.slow
def test_results_go_to_a_url(cluster: Any, study_file: Path, alone: Path, tmp_path: Path):
    url = f"file://{tmp_path}/bucket/out"
    ended = telly(study_file, url, "--ray", cluster.address)
    assert ended.returncode == 0, ended.stderr
    same_results(study_file, tmp_path / "bucket" / "out", alone, OWN_CACHE)
    assert not (tmp_path / "bucket" / "out" / "activations").exists()
    broken = cells_of(load_study(str(study_file)), tmp_path / "bucket" / "out")[1]
    (broken.folder / "record.json").unlink()  # as if the machine was lost while it brought the files
    again = telly(study_file, url, "--ray", cluster.address)
    assert again.returncode == 0 and "2 of 3 cells are done already" in again.stderr, again.stderr
    same_results(study_file, tmp_path / "bucket" / "out", alone, OWN_CACHE)


def run_pool(study_file: Path, output: Path, address: str, **more: Any) -> list[Outcome]:
    study = StudyConfig.parse(load_study(str(study_file)).model_dump() | more)
    cells: list[Cell] = cells_of(study, output)
    return run_cells(cells, study, output, pool=RayPool(address, study, str(output)))


def test_a_folder_that_machines_do_not_share(
    cluster: Any, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write = Results.write
    monkeypatch.setattr(Results, "write", lambda self, name, value: name == SUMMARY_FILE and write(self, name, value))
    with pytest.raises(ConfigError, match=r"--output is not seen by .*; expected a folder that all machines share"):
        run_pool(study_file, tmp_path / "out", cluster.address)


@pytest.mark.slow
def test_no_cell_starts_when_the_time_is_spent(cluster: Any, study_file: Path, tmp_path: Path):
    outcomes = run_pool(study_file, tmp_path / "out", cluster.address, budget={"hours": 1e-12})
    assert {outcome.state for outcome in outcomes} == {State.OPEN}


@pytest.mark.parametrize(("address", "message"), [
    ("127.0.0.1:1", r"--ray 127.0.0.1:1: nothing answers there \(Connection refused\); give the address that"),
    ("cluster", "--ray: expected HOST:PORT, auto or local, found 'cluster'"),
])  # fmt: skip
def test_an_address_without_a_cluster(address: str, message: str, study_file: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=message):
        run_pool(study_file, tmp_path / "out", address)


def test_without_the_extra(study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        ConfigError, match=r"--ray: needs the package ray; install it with `pip install 'telly\[ray\]'`"
    ):
        run_pool(study_file, tmp_path / "out", "local")


@pytest.mark.parametrize(("options", "message"), [
    (("--output", "s3://bucket/x"), "--output s3://bucket/x: a URL needs --ray; give a folder"),
    (("--gpus-per-cell", "1"), "gpus: only for Ray; give --ray as well"),
    (("--ray", "local", "--gpus-per-cell", "2"), "gpus: 2 for 1 processes; give every process one of its own"),
    (("--processes", "3"), "3 processes cannot share the batches: batch_size must be a multiple of 3; found search 8"),
    (("--ray", "local", "--output", "nothing://x"), "--output nothing://x: Protocol not known: nothing"),
])  # fmt: skip
def test_options_that_do_not_fit(options: tuple[str, ...], message: str, study_file: Path, tmp_path: Path):
    from typer.testing import CliRunner

    from telly.cli import app

    with pytest.raises(ConfigError) as error:
        CliRunner().invoke(app, ["study", str(study_file), "--output", str(tmp_path), *options], catch_exceptions=False)
    assert message in str(error.value)
