"""Activation caches in a folder: find, verify, remove."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from filelock import FileLock, Timeout

from telly.errors import CacheError
from telly.freezing.activation_cache import META_FILE, read_meta, shard_is_sound
from telly.freezing.states import StateDtype


@dataclass(frozen=True)
class CacheEntry:
    """One activation cache on disk; fields that a damaged `store.json` does not give are None."""

    folder: Path
    layer: int | None
    rows: int | None
    tokens: int | None
    dtype: str | None
    complete: bool
    nbytes: int
    modified: float


class KeptEntry(Protocol):
    """Anything that is kept in a folder of its own."""

    @property
    def folder(self) -> Path:
        """The folder; its name identifies the entry."""


EntryT = TypeVar("EntryT", bound=KeptEntry)


def find_caches(root: Path) -> list[CacheEntry]:
    """Activation caches in a folder, newest first."""
    folders = {file.parent for pattern in (META_FILE, "shard-*.bin") for file in root.glob(f"*/{pattern}")}
    return sorted((_entry(folder) for folder in folders), key=lambda entry: -entry.modified)


def select(entries: Sequence[EntryT], names: Sequence[str], root: Path) -> list[EntryT]:
    """Select the entries whose names begin with one of `names`; all if there are none.

    Args:
        entries: entries of the folder `root`.
        names: names, or beginnings of names.
        root: the folder, for the error.

    Raises:
        CacheError: no entry has a name that begins with one of `names`.
    """
    if not names:
        return list(entries)
    for name in names:
        if not any(entry.folder.name.startswith(name) for entry in entries):
            raise CacheError(f"{root}: nothing is kept under the name {name!r}; `telly cache ls` lists all names")
    return [entry for entry in entries if entry.folder.name.startswith(tuple(names))]


def verify_cache(folder: Path) -> list[int]:
    """Indices of the shards that do not match their checksum."""
    shards = {int(file.stem.split("-")[1]) for file in folder.glob("shard-*") if file.suffix in {".bin", ".json"}}
    return [shard for shard in sorted(shards) if not shard_is_sound(folder, shard)]


def remove_cache(folder: Path) -> int:
    """Remove the folder of an activation cache, or of embeddings, and return the bytes freed.

    Raises:
        CacheError: a run holds the cache's lock.
    """
    lock = FileLock(str(folder) + ".lock")
    try:
        with lock.acquire(timeout=0):
            size = sum(file.stat().st_size for file in folder.iterdir())
            (folder / META_FILE).unlink(missing_ok=True)  # first, so that a half removed folder does not count
            shutil.rmtree(folder)
    except Timeout:
        raise CacheError(f"{folder.name}: a run is writing it; wait for it or end it first") from None
    Path(lock.lock_file).unlink(missing_ok=True)
    return size


def _entry(folder: Path) -> CacheEntry:
    meta: dict[str, Any] = read_meta(folder) or {}
    key: dict[str, Any] = meta.get("key", {})
    files = list(folder.iterdir())
    states = sum(file.stat().st_size for file in files if file.suffix == ".bin")
    expected = meta["tokens"] * StateDtype(key["dtype"]).bytes_per_token(meta["hidden"]) if meta else None
    return CacheEntry(
        folder,
        key.get("layer"),
        meta.get("rows"),
        meta.get("tokens"),
        key.get("dtype"),
        states == expected,
        sum(file.stat().st_size for file in files),
        max(file.stat().st_mtime for file in files),
    )
