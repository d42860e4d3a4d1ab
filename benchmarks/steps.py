"""Seconds per training step of all variants, taken in turns in one process, so that drift of the machine hits all."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.child import say
from benchmarks.contestants import Contestant, Setting, Step, variants
from benchmarks.shapes import Load
from telly.freezing.states import StateDtype

WARM_UP = 2
"""Steps that are not measured; the first ones allocate the optimizer's state."""


def measure(
    folder: str,
    depths: Sequence[int],
    precision: str,
    load: dict[str, int],
    rounds: int,
    warm_up: int = WARM_UP,
    state_dtype: str = StateDtype.BF16.value,
) -> dict[str, dict[str, Any]]:
    """Take `warm_up` rounds unmeasured, then `rounds` measured ones; a round is one step of every variant.

    The variant that begins changes from round to round. Loading models and building caches are not timed here.

    Returns:
        by variant: `seconds`, `median_seconds`, `min_seconds`, `max_seconds` of a step, `waiting_share` (time in which
        the batch was fetched over the time of all measured steps), `trained` parameters and the `first_loss`.
    """
    with tempfile.TemporaryDirectory() as work:
        setting = Setting(Path(folder), precision, Load(**load), Path(work), StateDtype(state_dtype))
        say(f"  {precision}: loading the models and building the caches")
        contestants = [Contestant(variant, setting) for variant in variants(depths)]
        steps: list[list[Step]] = [[] for _ in contestants]
        for number in range(warm_up + rounds):
            what = "warm-up" if number < warm_up else f"round {number - warm_up + 1} of {rounds}"
            say(f"  {precision}: one step of each variant, {what}")
            for turn in range(len(contestants)):
                i = (number + turn) % len(contestants)
                steps[i].append(contestants[i].step())
    return {
        contestant.variant.name: {"trained": contestant.trained, **_summary(taken, warm_up)}
        for contestant, taken in zip(contestants, steps, strict=True)
    }


def _summary(steps: Sequence[Step], warm_up: int) -> dict[str, Any]:
    measured = steps[warm_up:]
    seconds = [step.seconds for step in measured]
    return {
        **spread(seconds),
        "waiting_share": sum(step.waiting for step in measured) / sum(seconds),
        "first_loss": steps[0].loss,
    }


def spread(seconds: list[float]) -> dict[str, Any]:
    """All measurements with their median, least and most."""
    return {
        "seconds": seconds,
        "median_seconds": statistics.median(seconds),
        "min_seconds": min(seconds),
        "max_seconds": max(seconds),
    }
