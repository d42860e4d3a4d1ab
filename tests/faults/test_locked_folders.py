"""The folder of a running run belongs to it: others are refused, readers are not, and a crash leaves no lock.

Runs that were killed and go on with --resume are in `test_interrupted_training.py`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telly.disk import folder_lock
from telly.errors import ConfigError
from telly.reports.scan import scan_runs
from telly.studies.config import StudyConfig
from telly.studies.run import run_cells
from tiny_runs import Telly, Tiny, files_below, record_of, run_telly

IN_USE = "another process of telly is writing into this folder; wait until it has finished or end it, or choose another"


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.02)


@pytest.fixture
def running(tiny: Tiny, tmp_path: Path) -> Iterator[tuple[Telly, Path]]:
    """A run that trains until it is stopped, and its folder."""
    output = tmp_path / "runs/run"
    process = Telly(*tiny.command(output, "frozen", "--epochs", "3000", "--patience", "3000"))
    wait_until(lambda: (output / "metrics.jsonl").is_file() and (output / "metrics.jsonl").stat().st_size > 0)
    yield process, output
    if not process.ended:
        process.signal(signal.SIGKILL)
        process.end()


def test_a_second_run_into_the_folder_is_refused(running: tuple[Telly, Path], tiny: Tiny):
    process, output = running
    settings = (output / "config.toml").read_bytes()
    for more in ("--overwrite", "--resume"):
        ended = run_telly(*tiny.command(output, "frozen", "--seed", "7", more), code=2)
        assert ended.error.startswith(f"{output}: {IN_USE} --output")
    assert not process.ended
    assert (output / "config.toml").read_bytes() == settings
    # Readers see a run that is not finished, and nothing that the lock left.
    assert [one.reason for one in scan_runs([output.parent]).left_out] == [
        "not finished: it is still running, or was killed"
    ]
    process.signal(signal.SIGINT)
    assert process.end().code == 130
    assert record_of(output)["config"]["seed"] == 0
    assert [path.name for path in output.parent.iterdir()] == ["run"], "the lock is gone"
    assert not any("lock" in name for name in files_below(output))


def test_a_refused_run_leaves_nothing(tiny: Tiny, tmp_path: Path):
    """Folders that the lock needed are removed where the run wrote nothing into them."""
    output = tmp_path / "new/runs/run"
    run_telly(*tiny.command(output, "frozen", "--max-tokens", "code=4096"), code=2)
    assert list(tmp_path.iterdir()) == []


def held_elsewhere(folder: Path) -> int:
    """A process that holds the lock of a folder until it is killed; returns its id once it does."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        with folder_lock(folder):
            os.write(write, b"held")
            time.sleep(600)
        os._exit(0)
    assert os.read(read, 4) == b"held"
    return child


def test_a_lock_holds_between_processes_and_goes_with_them(tmp_path: Path):
    folder = tmp_path / "place"
    other = held_elsewhere(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    try:
        for name in (folder, link, tmp_path / "x/../place"):
            with pytest.raises(ConfigError, match=IN_USE), folder_lock(name):
                pytest.fail("locked twice")
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    with folder_lock(folder):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link"]


def test_an_error_in_the_body_releases_the_lock(tmp_path: Path):
    with pytest.raises(ValueError, match="mine"), folder_lock(tmp_path / "a/b"):
        raise ValueError("mine")
    assert list(tmp_path.iterdir()) == []
    with folder_lock(tmp_path / "a/b"):
        (tmp_path / "a/b").mkdir()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    """A folder that another process has locked."""
    output = tmp_path / "place"
    other = held_elsewhere(output)
    yield output
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
    assert not output.exists()


@pytest.mark.parametrize("command", ["export", "pretrain"])
def test_other_commands_respect_the_lock(command: str, tiny: Tiny, held: Path):
    words = {
        "export": ("export", str(tiny.model), "--to", "sentence-transformers"),
        "pretrain": ("pretrain", "--corpus", str(Path(__file__).parent)),
    }[command]
    assert f"{held}: {IN_USE}" in run_telly(*words, "--output", str(held), code=2).error


def test_a_study_respects_the_lock(held: Path):
    with pytest.raises(ConfigError, match=IN_USE):
        run_cells([], StudyConfig.parse({"tasks": ["search"]}), held, print)


def test_a_refused_pre_training_leaves_no_folder_that_refuses_the_next(tmp_path: Path):
    output = tmp_path / "pretrained"
    for corpus in ("nothing", "nowhere"):
        error = run_telly("pretrain", "--corpus", str(tmp_path / corpus), "--output", str(output), code=2).error
        assert "other settings" not in error
        assert not output.exists()


def test_a_folder_that_cannot_be_made_is_refused(tiny: Tiny):
    ended = run_telly(*tiny.command(Path("/proc/none/run"), "frozen"), code=2)
    assert ended.error == "/proc/none/run: cannot be created: No such file or directory; choose another --output"
