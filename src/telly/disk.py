"""Files and folders written whole or not at all, locks, and full disks as any library reports them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from telly.errors import ConfigError, DataError, TellyError

_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_FULL_IN_TEXT = tuple(f"os error {number}" for number in _FULL)
"""Spelling of the system's error in messages of safetensors, which is written in Rust."""
_TORCH_WRITER = ("PytorchStreamWriter failed", "inline_container.cc")
"""Messages of `torch.save` when writing fails; they do not name the cause."""


PARTIAL_SUFFIX = ".partial"
"""Ends the names of files and folders that are still being written."""


def is_full_disk(error: BaseException) -> bool:
    """Return whether an error means that nothing more can be written: full disk, quota, or limit on file size."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    text = str(error)
    return any(part in text for part in (*_FULL_IN_TEXT, *_TORCH_WRITER))


def caused_by_full_disk(error: BaseException | None) -> bool:
    """Return whether an error, its cause or its context means that nothing more can be written."""
    visited = set[int]()
    # An error that is raised again can be the cause of its own context: stop where the chain closes.
    while error is not None and id(error) not in visited:
        if is_full_disk(error):
            return True
        visited.add(id(error))
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def full_disk_as(explain: Callable[[BaseException], TellyError]) -> Iterator[None]:
    """Raise an error of telly in place of the error of any library when the disk is full; the outermost context counts.

    Args:
        explain: function from the library's error to telly's, which says what the body was writing.
    """
    try:
        yield
    except Exception as error:
        if caused_by_full_disk(error):
            raise explain(error) from error
        raise


def write_json(file: Path, value: dict[str, Any]) -> None:
    """Write JSON atomically: the file is either the old or the new one, never half of it."""
    write_text(file, json.dumps(value, indent=1) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a text atomically: the file is either the old or the new one, never half of it."""
    with whole_file(file) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """Yield a path beside the file; its content replaces the file on success and is removed on an exception."""
    partial = file.with_suffix(f".{os.getpid()}{PARTIAL_SUFFIX}")
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(output: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a folder beside the output that takes its place on success and is removed on an exception.

    Args:
        output: a folder that is empty or does not exist.
        replace: allow an output with content, which is removed once the new folder has its name.

    Raises:
        DataError: the folder cannot be made, or the disk is full.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}-", suffix=PARTIAL_SUFFIX))
    except OSError as error:
        raise DataError(f"{output}: cannot be made: {error.strerror or error}; choose another folder") from None
    try:
        with full_disk_as(
            lambda _: DataError(f"{output}: the disk is full; free some space and run the command again")
        ):
            yield partial
            partial.chmod(0o777 & ~_umask())
            _put_in_place(partial, output, replace)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put_in_place(partial: Path, output: Path, replace: bool) -> None:
    """Rename a folder to the output's name.

    A former output is moved aside first: only an empty folder can be replaced by renaming, and an interrupted removal
    would leave half of the former output under its name.
    """
    if not output.exists():
        partial.replace(output)
        return
    if not replace:
        output.rmdir()
        partial.replace(output)
        return
    former = partial.with_name(f"{partial.name}-former{PARTIAL_SUFFIX}")
    output.replace(former)
    try:
        partial.replace(output)
    except OSError:
        former.replace(output)
        raise
    shutil.rmtree(former, ignore_errors=True)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder while the body runs; readers are not affected.

    The lock is a hidden file beside the folder, so that nothing in the folder, which may not exist yet, is taken for
    content. It is removed at the end. The system releases it when the process dies, and then the file left behind locks
    nothing. Where no file can be written beside the folder, there is no lock; writing into the folder then
    fails with the reason.

    Raises:
        ConfigError: another process holds the lock.
    """
    target = folder.resolve()
    new_parents = [parent for parent in target.parents if not parent.exists()]
    lock = FileLock(target.parent / f".{target.name}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"{folder}: another process of telly is writing into this folder; wait until it has finished or end it, or "
            "choose another --output"
        ) from None
    except OSError:
        pass
    try:
        yield
    finally:
        if lock.is_locked:
            with contextlib.suppress(OSError):
                Path(lock.lock_file).unlink()  # while it is held, so that it is not the file of the next holder
            lock.release()
        for parent in new_parents:
            with contextlib.suppress(OSError):
                parent.rmdir()  # only if the body left it empty


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
