"""The activation cache: hidden states of distinct sequences on disk, un-padded, read-only once written.

A cache is a folder with `store.json` (its key) and shards. A shard is a file of raw bytes, [tokens, bytes per token],
and a small JSON file with its checksum, written last: a shard without it, or with another checksum, does not count.
Rows are ordered by length, so that a batch of similar lengths reads neighbouring bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from telly.data.sequences import Rows
from telly.disk import whole_file, write_json
from telly.errors import CacheError
from telly.freezing.fingerprint import CacheKey
from telly.freezing.states import StateDtype

META_FILE = "store.json"
"""The name is part of the format: caches of earlier versions stay valid."""
SHARD_BYTES = 64 * 2**20


@dataclass(frozen=True)
class CacheLayout:
    """Positions of all rows on disk; they follow from the lengths alone.

    Attributes:
        order: row indices by ascending length, [rows].
        shard: index of each row's shard, [rows].
        start: offset in tokens of each row within its shard, [rows].
        lengths: number of tokens per row, [rows].
        shard_tokens: number of tokens per shard, [shards].
        bytes_per_token: size of a cached token.
    """

    order: npt.NDArray[np.int64]
    shard: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    shard_tokens: npt.NDArray[np.int64]
    bytes_per_token: int

    @classmethod
    def of(cls, lengths: npt.NDArray[np.int64], bytes_per_token: int, shard_bytes: int | None = None) -> CacheLayout:
        """Lay out rows of these lengths in shards of about `shard_bytes`, by default `SHARD_BYTES`."""
        order = np.argsort(lengths, kind="stable").astype(np.int64)
        # Imagine all rows one after the other, by length: `begins` is the first token of each on that line.
        begins = np.concatenate([[0], np.cumsum(lengths[order])])[:-1]
        # Cutting the line every `shard_bytes` puts a row into the shard in which it begins, so no row is split.
        sorted_shard = begins // max(1, (shard_bytes or SHARD_BYTES) // bytes_per_token)
        # A row longer than a shard leaves shard indices with no rows; renumber the shards without gaps.
        _, sorted_shard = np.unique(sorted_shard, return_inverse=True)
        # The shards ascend along the line, so the first row of each row's shard is found by bisection. Offsets
        # within a shard count from where that first row begins.
        first = np.searchsorted(sorted_shard, sorted_shard, side="left")
        # Back from the order on the line to the order of rows.
        shard, start = np.empty_like(order), np.empty_like(order)
        shard[order] = sorted_shard
        start[order] = begins - begins[first]
        tokens = np.bincount(sorted_shard, weights=lengths[order]).astype(np.int64)
        return cls(order, shard, start, lengths, tokens, bytes_per_token)

    @property
    def nbytes(self) -> int:
        """Bytes of all states."""
        return int(self.lengths.sum()) * self.bytes_per_token

    def rows_of(self, shard: int) -> npt.NDArray[np.int64]:
        """The rows of a shard in the order on disk."""
        rows: npt.NDArray[np.int64] = self.order[self.shard[self.order] == shard]
        return rows


class ActivationCache:
    """A complete or partial activation cache, opened for reading. Returned tensors are copies, so it cannot change.

    Args:
        folder: the cache's folder.
        layout: the layout it was built with.
        dtype: precision of the cached states.
        hidden: width of the states.
        shards: number of shards on disk; the rows of later ones are not cached.
    """

    def __init__(self, folder: Path, layout: CacheLayout, dtype: StateDtype, hidden: int, shards: int) -> None:
        self.folder = folder
        self.layout = layout
        self.dtype = dtype
        self.hidden = hidden
        self.shards = shards
        self._width = dtype.bytes_per_token(hidden)
        # Opened now: a map survives the removal of its file, so `telly cache rm` cannot disturb a run.
        self._maps = [self._map(shard) for shard in range(shards)]

    @property
    def complete(self) -> bool:
        """True if every row is cached."""
        return self.shards == len(self.layout.shard_tokens)

    @property
    def cached_rows(self) -> int:
        """Number of rows that are cached."""
        return int((self.layout.shard < self.shards).sum())

    @property
    def nbytes(self) -> int:
        """Bytes of states on disk."""
        return int(self.layout.shard_tokens[: self.shards].sum()) * self._width

    def has(self, rows: Rows) -> bool:
        """Check that all these rows are cached."""
        return bool((self.layout.shard[np.asarray(rows)] < self.shards).all())

    def batch(self, rows: Rows) -> dict[str, torch.Tensor]:
        """States of some rows, padded on the right with zeros.

        Returns:
            `states` [rows, longest, hidden] in float32, and `attention_mask` [rows, longest].
        """
        lengths = self.layout.lengths[np.asarray(rows)]
        # Zero bytes decode to zero states in every precision, so padding needs no mask here.
        raw = np.zeros((len(rows), int(lengths.max()), self._width), dtype=np.uint8)
        for i, row in enumerate(rows):
            raw[i, : lengths[i]] = self._bytes(int(row))
        mask = torch.arange(raw.shape[1])[None] < torch.from_numpy(lengths)[:, None]
        return {"states": self.dtype.from_bytes(raw), "attention_mask": mask.long()}

    def _map(self, shard: int) -> npt.NDArray[np.uint8]:
        shape = (int(self.layout.shard_tokens[shard]), self._width)
        return np.memmap(shard_file(self.folder, shard), dtype=np.uint8, mode="r", shape=shape)

    def _bytes(self, row: int) -> npt.NDArray[np.uint8]:
        shard = int(self.layout.shard[row])
        if shard >= self.shards:
            raise CacheError(f"row {row} is not in the activation cache {self.folder} ({self.cached_rows} rows are)")
        start = self.layout.start[row]
        return self._maps[shard][start : start + self.layout.lengths[row]]


def shard_file(folder: Path, shard: int) -> Path:
    """The file of a shard's bytes."""
    return folder / f"shard-{shard:05d}.bin"


