"""Results of a study, in a folder or behind a URL of any kind that fsspec knows."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from telly.disk import write_text
from telly.errors import ConfigError, DataError
from telly.runs.folder import RECORD_FILE, RunFolder
from telly.runs.record import RecordFormatError, RunRecord
from telly.studies.config import Cell
from telly.urls import file_system, is_url

CELLS = "cells"
VISIBLE_SECONDS = 5.0
"""Seconds within which a shared file system must show a new file on another machine."""


class State(StrEnum):
    """State of a cell."""

    OPEN = "open"
    DONE = "done"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """Outcome of a cell.

    Attributes:
        state: state of the cell.
        error: reason for the failure; None if it did not fail.
        record: record of the run; None before it began.
    """

    state: State
    error: str | None
    record: RunRecord | None


def outcome_of(cell: Cell) -> Outcome:
    """Outcome of a cell, from the record in its folder.

    Raises:
        RecordFormatError: another version of telly wrote the record.
    """
    file = RunFolder(cell.folder).record
    try:
        return _outcome(file.read_bytes(), str(file))
    except OSError:
        return Outcome(State.OPEN, None, None)


def _outcome(text: bytes, origin: str) -> Outcome:
    try:
        record = RunRecord.parse(text, origin)
    except RecordFormatError:
        raise  # the cell may be done, and running it would replace its results
    except DataError:
        return Outcome(State.OPEN, None, None)
    state = {"finished": State.DONE, "failed": State.FAILED}.get(record.status, State.INTERRUPTED)
    return Outcome(state, record.error if state is State.FAILED else None, record)


@dataclass(frozen=True)
class Results:
    """Access to the results of a study.

    Attributes:
        output: a folder, or a URL such as `s3://bucket/study`. Only finished and failed cells are behind a URL: they
            run in a temporary folder of a machine, and are uploaded when they have ended.
    """

    output: str

    @property
    def is_url(self) -> bool:
        """True if results have to be uploaded."""
        return is_url(self.output)

    @cached_property
    def _location(self) -> tuple[Any, str]:
        """The file system and the path on it.

        Raises:
            ConfigError: no such kind of URL is known, or the package for it is not installed.
        """
        return file_system(self.output, "--output")

    def outcome(self, cell: Cell) -> Outcome:
        """Outcome of a cell."""
        if not self.is_url:
            return outcome_of(cell)
        system, root = self._location
        record = f"{root}/{CELLS}/{cell.folder.name}/{RECORD_FILE}"
        try:
            return _outcome(system.cat_file(record), record)
        except FileNotFoundError:
            return Outcome(State.OPEN, None, None)

    def save(self, cell: Cell, folder: Path) -> None:
        """Upload a cell's folder; the record goes last, so that an incomplete upload does not count."""
        system, root = self._location
        files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != RECORD_FILE]
        for file in (*files, folder / RECORD_FILE):
            target = f"{root}/{CELLS}/{cell.folder.name}/{file.relative_to(folder).as_posix()}"
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            system.put_file(str(file), target)

    def write(self, name: str, text: str) -> None:
        """Write a file beside the cells.

        Raises:
            ConfigError: nothing can be written there.
        """
        try:
            if self.is_url:
                system, root = self._location
                system.makedirs(root, exist_ok=True)
                system.pipe_file(f"{root}/{name}", text.encode())
            else:
                Path(self.output).mkdir(parents=True, exist_ok=True)
                write_text(Path(self.output) / name, text)
        except (FileExistsError, PermissionError, NotImplementedError) as error:
            raise ConfigError(f"--output {self.output}: cannot be written: {error}") from None

    @contextmanager
    def token(self) -> Iterator[str]:
        """A temporary file beside the cells, by which other machines check that they see the same folder or URL.

        Yields:
            the name of the file.
        """
        name = f".shared-{uuid.uuid4().hex}"
        self.write(name, "")
        try:
            yield name
        finally:
            with suppress(OSError):
                if self.is_url:
                    self._location[0].rm_file(f"{self._location[1]}/{name}")
                else:
                    (Path(self.output) / name).unlink()

    def sees(self, token: str) -> bool:
        """True if this machine sees the file of that name."""
        deadline = time.monotonic() + VISIBLE_SECONDS
        while not self._exists(token):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def _exists(self, name: str) -> bool:
        if not self.is_url:
            return (Path(self.output) / name).exists()
        self._location[0].invalidate_cache()
        return bool(self._location[0].exists(f"{self._location[1]}/{name}"))
