"""Whole tuning runs as `telly tune` does them, each in a process of its own (see `child`)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from telly.settings.config import TuneConfig
from telly.tuning.run import tune

EPOCHS = 5


def measure(
    folder: str, kind: str, k: int | None, train_pairs: int, evaluate_pairs: int, batch_size: int, epochs: int
) -> dict[str, Any]:
    """One code search run in fp32 on a part of the package's sample, cut to 128 tokens, with an empty cache folder.

    Returns:
        `wall_seconds` from the run's record: loading, encoding, deciding on the cache and building it, training,
        evaluation before, after every epoch and of the test split, saving. Starting Python and importing telly is not
        in it. `clocks` has its parts. `cache_used` tells whether the run used the cache.
    """
    with tempfile.TemporaryDirectory() as work:
        record = tune(
            TuneConfig(
                model=folder,
                freeze="base" if k is None else str(k),
                cache=kind == "cached",
                cache_dir=Path(work) / "activations",
                output=Path(work) / "run",
                limit=train_pairs,
                eval_limit=evaluate_pairs,
                batch_size=batch_size,
                max_tokens={"query": 128, "code": 128},
                epochs=epochs,
                patience=epochs,
                precision="fp32",
            )
        )
    if len(record.epochs) != epochs:
        raise RuntimeError(f"expected {epochs} epochs, the run has {len(record.epochs)}")
    return {
        "wall_seconds": record.wall_seconds,
        "clocks": record.clocks,
        "epoch_seconds": record.epoch_seconds,
        "cache_used": record.uses_cache,
        "cache_reason": record.cache and record.cache.reason,
        "peak_memory_bytes": record.peak_memory_bytes,
        "peak_memory_train_bytes": record.peak_memory_train_bytes,
        "test": record.test,
    }
