"""Finding results in folders: runs of `telly tune`, finished or not, and those of `telly probe` and `telly compare`."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telly.analysis import COMPARE_FILE, PROBING_FILE
from telly.errors import ConfigError, DataError
from telly.tuning.record import RECORD_FILE, RunRecord

PASSED_BY = ("checkpoints", "model", "model.partial", "adapter", "adapter.partial")
"""Folders within a run in which no results lie."""


@dataclass(frozen=True)
class StoredRun:
    """A run's folder and its record."""

    folder: Path
    record: RunRecord

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.record.config.get("seed", 0))

    @property
    def command(self) -> str:
        """The command that was given."""
        return shlex.join(["telly", *self.record.command[1:]])

    @property
    def again(self) -> str:
        """A command that does the run again with all its settings resolved, in another folder."""
        words = ["telly", "tune", str(self.record.config.get("task")), "--config", str(self.folder / "config.toml")]
        return shlex.join([*words, "--output", f"{self.folder}-again"])


@dataclass(frozen=True)
class StoredResult:
    """What `telly probe` or `telly compare` wrote."""

    folder: Path
    content: dict[str, Any]


@dataclass(frozen=True)
class LeftOut:
    """A run that is in no table, and why."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class ScanResult:
    """What lies in some folders.

    Attributes:
        runs: finished runs.
        left_out: runs that are not finished, failed, cannot be read, or were done again later.
        probes: results of `telly probe`.
        comparisons: results of `telly compare`.
    """

    runs: tuple[StoredRun, ...]
    left_out: tuple[LeftOut, ...]
    probes: tuple[StoredResult, ...]
    comparisons: tuple[StoredResult, ...]


def find(folders: Iterable[Path]) -> ScanResult:
    """Search folders and all below them.

    Raises:
        ConfigError: one is no folder, or there is nothing to report in any.
    """
    folders = list(folders)
    for folder in folders:
        if not folder.is_dir():
            what = "a file" if folder.exists() else "nothing"
            raise ConfigError(f"{folder}: expected a folder with runs, found {what}; give the --output of `telly tune`")
    found = look(folders)
    if not (found.runs or found.probes or found.comparisons):
        reasons = "".join(f"\n  {one.folder}: {one.reason}" for one in found.left_out)
        raise ConfigError(
            f"nothing to report in {', '.join(map(str, folders))}: expected at least one finished run of `telly tune` "
            f"(with {RECORD_FILE}), or results of `telly probe` or `telly compare`; found {len(found.left_out)} runs "
            f"that cannot be used{':' if reasons else ''}{reasons}"
        )
    return found


def look(folders: Iterable[Path]) -> ScanResult:
    """What lies in folders and all below them, also if that is nothing."""
    runs: list[StoredRun] = []
    left_out: list[LeftOut] = []
    results: dict[str, list[StoredResult]] = {PROBING_FILE: [], COMPARE_FILE: []}
    for file in _files(folders, (RECORD_FILE, *results)):
        try:
            if file.name != RECORD_FILE:
                results[file.name].append(_result(file))
                continue
            run = StoredRun(file.parent, RunRecord.read(file))
        except DataError as error:
            left_out.append(LeftOut(file.parent, str(error)))
            continue
        if run.record.status == "finished" and run.record.test:
            runs.append(run)
        else:
            left_out.append(LeftOut(run.folder, _why(run.record)))
    return ScanResult(tuple(runs), tuple(left_out), tuple(results[PROBING_FILE]), tuple(results[COMPARE_FILE]))


def _files(folders: Iterable[Path], names: tuple[str, ...]) -> list[Path]:
    """Files of these names, each once, in the order of their paths."""
    found: dict[Path, Path] = {}
    for folder in folders:
        for here, below, files in os.walk(folder):
            below[:] = sorted(name for name in below if name not in PASSED_BY)
            for name in sorted(set(files) & set(names)):
                file = Path(here) / name
                found.setdefault(file.resolve(), file)
    return list(found.values())


def _result(file: Path) -> StoredResult:
    key = {PROBING_FILE: "probes", COMPARE_FILE: "comparisons"}[file.name]
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error}); run the command again") from None
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise DataError(f"{file}: expected an object with {key!r}; found another JSON file")
    return StoredResult(file.parent, content)


def _why(record: RunRecord) -> str:
    if record.status == "running":
        return "not finished: it still runs, or was killed"
    if record.status == "finished":
        return "finished without scores"
    return f"{record.status}: {record.error}" if record.error else record.status
