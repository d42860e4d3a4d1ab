"""Building activation stores: from tokens or from a lower layer's store, resumable, within a budget, under a lock."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock, Timeout

from telly.data.sequences import SequenceTable
from telly.disk import is_full_disk
from telly.errors import CacheError
from telly.freezing.activation_cache import (
    META_FILE,
    ActivationCache,
    CacheLayout,
    check_key,
    read_meta,
    shard_is_sound,
    write_meta,
    write_shard,
)
from telly.freezing.fingerprint import CacheKey, attention_kernel, prefix_digests
from telly.freezing.split import SplitModel
from telly.freezing.states import StateDtype
from telly.models.stack import find_stack

BATCH_TOKENS = 4096
FREE_DISK_SHARE = 0.9

Progress = Callable[[int, int], None]
"""Called with tokens done and tokens in all."""
Report = Callable[[str], None]
Parent = tuple[int, ActivationCache]
"""A lower layer, and the complete store of its states."""


@dataclass(frozen=True)
class BuildResult:
    """What building did.

    Attributes:
        store: the store, ready to read.
        built_shards: shards that were computed now; the others were there and sound.
        source: `tokens`, `store` (nothing was computed) or `layer J` (derived from the store of a lower layer).
        seconds: wall time, checks included.
    """

    store: ActivationCache
    built_shards: int
    source: str
    seconds: float


class Request(Protocol):
    """What a store is built from: the states of one layer (`CacheRequest`), or of all (`telly.analysis.layers`).

    Attributes:
        table: the distinct sequences.
        root: folder of all stores.
        dtype: precision of stored states.
        budget: most bytes to take on disk; None means 90 % of what is free.
    """

    @property
    def table(self) -> SequenceTable: ...  # noqa: D102

    @property
    def root(self) -> Path: ...  # noqa: D102

    @property
    def dtype(self) -> StateDtype: ...  # noqa: D102

    @property
    def budget(self) -> int | None: ...  # noqa: D102

    @property
    def width(self) -> int:
        """Values of a stored token."""

    @property
    def layout(self) -> CacheLayout:
        """Where every row lies."""

    @property
    def estimated_bytes(self) -> int:
        """Exact size of the complete store."""

    def choose_source(self) -> tuple[CacheKey, Parent | None]:
        """The key to use, and the store to derive the states from; None computes them from tokens."""

    def compute_rows(self, rows: npt.NDArray[np.int64], parent: Parent | None) -> list[npt.NDArray[np.uint8]]:
        """The stored form of some rows' states, each [tokens, bytes of a token]."""


@dataclass(frozen=True)
class CacheRequest:
    """The states that block K gets, of some sequences: what to store and where.

    Attributes:
        split: the frozen model.
        table: the distinct sequences.
        pad_id: id to pad batches with while computing.
        root: folder of all stores.
        dtype: precision of stored states.
        bf16: compute the prefix under bf16 autocast, as the run does.
        budget: most bytes to take on disk; None means 90 % of what is free.
        digests: `prefix_digests(split.model)`, if at hand.
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
        """The key of this request's store at a layer, by default at K."""
        layer = self.layer if layer is None else layer
        digests = self.digests or tuple(prefix_digests(self.split.model))
        return CacheKey(
            prefix=digests[layer],
            layer=layer,
            sequences=self.table.fingerprint(),
            mask="padding" if self.table.prefix_lengths is None else "prefix",
            dtype=self.dtype.value,
            compute="bf16" if self.bf16 else "fp32",
            attention=attention_kernel(find_stack(self.split.model)),
            source=source,
        )

    def choose_source(self) -> tuple[CacheKey, Parent | None]:
        """Of a finished store if there is one, else from the highest finished layer below, else from tokens."""
        request = self if self.digests else replace(self, digests=tuple(prefix_digests(self.split.model)))
        return _choose_source(request)

    def compute_rows(self, rows: npt.NDArray[np.int64], parent: Parent | None) -> list[npt.NDArray[np.uint8]]:
        """Computed from tokens or from a lower layer's states."""
        return compute_rows(self, rows, parent)

    @property
    def width(self) -> int:
        """Width of the states."""
        return self.split.hidden_size

    @property
    def layer(self) -> int:
        """K, which must be set."""
        if self.split.k is None:
            raise CacheError("no layer is frozen (base), so there is nothing to store")
        return self.split.k

    @property
    def layout(self) -> CacheLayout:
        """Where every row lies."""
        return CacheLayout.of(self.table.lengths, self.dtype.bytes_per_token(self.width))

    @property
    def estimated_bytes(self) -> int:
        """Exact size of the complete store."""
        return int(self.table.lengths.sum()) * self.dtype.bytes_per_token(self.width)


