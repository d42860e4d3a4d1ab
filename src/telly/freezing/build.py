"""Building activation caches: from tokens or from a lower layer's cache, resumable, within a budget, under a lock."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock, Timeout

from telly.data.sequences import SequenceTable
from telly.disk import full_disk_as
from telly.errors import CacheError
from telly.freezing.activation_cache import (
    META_FILE,
    ActivationCache,
    CacheLayout,
    check_key,
    checksum_file,
    read_meta,
    shard_is_sound,
    write_meta,
    write_shard,
)
from telly.freezing.fingerprint import CacheKey, prefix_digests
from telly.freezing.split import SplitModel
from telly.freezing.states import StateDtype

BATCH_TOKENS = 4096
FREE_DISK_SHARE = 0.9

Progress = Callable[[int, int], None]
"""Called with the number of tokens done and the number of all tokens."""
Compute = Callable[[npt.NDArray[np.int64]], list[npt.NDArray[np.uint8]]]
"""Computes the encoded states of some rows, each [tokens, bytes per token]."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildResult:
    """Result of `build_cache`.

    Attributes:
        cache: the activation cache, ready to read.
        built_shards: shards that were computed now; the others were on disk and sound.
        source: `tokens`, `cache` (nothing was computed) or `layer J` (derived from the cache of a lower layer).
        seconds: wall time, checks included.
    """

    cache: ActivationCache
    built_shards: int
    source: str
    seconds: float


@dataclass(frozen=True)
class CacheRequest:
    """Which states to cache and where: those at the input of block K, for some sequences.

    Attributes:
        split: the frozen model.
        table: the distinct sequences.
        pad_id: id to pad batches with while computing.
        root: folder of all activation caches.
        dtype: precision of the cached states.
        bf16: compute the prefix under bf16 autocast, as the run does.
        budget: maximum bytes on disk; None means 90 % of the free space.
        digests: `prefix_digests(split.stack)`, if they are known already.
    """

    split: SplitModel
    table: SequenceTable
    pad_id: int
    root: Path
    dtype: StateDtype = StateDtype.BF16
    bf16: bool = False
    budget: int | None = None
    digests: tuple[str, ...] = ()

    def key(self, layer: int | None = None, source: str = "tokens") -> CacheKey:
        """The key of this request's cache at a layer, by default at K."""
        layer = self.layer if layer is None else layer
        digests = self.digests or tuple(prefix_digests(self.split.stack))
        compute = "bf16" if self.bf16 else "fp32"
        return CacheKey.of(
            self.split.stack, layer, digests[layer], self.table, self.dtype, compute=compute, source=source
        )

    @property
    def layer(self) -> int:
        """The number of frozen layers K, at whose output the states are taken.

        Raises:
            CacheError: no layer is frozen.
        """
        if self.split.k is None:
            raise CacheError("no layer is frozen (base), so there is nothing to cache")
        return self.split.k

    @property
    def layout(self) -> CacheLayout:
        """Positions of all rows on disk."""
        return CacheLayout.of(self.table.lengths, self.dtype.bytes_per_token(self.split.hidden_size))

    @property
    def estimated_bytes(self) -> int:
        """Exact size of the complete cache."""
        return self.layout.nbytes


@dataclass(frozen=True)
class _Parent:
    """A complete cache of a lower layer, from which the states can be derived."""

    layer: int
    cache: ActivationCache


def build_cache(request: CacheRequest, progress: Progress | None = None) -> BuildResult:
    """Open the activation cache of block K's inputs; compute what is missing or damaged.

    If the cache of a lower layer is complete, only the layers between run.

    Args:
        request: what to cache and where.
        progress: called with the tokens done.

    Raises:
        CacheError: as `fill_cache`, or no layer is frozen.
    """
    started = time.perf_counter()
    request = request if request.digests else replace(request, digests=tuple(prefix_digests(request.split.stack)))
    key, parent = _choose_source(request)
    cache, built = fill_cache(
        request.root,
        key,
        request.layout,
        partial(_compute_rows, request, parent),
        width=request.split.hidden_size,
        tokens=request.table.lengths,
        budget=request.budget,
        progress=progress,
    )
    computed_from = "tokens" if parent is None else f"layer {parent.layer}"
    source = "cache" if cache.complete and not built else computed_from
    return BuildResult(cache, built, source, time.perf_counter() - started)


