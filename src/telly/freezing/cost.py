"""Costs of a variant, estimated from the model's shape, and the decision on an activation cache from measured rates.

The estimates count two operations per parameter and token for a forward, twice that for the backward of a trained
layer, and the matrix products of attention on top (Kaplan et al. 2020). They aim to be right within a factor of two.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from telly.freezing.plan import FreezePlan, plan_of, variants_of
from telly.freezing.variants import Variant
from telly.models.stack import LayerStack

BYTES_FP32 = 4
ADAM_COPIES = 3
"""Gradient and two moments beside every trained weight."""
SAVED_PER_TOKEN = 16
"""Values of width `hidden` that a trained layer keeps per token for its backward (attention and feed-forward)."""
PROCESS_BYTES = 450 * 2**20
"""The Python process with its libraries."""
GEMM_SHARE = 0.6
"""Share of the matrix-product rate that training reaches."""


@dataclass(frozen=True)
class Workload:
    """Amount of data that an epoch of a task reads.

    Attributes:
        tokens: tokens of all batches of an epoch, padding included.
        distinct_tokens: tokens of the distinct sequences, each counted once.
        batch_tokens: tokens of the largest batch, or of its part that is trained at a time, padding included.
        mean_length: tokens of the average sequence.
        runs_twice: whether the trained layers run forward a second time, for batches in chunks.
    """

    tokens: int
    distinct_tokens: int
    batch_tokens: int
    mean_length: float
    runs_twice: bool = False


@dataclass(frozen=True)
class VariantCost:
    """Plan and estimates of one variant.

    Attributes:
        k: number of frozen layers; None for base.
        trainable: trained parameters.
        percent: trained parameters in percent of all.
        peak_bytes: peak memory while the frozen layers run in every epoch; None without data, as all that follow.
        peak_bytes_cached: peak memory with an activation cache; None for base too, as all with `cache`.
        cache_bytes: size of the activation cache on disk.
        epoch_seconds: time per epoch while the frozen layers run in it.
        epoch_seconds_cached: time per epoch that reads the activation cache.
    """

    k: int | None
    trainable: int
    percent: float
    peak_bytes: int | None = None
    peak_bytes_cached: int | None = None
    cache_bytes: int | None = None
    epoch_seconds: float | None = None
    epoch_seconds_cached: float | None = None

    @property
    def variant(self) -> str:
        """`base` or K, as text."""
        return Variant(self.k).slug

    def to_dict(self) -> dict[str, Any]:
        """The costs as JSON-ready data."""
        values = asdict(self)
        del values["k"]
        return {"variant": self.variant, **values}


def plan_costs(
    stack: LayerStack,
    workload: Workload | None,
    flops_per_second: float | None,
    state_bytes: float = 2,
    head_parameters: int = 0,
) -> list[VariantCost]:
    """Estimate the costs of base and of every K; works on a model without values (`meta` device).

    Args:
        stack: the model's layers.
        workload: what an epoch reads; None leaves the estimates that need it out.
        flops_per_second: the machine's rate, as `measure_flops` gives it.
        state_bytes: bytes per cached value.
        head_parameters: parameters of the task's new head, which every variant trains.
    """
    plans = (plan_of(stack, k).with_head(head_parameters) for k in variants_of(len(stack)))
    return [_variant_cost(stack, plan, workload, flops_per_second, state_bytes) for plan in plans]


def _variant_cost(
    stack: LayerStack, plan: FreezePlan, work: Workload | None, rate: float | None, state_bytes: float
) -> VariantCost:
    if work is None or rate is None:
        return VariantCost(k=plan.k, trainable=plan.trainable, percent=plan.percent)
    hidden = stack.hidden_size
    k = plan.k or 0
    layer = sum(p.numel() for p in stack.blocks[0].parameters())
    trained = len(stack) - k
    # Forward of one layer: weights, and the products of attention (queries by keys, and weights by values).
    per_token = 2 * layer + int(4 * work.mean_length * hidden)
    passes = 4 if work.runs_twice else 3  # the backward costs twice the forward
    suffix = passes * trained * per_token * work.tokens
    prefix = k * per_token * work.tokens
    saved = work.batch_tokens * hidden * BYTES_FP32 * SAVED_PER_TOKEN * trained
    state = plan.trainable * BYTES_FP32 * (1 + ADAM_COPIES)
    frozen = (plan.total - plan.trainable) * BYTES_FP32
    cached = plan.k is not None
    return VariantCost(
        k=plan.k,
        trainable=plan.trainable,
        percent=plan.percent,
        peak_bytes=PROCESS_BYTES + state + frozen + saved,
        # The prefix is released before training, so the two phases do not add up.
        peak_bytes_cached=PROCESS_BYTES + max(state + saved, plan.total * BYTES_FP32) if cached else None,
        cache_bytes=int(work.distinct_tokens * hidden * state_bytes) if cached else None,
        epoch_seconds=(suffix + prefix) / rate,
        epoch_seconds_cached=suffix / rate if cached else None,
    )


def measure_flops(hidden: int, seconds: float = 0.3) -> float:
    """Measure the operations per second of training on this machine: a matrix product's rate times `GEMM_SHARE`."""
    left, right = torch.randn(1024, hidden), torch.randn(hidden, 4 * hidden)
    torch.mm(left, right)  # warm-up: the first product starts threads and allocates
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        torch.mm(left, right)
        count += 1
    elapsed = time.perf_counter() - started
    return GEMM_SHARE * count * 2 * left.shape[0] * hidden * right.shape[1] / elapsed


@dataclass(frozen=True)
class CacheDecision:
    """Decision on using an activation cache, with the reason as a clause."""

    use: bool
    reason: str


@dataclass(frozen=True)
class Rates:
    """Measured seconds for all sequences once: running the frozen layers, reading cached states, writing them."""

    compute: float
    read: float
    write: float


def decide(uses: float, rates: Rates, exists: bool) -> CacheDecision:
    """Decide whether an activation cache pays.

    Args:
        uses: how often the run reads the average sequence of its training data.
        rates: time of computing, reading and writing on this machine.
        exists: the cache is on disk already, so it costs no computing or writing.
    """
    if uses <= 1 and not exists:
        return CacheDecision(False, f"each sequence is read {uses:.1f} times: the frozen layers run once either way")
    if rates.read >= rates.compute:
        return CacheDecision(
            False,
            f"reading the states ({rates.read:.2f} s) is no faster than computing them ({rates.compute:.2f} s)",
        )
    with_cache = uses * rates.read + (0 if exists else rates.compute + rates.write)
    without = uses * rates.compute
    if with_cache >= without:
        return CacheDecision(False, f"caching costs {with_cache:.1f} s and computing each time {without:.1f} s")
    origin = "the cache exists already" if exists else "frozen layers once"
    return CacheDecision(True, f"{origin}: {with_cache:.1f} s instead of {without:.1f} s")