def build_cache(request: Request, progress: Progress | None = None, report: Report | None = None) -> BuildResult:
    """Open the request's store; compute what is missing or damaged.

    Shards that are sound are kept, so an interrupted build goes on where it stopped. If the store of a lower layer is
    complete, only the layers between run. Another process that builds the same store is waited for.

    Args:
        request: what to store and where.
        progress: told about tokens done.
        report: told in a sentence what a person should know (waiting, rebuilding, what does not fit).

    Raises:
        CacheError: the disk is full, the folder cannot be written and has no complete store, or it holds another one.
    """
    started = time.perf_counter()
    report = report or (lambda _text: None)
    key, parent = request.choose_source()
    folder = request.root / key.fingerprint
    layout = request.layout
    shards = len(layout.shard_tokens)
    with _explained_disk(folder, request), _locked(folder, report) as writable:
        if not writable:
            _check_read_only(folder, key, shards)
            built = 0
        else:
            _open_folder(folder, key, request, report)
            missing = [shard for shard in range(shards) if not _sound(folder, shard, report)]
            fitting = _fitting(missing, layout, request, report)
            _compute(request, layout, fitting, folder, parent, progress)
            built = len(fitting)
            shards = (min(set(missing) - set(fitting), default=shards)) if missing else shards
    store = ActivationCache(folder, layout, request.dtype, request.width, shards)
    source = "store" if store.complete and not built else "tokens" if parent is None else f"layer {parent[0]}"
    return BuildResult(store, built, source, time.perf_counter() - started)


def existing_cache(request: CacheRequest) -> bool:
    """Whether a complete store for the request is on disk already, by its file list (checksums are not read)."""
    key, _ = request.choose_source()
    return _looks_complete(request.root / key.fingerprint, request.layout)


def _choose_source(request: CacheRequest) -> tuple[CacheKey, Parent | None]:
    direct = request.key()
    layout = request.layout
    if _looks_complete(request.root / direct.fingerprint, layout):
        return direct, None
    for key in _kept_keys(request):
        folder, shards = request.root / key.fingerprint, len(layout.shard_tokens)
        if not (_looks_complete(folder, layout) and all(shard_is_sound(folder, shard) for shard in range(shards))):
            continue
        if key.layer == request.layer:
            return key, None
        store = ActivationCache(folder, layout, request.dtype, request.width, shards)
        return request.key(source=key.fingerprint), (key.layer, store)
    return direct, None


def _kept_keys(request: CacheRequest) -> list[CacheKey]:
    """Keys of the stores on disk with these sequences' states at K or below: nearest layer first, from tokens first.

    A store that was derived counts wherever the one it came from may be gone: its key says how it was made.
    """
    keys = []
    for file in request.root.glob(f"*/{META_FILE}"):
        meta = read_meta(file.parent)
        kept: dict[str, Any] = meta["key"] if meta else {}
        if kept.get("layer") in range(request.layer + 1) and isinstance(kept.get("source"), str):
            key = request.key(kept["layer"], kept["source"])
            if file.parent.name == key.fingerprint and not key.differences(kept):
                keys.append(key)
    return sorted(keys, key=lambda key: (-key.layer, key.source != "tokens", key.fingerprint))


def _looks_complete(folder: Path, layout: CacheLayout) -> bool:
    return read_meta(folder) is not None and len(list(folder.glob("shard-*.json"))) == len(layout.shard_tokens)


def _open_folder(folder: Path, key: CacheKey, request: Request, report: Report) -> None:
    """Make the store's folder, or check that it is this store's; remove what a killed process left half written."""
    folder.mkdir(parents=True, exist_ok=True)
    for partial in folder.glob("*.partial"):
        partial.unlink()
    if read_meta(folder) is None:
        checksums = list(folder.glob("shard-*.json"))
        if checksums:
            report(f"{folder} does not say what it holds ({META_FILE} is damaged); it is computed anew")
        for checksum in checksums:
            checksum.unlink()
        lengths = request.layout.lengths
        write_meta(folder, key, request.width, len(lengths), int(lengths.sum()))
    check_key(folder, key)


