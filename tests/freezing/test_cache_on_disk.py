"""What a store promises of its files: bytes before their checksum, and no row that is not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from telly.errors import CacheError
from telly.freezing.activation_cache import ActivationCache, CacheLayout, shard_file, shard_is_sound, write_shard
from telly.freezing.states import StateDtype

HIDDEN, WIDTH = 2, 8
"""Two numbers of 4 bytes."""


def shards_of(folder: Path, lengths: list[int], stored: int) -> ActivationCache:
    """A store of fp32 rows, two tokens a shard, in which every number is its row's; the first shards are written."""
    layout = CacheLayout.of(np.array(lengths), WIDTH, shard_bytes=2 * WIDTH)
    for shard in range(stored):
        rows = [np.full((lengths[row], HIDDEN), row, dtype=np.float32).view(np.uint8) for row in layout.rows_of(shard)]
        write_shard(folder, shard, rows)
    return ActivationCache(folder, layout, StateDtype.FP32, HIDDEN, stored)


@pytest.mark.parametrize("stored", [0, 1, 2, 3, 4])
def test_every_row_is_stored_or_refused(tmp_path: Path, stored: int):
    """Eight rows of one token, two a shard: the first 2 * stored are there, and no other is handed out."""
    store = shards_of(tmp_path, [1] * 8, stored)
    assert (store.cached_rows, store.complete, store.nbytes) == (2 * stored, stored == 4, 2 * stored * WIDTH)
    for row in range(8):
        assert store.has([row]) is (row < 2 * stored)
        if row < 2 * stored:
            assert torch.equal(store.batch([row])["states"], torch.full((1, 1, HIDDEN), float(row)))
        else:
            with pytest.raises(
                CacheError, match=rf"row {row} is not in the activation cache .* \({2 * stored} rows are\)"
            ):
                store.batch([row])
    assert store.has([0, 7]) is (stored == 4)


def test_a_shards_bytes_are_on_disk_before_anything_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After a power failure a checksum without its bytes would be a damaged store; so the bytes are synced first."""
    seen: list[tuple[int, list[str]]] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: seen.append((os.fstat(fd).st_size, [path.suffix for path in tmp_path.iterdir()]))
    )
    write_shard(tmp_path, 0, [np.zeros((3, WIDTH), dtype=np.uint8), np.ones((1, WIDTH), dtype=np.uint8)])
    assert seen[0] == (4 * WIDTH, [".partial"]), "all bytes, and neither the shard nor its checksum has its name"
    assert shard_file(tmp_path, 0).stat().st_size == 4 * WIDTH and shard_is_sound(tmp_path, 0)


def test_a_failed_sync_leaves_no_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(_fd: int) -> None:
        raise OSError("no")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="no"):
        write_shard(tmp_path, 0, [np.zeros((3, WIDTH), dtype=np.uint8)])
    assert not list(tmp_path.iterdir()) and not shard_is_sound(tmp_path, 0)
