"""Deciding whether a run uses the activation store, and opening its stores."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from telly.data.sequences import SequenceTable, SequenceTableBuilder
from telly.freezing.build import BuildResult, CacheRequest, build_cache, check_writable, existing_cache
from telly.freezing.cost import CacheDecision, Rates, decide
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.processes import first_decides, first_here_goes_first
from telly.settings.config import ResolvedConfig
from telly.tasks.base import Encoded
from telly.training.progress import counting_bar

CALIBRATION_TOKENS = 4096
CALIBRATION_SHARE = 0.1
"""At most so much of the data is computed only to measure."""


@dataclass(frozen=True)
class Sources:
    """Where each data split's batches come from, and what became of the store."""

    by_split: dict[str, RowSource]
    used: bool
    reason: str
    complete: bool
    builds: dict[str, BuildResult]

    def to_dict(self) -> dict[str, Any]:
        """For the run record."""
        stores = {
            split: {
                "folder": str(build.cache.folder),
                "bytes": build.cache.nbytes,
                "rows": len(build.cache.layout.lengths),
                "stored_rows": build.cache.cached_rows,
                "source": build.source,
                "built_shards": build.built_shards,
                "seconds": build.seconds,
            }
            for split, build in self.builds.items()
        }
        return {"used": self.used, "reason": self.reason, "complete": self.complete, "stores": stores}


def open_sources(
    config: ResolvedConfig,
    split_model: SplitModel,
    data: dict[str, Encoded],
    pad_id: int,
    digests: Sequence[str],
    say: Callable[[str], None],
) -> Sources:
    """Build or open the stores of all splits if that pays; else batches come from tokens.

    Args:
        config: resolved settings.
        split_model: the frozen model.
        data: encoded splits; `train` among them.
        pad_id: id to pad with.
        digests: the model's `prefix_digests`.
        say: called with a sentence a person should know.
    """
    plain = {name: RowSource(encoded.table, pad_id) for name, encoded in data.items()}
    if split_model.k is None:
        return Sources(plain, False, "no layer is frozen", False, {})
    if not config.cache:
        return Sources(plain, False, "switched off", False, {})
    stored = {name: encoded for name, encoded in data.items() if encoded.stored}
    requests = _requests(config, split_model, stored, pad_id, tuple(digests))
    decision = first_decides(lambda: _decide(config, data["train"], requests["train"]))
    say(f"store: {'used' if decision.use else 'not used'}: {decision.reason}")
    if not decision.use:
        return Sources(plain, False, decision.reason, False, {})
    with first_here_goes_first():
        builds = {name: _build(name, request) for name, request in requests.items()}
    if not builds["train"].cache.cached_rows:
        reason = "nothing fits into the budget or on the disk"
        say(f"store: not used: {reason}")
        return Sources(plain, False, reason, False, builds)
    sources = plain | {name: RowSource(data[name].table, pad_id, build.cache) for name, build in builds.items()}
    return Sources(sources, True, decision.reason, all(b.cache.complete for b in builds.values()), builds)


def _build(name: str, request: CacheRequest) -> BuildResult:
    with counting_bar(f"frozen layers, {name}") as progress:
        return build_cache(request, progress)


def _requests(
    config: ResolvedConfig, split_model: SplitModel, data: dict[str, Encoded], pad_id: int, digests: tuple[str, ...]
) -> dict[str, CacheRequest]:
    budget = None if config.cache_budget_gb is None else int(config.cache_budget_gb * 1e9)
    total = sum(int(encoded.table.lengths.sum()) for encoded in data.values())
    return {
        name: CacheRequest(
            split_model,
            encoded.table,
            pad_id,
            config.cache_dir,
            config.cache_dtype,
            config.precision == "bf16",
            None if budget is None else int(budget * int(encoded.table.lengths.sum()) / max(1, total)),
            digests,
        )
        for name, encoded in data.items()
    }


def _decide(config: ResolvedConfig, train: Encoded, request: CacheRequest) -> CacheDecision:
    if config.cache_always:
        return CacheDecision(True, "asked for")
    exists = existing_cache(request)
    uses = config.epochs * train.uses_per_epoch
    if uses <= 1 and not exists:
        return decide(uses, Rates(0.0, 0.0, 0.0), exists)
    return decide(uses, calibrate(request), exists)


def calibrate(request: CacheRequest) -> Rates:
    """Seconds that all sequences would take to compute, to read and to write, from a small sample on this machine."""
    sample = _sample(request.table)
    share = int(request.table.lengths.sum()) / int(sample.lengths.sum())
    rows = np.arange(len(sample))
    check_writable(request.root)
    with tempfile.TemporaryDirectory(dir=request.root, prefix=".calibration-") as folder:
        trial = replace(request, table=sample, root=Path(folder), budget=None)
        started = time.perf_counter()
        result = build_cache(trial)
        built = time.perf_counter() - started
        started = time.perf_counter()
        result.cache.batch(rows)
        read = time.perf_counter() - started
    write = min(built, 2 * read)  # writing is buffered and about as fast as reading; the bulk of `built` is computing
    return Rates((built - write) * share, read * share, write * share)


def _sample(table: SequenceTable) -> SequenceTable:
    """Some sequences of middle length, about `CALIBRATION_TOKENS` tokens or a tenth of the data."""
    wanted = min(CALIBRATION_TOKENS, CALIBRATION_SHARE * int(table.lengths.sum()))
    order = np.argsort(table.lengths, kind="stable")
    middle = len(order) // 2
    builder, tokens = SequenceTableBuilder(), 0
    for row in order[middle:]:
        builder.add(table[int(row)].tolist(), None if table.prefix_lengths is None else int(table.prefix_lengths[row]))
        tokens += int(table.lengths[row])
        if tokens >= wanted:
            break
    return builder.build()
