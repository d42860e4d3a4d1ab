"""Deciding whether a job reads activation caches, and opening them."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from telly.data.sequences import SequenceTable, SequenceTableBuilder
from telly.freezing.build import BuildResult, CacheRequest, build_cache, check_writable, existing_cache
from telly.freezing.cost import CacheDecision, Rates, decide
from telly.freezing.source import RowSource
from telly.processes import first_decides, first_here_goes_first
from telly.runs.parts import CacheBuild, CacheReport
from telly.training.progress import counting_bar
from telly.tuning.job import Job

SAMPLE_TOKENS = 4096
SAMPLE_SHARE = 0.1
"""Maximum share of the data that is computed just to measure rates."""


@dataclass(frozen=True)
class BatchSources:
    """Sources of a job's batches by data split.

    Attributes:
        by_split: source of batches by data split.
        used: whether an activation cache is read.
        reason: reason for using a cache or not.
        complete: whether all sequences are cached.
        builds: results of building the caches, by split.
    """

    by_split: dict[str, RowSource]
    used: bool
    reason: str
    complete: bool = False
    builds: dict[str, BuildResult] = field(default_factory=dict)

    def report(self) -> CacheReport:
        """The caches' sizes, sources and build times, for the run record."""
        caches = {
            split: CacheBuild(
                folder=str(build.cache.folder),
                bytes=build.cache.nbytes,
                rows=len(build.cache.layout.lengths),
                cached_rows=build.cache.cached_rows,
                source=build.source,
                built_shards=build.built_shards,
                seconds=build.seconds,
            )
            for split, build in self.builds.items()
        }
        return CacheReport(self.used, self.reason, self.complete, caches)


def choose_cache(job: Job) -> CacheDecision:
    """Decide on activation caches: whether the settings allow them, and whether they pay on this machine.

    Raises:
        CacheError: the cache folder cannot be written and holds no cache for this job.
    """
    if job.split.k is None:
        return CacheDecision(False, "no layer is frozen")
    if not job.config.cache:
        return CacheDecision(False, "switched off")
    if job.config.cache_always:
        return CacheDecision(True, "asked for")
    return first_decides(lambda: _decide(job, requests(job)["train"]))


def open_sources(job: Job, decision: CacheDecision) -> BatchSources:
    """Open the batches of all splits: from activation caches, which are built if need be, or from token ids.

    Raises:
        CacheError: as `build_cache`.
    """
    tokens = {name: RowSource(encoded.table, job.pad_id) for name, encoded in job.data.items()}
    if not decision.use:
        return BatchSources(tokens, False, decision.reason)
    with first_here_goes_first():  # the other processes of this machine then find the cache
        builds = {name: _build(name, request) for name, request in requests(job).items()}
    if not builds["train"].cache.cached_rows:
        return BatchSources(tokens, False, "nothing fits into the budget or on the disk", builds=builds)
    cached = {name: RowSource(job.data[name].table, job.pad_id, build.cache) for name, build in builds.items()}
    complete = all(build.cache.complete for build in builds.values())
    return BatchSources(tokens | cached, True, decision.reason, complete, builds)


def _build(name: str, request: CacheRequest) -> BuildResult:
    with counting_bar(f"frozen layers, {name}") as progress:
        return build_cache(request, progress)


def requests(job: Job) -> dict[str, CacheRequest]:
    """Cache requests of the splits that can be cached; a budget is divided in proportion to their tokens."""
    config = job.config
    data = {name: encoded for name, encoded in job.data.items() if encoded.cacheable}
    budget = None if config.cache_budget_gb is None else int(config.cache_budget_gb * 1e9)
    total = max(1, sum(int(encoded.table.lengths.sum()) for encoded in data.values()))
    return {
        name: CacheRequest(
            job.split,
            encoded.table,
            job.pad_id,
            config.cache_dir,
            config.cache_dtype,
            bf16=config.precision == "bf16",
            budget=None if budget is None else int(budget * int(encoded.table.lengths.sum()) / total),
            digests=job.inputs.digests,
        )
        for name, encoded in data.items()
    }


def _decide(job: Job, request: CacheRequest) -> CacheDecision:
    exists = existing_cache(request)
    uses = job.config.epochs * job.train.uses_per_epoch
    if uses <= 1 and not exists:
        return decide(uses, Rates(0.0, 0.0, 0.0), exists)
    return decide(uses, measure_rates(request), exists)


def measure_rates(request: CacheRequest) -> Rates:
    """Estimate the seconds to compute, read and write all sequences, from a small sample on this machine.

    Raises:
        CacheError: the cache folder cannot be written.
    """
    sample = _sample(request.table)
    scale = int(request.table.lengths.sum()) / int(sample.lengths.sum())
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
    return Rates((built - write) * scale, read * scale, write * scale)


def _sample(table: SequenceTable) -> SequenceTable:
    """Sample sequences of median length and above, `SAMPLE_TOKENS` tokens or a tenth of the data."""
    max_tokens = min(SAMPLE_TOKENS, SAMPLE_SHARE * int(table.lengths.sum()))
    # Sequences of similar length, as batches have them; the short half would measure mostly overhead.
    order = np.argsort(table.lengths, kind="stable")
    builder, tokens = SequenceTableBuilder(), 0
    for row in order[len(order) // 2 :]:
        prefix_length = None if table.prefix_lengths is None else int(table.prefix_lengths[row])
        builder.add(table[int(row)].tolist(), prefix_length)
        tokens += int(table.lengths[row])
        if tokens >= max_tokens:
            break
    return builder.build()