def checksum_file(folder: Path, shard: int) -> Path:
    """The file with a shard's checksum."""
    return shard_file(folder, shard).with_suffix(".json")


def write_shard(folder: Path, shard: int, rows: Sequence[npt.NDArray[np.uint8]]) -> None:
    """Write a shard, then its checksum; a shard without a checksum (after an interruption) does not count."""
    file = shard_file(folder, shard)
    digest = hashlib.blake2b(digest_size=16)
    with whole_file(file) as partial, partial.open("wb") as handle:
        for row in rows:
            data = np.ascontiguousarray(row).data
            digest.update(data)
            handle.write(data)
        # The checksum vouches for the bytes, so they must be on the disk before it is.
        handle.flush()
        os.fsync(handle.fileno())
    write_json(checksum_file(folder, shard), {"bytes": file.stat().st_size, "checksum": digest.hexdigest()})


def shard_is_sound(folder: Path, shard: int) -> bool:
    """Check that a shard exists, is complete and matches its checksum."""
    file = shard_file(folder, shard)
    try:
        expected = json.loads(checksum_file(folder, shard).read_text())
        if file.stat().st_size != expected["bytes"]:
            return False
        with file.open("rb") as handle:
            digest = hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16))
        return bool(digest.hexdigest() == expected["checksum"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_meta(folder: Path, key: CacheKey, hidden: int, rows: int, tokens: int) -> None:
    """Write the key of a cache, before its first shard."""
    write_json(folder / META_FILE, {"key": asdict(key), "hidden": hidden, "rows": rows, "tokens": tokens})


def read_meta(folder: Path) -> dict[str, Any] | None:
    """Read a cache's key and sizes; None if the file is missing or damaged."""
    try:
        meta: dict[str, Any] = json.loads((folder / META_FILE).read_text(encoding="utf-8"))
        return meta if isinstance(meta["key"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_key(folder: Path, key: CacheKey) -> None:
    """Refuse a folder that holds another cache.

    Raises:
        CacheError: the key on disk differs (the text says in which parts), or the folder holds something else.
    """
    meta = read_meta(folder)
    if meta is None:
        raise CacheError(f"{folder}: expected an activation cache, found no readable {META_FILE}; remove the folder")
    differences = key.differences(meta["key"])
    if differences:
        raise CacheError(
            f"{folder}: this activation cache was made from something else and is not used ({'; '.join(differences)}). "
            "Remove it with `telly cache rm`, or choose another --cache-dir"
        )