def fill_cache(
    root: Path,
    key: CacheKey,
    layout: CacheLayout,
    compute: Compute,
    *,
    width: int,
    tokens: npt.NDArray[np.int64],
    budget: int | None = None,
    progress: Progress | None = None,
) -> tuple[ActivationCache, int]:
    """Open the cache with this key; compute the shards that are missing or damaged.

    Sound shards are kept, so an interrupted build continues where it stopped. Waits for another process that builds
    the same cache.

    Args:
        root: folder of all activation caches.
        key: what the cached values depend on; names the cache's folder.
        layout: positions of all rows on disk.
        compute: function that computes the encoded states of a batch of rows.
        width: number of values per cached token.
        tokens: number of tokens that `compute` reads per row, [rows]; determines the batches.
        budget: maximum bytes on disk; None means 90 % of the free space.
        progress: called with the tokens done.

    Returns:
        the cache, and the number of shards that were computed.

    Raises:
        CacheError: the disk is full, the folder cannot be written and has no complete cache, or it holds another one.
    """
    folder = root / key.fingerprint
    shards = len(layout.shard_tokens)
    built = 0
    with full_disk_as(partial(_full_disk, folder, layout)), _locked(folder) as writable:
        if writable:
            _open_folder(folder, key, layout, width)
            missing = [shard for shard in range(shards) if not _sound(folder, shard)]
            affordable = _within_budget(root, missing, layout, budget)
            _compute_shards(folder, layout, affordable, compute, tokens, progress)
            built = len(affordable)
            # A cache ends at its first missing shard: readers compare a row's shard with one number.
            shards = min(set(missing) - set(affordable), default=shards)
        else:
            _check_read_only(folder, key, shards)
    return ActivationCache(folder, layout, StateDtype(key.dtype), width, shards), built


def existing_cache(request: CacheRequest) -> bool:
    """Check by the file list if a complete cache for the request is on disk already; checksums are not read."""
    key, _ = _choose_source(request)
    return _looks_complete(request.root / key.fingerprint, request.layout)


def _choose_source(request: CacheRequest) -> tuple[CacheKey, _Parent | None]:
    """The key to use, and the cache to derive the states from; None computes them from tokens.

    That is the key of a finished cache if there is one, else of one derived from the highest finished layer below,
    else of one computed from tokens.
    """
    # The cheap test comes first: a cache computed from tokens is found by its name. The others need all keys on disk.
    direct = request.key()
    layout = request.layout
    if _looks_complete(request.root / direct.fingerprint, layout):
        return direct, None
    for key in _keys_on_disk(request):
        folder, shards = request.root / key.fingerprint, len(layout.shard_tokens)
        if not (_looks_complete(folder, layout) and all(shard_is_sound(folder, shard) for shard in range(shards))):
            continue
        if key.layer == request.layer:
            return key, None
        cache = ActivationCache(folder, layout, request.dtype, request.split.hidden_size, shards)
        return request.key(source=key.fingerprint), _Parent(key.layer, cache)
    return direct, None


def _keys_on_disk(request: CacheRequest) -> list[CacheKey]:
    """Keys of the caches on disk with these sequences' states at K or below: nearest layer first, from tokens first.

    A derived cache remains usable after its source was removed, since its key names the source.
    """
    keys = []
    for file in request.root.glob(f"*/{META_FILE}"):
        meta = read_meta(file.parent)
        parts: dict[str, Any] = meta["key"] if meta else {}
        if parts.get("layer") in range(request.layer + 1) and isinstance(parts.get("source"), str):
            key = request.key(parts["layer"], parts["source"])
            if file.parent.name == key.fingerprint and not key.differences(parts):
                keys.append(key)
    return sorted(keys, key=lambda key: (-key.layer, key.source != "tokens", key.fingerprint))


def _looks_complete(folder: Path, layout: CacheLayout) -> bool:
    return read_meta(folder) is not None and len(list(folder.glob("shard-*.json"))) == len(layout.shard_tokens)


def _open_folder(folder: Path, key: CacheKey, layout: CacheLayout, width: int) -> None:
    """Create the cache's folder, or check its key; remove partial files of a killed process."""
    folder.mkdir(parents=True, exist_ok=True)
    for partial_file in folder.glob("*.partial"):
        partial_file.unlink()
    if read_meta(folder) is None:
        # Shards whose key is unknown may belong to any cache: without checksums they do not count.
        checksums = list(folder.glob("shard-*.json"))
        if checksums:
            logger.warning("%s does not say what it holds (%s is damaged); it is computed again", folder, META_FILE)
        for checksum in checksums:
            checksum.unlink()
        write_meta(folder, key, width, len(layout.lengths), int(layout.lengths.sum()))
    check_key(folder, key)


def _sound(folder: Path, shard: int) -> bool:
    if shard_is_sound(folder, shard):
        return True
    if checksum_file(folder, shard).exists():
        logger.warning("shard %d of %s does not have its checksum; it is computed again", shard, folder)
        checksum_file(folder, shard).unlink()
    return False


