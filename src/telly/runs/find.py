"""Search of folders for the runs of `telly tune`, finished or not."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from telly.errors import DataError
from telly.runs.folder import RECORD_FILE, RunFolder, holds_results
from telly.runs.record import RunRecord

RUNS = Path("runs")
"""Folder into which `telly tune` puts runs without an `--output`."""


@dataclass(frozen=True)
class StoredRun:
    """A run's folder and its record."""

    folder: Path
    record: RunRecord

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.record.config.seed

    @property
    def command(self) -> str:
        """The command that started the run."""
        return shlex.join(["telly", *self.record.command[1:]])

    @property
    def repeat_command(self) -> str:
        """A command that repeats the run with all its settings resolved, in another folder."""
        settings = str(RunFolder(self.folder).settings)
        words = ["telly", "tune", self.record.config.task, "--config", settings]
        return shlex.join([*words, "--output", f"{self.folder}-again"])


@dataclass(frozen=True)
class LeftOut:
    """A run that cannot be used as a result, and the reason."""

    folder: Path
    reason: str


def find_runs(folders: Iterable[Path]) -> tuple[list[StoredRun], list[LeftOut]]:
    """Find finished runs in folders and all below them.

    Returns:
        the finished runs, and those that are not finished, failed or cannot be read.
    """
    runs: list[StoredRun] = []
    left_out: list[LeftOut] = []
    for file in find_files(folders, (RECORD_FILE,)):
        try:
            run = StoredRun(file.parent, RunRecord.read(file))
        except DataError as error:
            left_out.append(LeftOut(file.parent, str(error)))
            continue
        if run.record.status == "finished" and run.record.test:
            runs.append(run)
        else:
            left_out.append(LeftOut(run.folder, _reason(run.record)))
    return runs, left_out


def newest_run(
    task: str, folder: Path = RUNS, accepts: Callable[[RunRecord], bool] = lambda _record: True
) -> Path | None:
    """The folder of the finished run of a task that was started last and has its model; None if there is none.

    Args:
        task: name of the task.
        folder: folder that is searched with everything below it; it may not exist.
        accepts: filter of the runs by their records. [default: all]
    """
    usable = [
        run
        for run in find_runs([folder])[0]
        if run.record.config.task == task and RunFolder(run.folder).has_model and accepts(run.record)
    ]
    return max(usable, key=lambda run: run.record.started).folder if usable else None


def find_files(folders: Iterable[Path], names: Collection[str]) -> list[Path]:
    """Files of some names in folders and all below them, each once, in the order of their paths."""
    unique: dict[Path, Path] = {}  # by resolved path: folders may overlap, or be reached through links
    for folder in folders:
        for parent, subfolders, files in os.walk(folder):
            subfolders[:] = sorted(name for name in subfolders if holds_results(name))  # `walk` enters only these
            for name in sorted(set(files) & set(names)):
                file = Path(parent) / name
                unique.setdefault(file.resolve(), file)
    return list(unique.values())


def _reason(record: RunRecord) -> str:
    if record.status == "running":
        return "not finished: it is still running, or was killed"
    if record.status == "finished":
        return "finished without scores"
    return f"{record.status}: {record.error}" if record.error else record.status
