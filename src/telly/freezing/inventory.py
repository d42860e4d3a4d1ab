"""The stores in a folder: find, verify, remove."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from telly.errors import StoreError
from telly.freezing.store import META_FILE, read_meta, shard_is_sound


@dataclass(frozen=True)
class StoreEntry:
    """One store on disk."""

    folder: Path
    layer: int
    rows: int
    tokens: int
    dtype: str
    nbytes: int
    modified: float


def find_stores(root: Path, names: list[str] | None = None) -> list[StoreEntry]:
    """The stores in a folder, newest first; all, or those whose names begin with one of `names`.

    Raises:
        StoreError: a name fits no store.
    """
    found = [_entry(file.parent) for file in root.glob(f"*/{META_FILE}")]
    entries = sorted((entry for entry in found if entry), key=lambda entry: -entry.modified)
    if not names:
        return entries
    for name in names:
        if not any(entry.folder.name.startswith(name) for entry in entries):
            raise StoreError(f"{root}: no store {name!r}; `telly cache ls` lists them")
    return [entry for entry in entries if entry.folder.name.startswith(tuple(names))]


def verify_store(folder: Path) -> list[int]:
    """Numbers of the shards that do not have their checksum."""
    shards = sorted(int(file.stem.split("-")[1]) for file in folder.glob("shard-*.json"))
    return [shard for shard in shards if not shard_is_sound(folder, shard)]


def remove_store(folder: Path) -> int:
    """Remove a store and return the bytes freed.

    Raises:
        StoreError: a run holds the store's lock.
    """
    lock = FileLock(str(folder) + ".lock")
    try:
        with lock.acquire(timeout=0):
            size = sum(file.stat().st_size for file in folder.iterdir())
            (folder / META_FILE).unlink(missing_ok=True)  # first: half removed is no store
            shutil.rmtree(folder)
    except Timeout:
        raise StoreError(f"{folder.name}: a run is building this store; wait for it or end it first") from None
    Path(lock.lock_file).unlink(missing_ok=True)
    return size


def _entry(folder: Path) -> StoreEntry | None:
    meta: dict[str, Any] | None = read_meta(folder)
    if meta is None:
        return None
    files = list(folder.iterdir())
    return StoreEntry(
        folder,
        int(meta["key"]["layer"]),
        int(meta["rows"]),
        int(meta["tokens"]),
        str(meta["key"]["dtype"]),
        sum(file.stat().st_size for file in files),
        max(file.stat().st_mtime for file in files),
    )
