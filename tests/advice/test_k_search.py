"""The search for K, with pilots whose scores are given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from telly.advice.budget import RunBudget
from telly.advice.explanation import explain_choice
from telly.advice.k_search import KSearch
from telly.advice.pilot import Pilot
from telly.metrics.interval import mean_statistic
from telly.settings.config import TuneConfig

LAYERS = 12
COSTS = [
    SimpleNamespace(k=k, epoch_seconds=100.0, epoch_seconds_cached=cached, peak_bytes=9, peak_bytes_cached=9)
    for k, cached in [(None, None), *((k, 100.0 * (1 - k / LAYERS)) for k in range(LAYERS))]
]


class Given:
    """Pilots of 200 examples: a K loses what it is given to, on every example alike or with so much scatter."""

    def __init__(self, losses: dict[int, float], unchanged: int, scatter: float = 0.0) -> None:
        self.ran: list[int | None] = []
        self._losses, self._scatter = losses, scatter
        self._similarity = [1.0] * (unchanged + 1) + [0.5] * (LAYERS - unchanged)

    def run_reference(self, k: int | None) -> tuple[Pilot, list[float]]:
        return self._pilot(k, 0.0, 0.0), self._similarity

    def run(self, k: int) -> Pilot:
        self.ran.append(k)
        return self._pilot(k, self._losses.get(k, 0.05), self._scatter)

    def _pilot(self, k: int | None, loss: float, scatter: float) -> Pilot:
        draw = np.random.default_rng(0)
        base, noise = draw.uniform(0.5, 0.7, 200), draw.normal(0, scatter, 200)
        values = base * (
            1 - loss + noise - (base * noise).sum() / base.sum()
        )  # whose mean is that of base less the loss
        return Pilot(k, float(values.mean()), mean_statistic(values), 5.0, 6.0)


def asked(pilots: Given) -> KSearch:
    config = TuneConfig.parse({"task": "search", "model": "m", "metric": "mrr"})
    costs, given = cast("Any", COSTS), cast("Any", pilots)
    return KSearch(config, 0.01, RunBudget(), costs, given).run(0.05)


def test_a_deep_k_that_is_proven_ends_the_search():
    pilots = Given({10: -0.05}, unchanged=1, scatter=0.1)
    found = asked(pilots)
    assert (found.rule, found.chosen(), pilots.ran) == (1, 10, [10])
    assert "K=10 alone is within 1.0% by 3 standard deviations" in explain_choice(found, 10, 96)[-1]


def test_a_deep_k_that_only_looks_good_does_not_count():
    """As good as base on average, but its interval goes beyond 1 %: far above the rule's K that is no proof."""
    pilots = Given({10: 0.0, 2: 0.0, 4: 0.0, 6: 0.08}, unchanged=2, scatter=0.2)
    found = asked(pilots)
    assert found.expected(10).loss < 0.01 and not found.acceptable(10)
    assert (found.chosen(), pilots.ran) == (4, [10, 2, 4, 6])
    assert "K=10: expected" in (told := " ".join(explain_choice(found, 4, 96))) and "a pilot that proves it" in told


@pytest.mark.parametrize(
    ("unchanged", "ran", "chosen"),
    [(6, [10, 6, 8], 10), (8, [8, 10, 11], 11), (10, [10, 11], 11), (11, [11], 11)],
)
def test_near_the_rule_it_is_a_k_like_others(unchanged: int, ran: list[int], chosen: int):
    """Where the walk from the rule's K comes to it, what is expected of it counts, and it is not run again."""
    pilots = Given({6: 0.0, 8: 0.0, 10: 0.0, 11: 0.0}, unchanged=unchanged, scatter=0.05)
    found = asked(pilots)
    assert (found.rule, found.chosen(), pilots.ran) == (unchanged, chosen, ran)
    assert found.needs_proof is None


def test_what_does_not_fit_is_not_tried():
    pilots = Given({10: -0.05}, unchanged=1)
    config = TuneConfig.parse({"task": "search", "model": "m", "metric": "mrr"})
    costs = [SimpleNamespace(**vars(cost) | {"peak_bytes_cached": 99 if cost.k == 10 else 9}) for cost in COSTS]
    KSearch(config, 0.01, RunBudget(bytes=50), cast("Any", costs), cast("Any", pilots)).run(0.05)
    assert 10 not in pilots.ran


def test_times_are_scaled_to_those_of_the_pilot():
    """By hand: the pilot takes 5 s for a twentieth of an epoch of 100 s, so an epoch takes as long as estimated."""
    assert asked(Given({10: -0.05}, unchanged=1, scatter=0.1)).scale == pytest.approx(1.0)