def _sound(folder: Path, shard: int, report: Report) -> bool:
    if shard_is_sound(folder, shard):
        return True
    if (folder / f"shard-{shard:05d}.json").exists():
        report(f"shard {shard} of {folder} does not have its checksum; it is computed anew")
        (folder / f"shard-{shard:05d}.json").unlink()
    return False


def _fitting(missing: list[int], layout: CacheLayout, request: Request, report: Report) -> list[int]:
    """The missing shards that fit, from the first on."""
    width = request.dtype.bytes_per_token(request.width)
    sizes = layout.shard_tokens * width
    limit = int(shutil.disk_usage(request.root).free * FREE_DISK_SHARE)
    if request.budget is not None:
        present = int(sizes.sum() - sizes[missing].sum())
        limit = min(limit, request.budget - present)
    fitting, taken = [], 0
    for shard in missing:
        taken += int(sizes[shard])
        if taken > limit:
            break
        fitting.append(shard)
    if len(fitting) < len(missing):
        left_out = int(np.isin(layout.shard, list(set(missing) - set(fitting))).sum())
        report(
            f"the store needs {int(sizes.sum()) / 1e9:.2f} GB and {max(0, limit) / 1e9:.2f} GB may be taken: "
            f"{left_out:,} of {len(layout.lengths):,} sequences are not stored, their frozen layers run in every epoch"
        )
    return fitting


def _compute(
    request: Request,
    layout: CacheLayout,
    shards: list[int],
    folder: Path,
    parent: Parent | None,
    progress: Progress | None,
) -> None:
    lengths = request.table.lengths
    total, done = int(lengths[np.isin(layout.shard, shards)].sum()), 0
    for shard in shards:
        rows = layout.rows_of(shard)
        encoded: dict[int, npt.NDArray[np.uint8]] = {}
        for batch in _token_batches(rows[np.argsort(lengths[rows], kind="stable")], lengths):
            encoded |= dict(zip(batch.tolist(), request.compute_rows(batch, parent), strict=True))
            done += int(lengths[batch].sum())
            if progress is not None:
                progress(done, total)
        write_shard(folder, shard, [encoded[row] for row in rows.tolist()])


def compute_rows(
    request: CacheRequest, rows: npt.NDArray[np.int64], parent: Parent | None = None
) -> list[npt.NDArray[np.uint8]]:
    """The stored form of some rows' states, computed from tokens or from a lower layer's states."""
    split = request.split
    device = next(split.parameters()).device
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=request.bf16):
        if parent is None:
            inputs = {name: value.to(device) for name, value in request.table.pad(rows, request.pad_id).items()}
            states = split.prefix(**inputs)
        else:
            low, store = parent
            inputs = store.batch(rows) | request.table.mask_inputs(rows)
            inputs = {name: value.to(device) for name, value in inputs.items()}
            states = split.step(low, **inputs)
    lengths = request.table.lengths[rows]
    return [request.dtype.to_bytes(states[i, : lengths[i]]) for i in range(len(rows))]


def _token_batches(rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Rows in stored order, cut so that a padded batch has at most `BATCH_TOKENS` tokens."""
    start = 0
    while start < len(rows):
        stop = start + 1
        while stop < len(rows) and (stop + 1 - start) * lengths[rows[stop]] <= BATCH_TOKENS:
            stop += 1
        yield rows[start:stop]
        start = stop


@contextlib.contextmanager
def _locked(folder: Path, report: Report) -> Iterator[bool]:
    """Hold the store's lock; gives False where the folder cannot be written, so no lock is needed or possible."""
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
        report(f"another process builds {folder}; waiting for it")
        lock.acquire()
    try:
        yield True
    finally:
        lock.release()


def _writable(root: Path) -> bool:
    """Make the folder of all stores where it can be made; whether it can be written."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        return os.access(root, os.W_OK)
    except OSError:
        return False


def check_writable(root: Path) -> None:
    """Refuse a folder of stores in which no store can be built.

    Raises:
        CacheError: it cannot be made or written.
    """
    if not _writable(root):
        raise CacheError(
            f"{root}: the cache folder cannot be written, and has no store for this run; "
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


@contextlib.contextmanager
def _explained_disk(folder: Path, request: Request) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not is_full_disk(error):
            raise
        raise CacheError(
            f"{folder}: no room on the disk while storing states ({request.estimated_bytes / 1e9:.2f} GB in all; "
            f"{error.strerror}). What was written is kept and sound; make room and run again, "
            "choose another --cache-dir, set --cache-budget, or run with --no-cache"
        ) from error