def _within_budget(root: Path, missing: list[int], layout: CacheLayout, budget: int | None) -> list[int]:
    """The first missing shards, as many as the budget and the free disk space allow."""
    sizes = layout.shard_tokens * layout.bytes_per_token
    limit = int(shutil.disk_usage(root).free * FREE_DISK_SHARE)
    if budget is not None:
        present = int(sizes.sum() - sizes[missing].sum())
        limit = min(limit, budget - present)
    affordable, total = [], 0
    for shard in missing:
        total += int(sizes[shard])
        if total > limit:
            break
        affordable.append(shard)
    if len(affordable) < len(missing):
        uncached = int(np.isin(layout.shard, list(set(missing) - set(affordable))).sum())
        logger.warning(
            "the activation cache needs %.2f GB and %.2f GB may be taken: %s of %s sequences are not cached, their "
            "frozen layers run in every epoch",
            layout.nbytes / 1e9, max(0, limit) / 1e9, f"{uncached:,}", f"{len(layout.lengths):,}",
        )  # fmt: skip
    return affordable


def _compute_shards(
    folder: Path,
    layout: CacheLayout,
    shards: list[int],
    compute: Compute,
    tokens: npt.NDArray[np.int64],
    progress: Progress | None,
) -> None:
    total, done = int(tokens[np.isin(layout.shard, shards)].sum()), 0
    for shard in shards:
        rows = layout.rows_of(shard)
        encoded: dict[int, npt.NDArray[np.uint8]] = {}
        # Batches of similar length need little padding; the shard itself is written in the layout's order.
        for batch in _token_batches(rows[np.argsort(tokens[rows], kind="stable")], tokens):
            encoded |= dict(zip(batch.tolist(), compute(batch), strict=True))
            done += int(tokens[batch].sum())
            if progress is not None:
                progress(done, total)
        write_shard(folder, shard, [encoded[row] for row in rows.tolist()])


def _compute_rows(
    request: CacheRequest, parent: _Parent | None, rows: npt.NDArray[np.int64]
) -> list[npt.NDArray[np.uint8]]:
    """The encoded states of some rows, computed from tokens or from a lower layer's states."""
    split = request.split
    device = next(split.parameters()).device
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=request.bf16):
        if parent is None:
            inputs = {name: value.to(device) for name, value in request.table.pad(rows, request.pad_id).items()}
            states = split.prefix(**inputs)  # [rows, longest, hidden]
        else:
            inputs = parent.cache.batch(rows) | request.table.mask_inputs(rows)
            inputs = {name: value.to(device) for name, value in inputs.items()}
            states = split.step(parent.layer, **inputs)
    lengths = request.table.lengths[rows]  # padding is not cached
    return [request.dtype.to_bytes(states[i, : lengths[i]]) for i in range(len(rows))]


def _token_batches(rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Rows in ascending length, cut so that a padded batch has at most `BATCH_TOKENS` tokens."""
    start = 0
    while start < len(rows):
        stop = start + 1
        # In ascending order the next row is the longest of its batch, so its length is the width after padding.
        while stop < len(rows) and (stop + 1 - start) * lengths[rows[stop]] <= BATCH_TOKENS:
            stop += 1
        yield rows[start:stop]
        start = stop


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the cache's lock; yields False if the folder is read-only, so no lock is needed or possible."""
    if not _writable(folder.parent):
        yield False
        return
    lock = FileLock(str(folder) + ".lock")
    try:
        lock.acquire(timeout=0)
    except PermissionError:  # another user's lock in a shared folder: read only
        yield False
        return
    except Timeout:
        logger.info("another process builds %s; waiting for it", folder)
        lock.acquire()
    try:
        yield True
    finally:
        lock.release()


def _writable(root: Path) -> bool:
    """Create the folder of all caches if possible; returns True if it is writable."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        return os.access(root, os.W_OK)
    except OSError:
        return False


def check_writable(root: Path) -> None:
    """Refuse a folder in which no activation cache can be built.

    Raises:
        CacheError: it cannot be made or written.
    """
    if not _writable(root):
        raise CacheError(
            f"{root}: the cache folder cannot be written, and has no activation cache for this run; "
            "choose another --cache-dir, or run with --no-cache"
        )


def _check_read_only(folder: Path, key: CacheKey, shards: int) -> None:
    if read_meta(folder) is None:
        check_writable(folder.parent)
    check_key(folder, key)
    damaged = [shard for shard in range(shards) if not shard_is_sound(folder, shard)]
    if damaged:
        raise CacheError(
            f"{folder}: {len(damaged)} of {shards} shards are missing or damaged, and the folder cannot be written; "
            "choose another --cache-dir, or run with --no-cache"
        )


def _full_disk(folder: Path, layout: CacheLayout, error: BaseException) -> CacheError:
    return CacheError(
        f"{folder}: no room on the disk while caching states ({layout.nbytes / 1e9:.2f} GB in all; "
        f"{getattr(error, 'strerror', None) or error}). What was written is kept and sound; make room and run again, "
        "choose another --cache-dir, set --cache-budget, or run with --no-cache"
    )
