"""From pilots and published cases to a K."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from telly.advice.decision import (
    PILOTS,
    Measured,
    acceptable,
    chance_beyond,
    expectation,
    highest_candidate,
    measured_loss,
    next_candidate,
    proven,
)
from telly.advice.rule import Expectation, expected_loss
from telly.metrics.interval import Interval, mean_statistic


def measured(loss: float, sd: float) -> Measured:
    return Measured(loss, sd, Interval(loss - 2 * sd, loss + 2 * sd))


def walk(good: Callable[[int], bool], start: int, lowest: int = 0, layers: int = 12) -> list[int]:
    tried: dict[int, bool] = {}
    while (k := next_candidate(tried, start, lowest, layers)) is not None:
        assert lowest <= k < layers and k not in tried
        tried[k] = good(k)
    assert len(tried) <= PILOTS
    return list(tried)


@pytest.mark.parametrize(("good", "start", "lowest", "expected"), [
    (lambda k: True, 7, 0, [7, 9, 11]),  # upwards while it goes well
    (lambda k: k <= 7, 7, 0, [7, 9, 8]),  # then between
    (lambda k: k <= 4, 7, 0, [7, 5, 3]),  # downwards
    (lambda k: k <= 6, 7, 0, [7, 5, 6]),
    (lambda k: False, 1, 0, [1, 0]),  # as far as it goes
    (lambda k: False, 7, 6, [7, 6]),  # or as the budget lets it
    (lambda k: True, 3, 9, [9, 11]),  # the budget goes before the rule
    (lambda k: True, 11, 0, [11]),
])  # fmt: skip
def test_the_order_of_candidates(good: Callable[[int], bool], start: int, lowest: int, expected: list[int]):
    assert walk(good, start, lowest) == expected


@pytest.mark.parametrize("layers", [1, 2, 4, 6, 24, 48])
def test_any_depth(layers: int):
    for start in range(layers):
        for limit in range(-1, layers):
            assert walk(lambda k, limit=limit: k <= limit, start, 0, layers)


def test_each_counts_by_how_sure_it_is():
    prior = expected_loss(9, 7, 12)
    assert expectation(9, 7, 12, None) == prior
    assert expectation(9, 7, 12, measured(0.2, 1e-4)).loss == pytest.approx(0.2, abs=1e-3)
    assert expectation(9, 7, 12, measured(0.2, 10.0)).loss == pytest.approx(prior.loss, abs=1e-3)
    between = expectation(9, 7, 12, measured(0.2, prior.sd))
    assert between.loss == pytest.approx((0.2 + prior.loss) / 2) and between.sd == pytest.approx(prior.sd / 2**0.5)


def test_a_pilot_that_shows_a_loss_is_believed():
    small = Expectation(0.001, 0.02)
    assert acceptable(small, None, 0.01) and acceptable(small, measured(0.1, 0.06), 0.01)
    assert not acceptable(small, measured(0.1, 0.03), 0.01), "all of 4 % to 16 % is beyond"
    assert not acceptable(Expectation(0.02, 0.02), measured(-0.1, 0.01), 0.01)


def test_proof_is_three_standard_deviations():
    assert proven(measured(-0.05, 0.02), 0.01) and proven(measured(0.0, 0.003), 0.01)
    assert not proven(measured(-0.05, 0.021), 0.01), "1.3 % may be lost"
    assert not proven(None, 0.01)


def test_pilots_that_no_example_tells_apart_prove_little():
    """Of 100 examples none differs: by the rule of three up to 3 % might."""
    hundred, many = (mean_statistic(np.full(count, 0.5)) for count in (100, 600))
    found = measured_loss(hundred, hundred)
    assert found is not None and found.loss == 0 and found.interval == Interval(-0.03, 0.03)
    assert found.sd == pytest.approx(0.03 / 1.96, rel=1e-3)
    assert not proven(found, 0.01) and not proven(measured_loss(many, many), 0.5), "neither may have learned anything"


def test_the_deep_k_lies_below_the_top():
    assert [highest_candidate(layers) for layers in (1, 2, 6, 12, 24, 48)] == [0, 1, 5, 10, 20, 40]


def test_the_chance():
    assert chance_beyond(Expectation(0.01, 0.02), 0.01) == pytest.approx(0.5)
    assert chance_beyond(Expectation(-0.02, 0.01), 0.01) < 0.01
    assert chance_beyond(Expectation(0.05, 0.01), 0.01) > 0.99


def test_the_pilots_are_compared_on_the_same_examples():
    """Values that differ much between examples, and by 10 % everywhere: paired, the loss is 10 % without a doubt."""
    values = np.random.default_rng(0).uniform(0.1, 1, 200)
    found = measured_loss(mean_statistic(values), mean_statistic(0.9 * values))
    assert found is not None
    assert found.loss == pytest.approx(0.1) and found.sd == pytest.approx(0, abs=1e-9)
    shuffled = measured_loss(mean_statistic(values), mean_statistic(0.9 * np.roll(values, 1)))
    assert shuffled is not None
    assert shuffled.sd > 0.02 and shuffled.interval.low < 0.1 < shuffled.interval.high


def test_a_reference_without_a_score_can_lose_nothing():
    assert measured_loss(mean_statistic(np.zeros(9)), mean_statistic(np.ones(9))) is None
