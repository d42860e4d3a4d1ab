"""Holm, the bootstrap over examples and runs, similar-or-better: by hand, and against independent ways."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from telly.metrics.interval import Interval, mean_statistic
from telly.metrics.significance import Difference, Verdict, bootstrap_runs, differences, holm


def test_holm_by_hand():
    """Four tests: .01 * 4, then .02 * 3, and .03 * 2 = .06 and .04 * 1 are no less than what came before."""
    assert holm({"d": 0.04, "a": 0.01, "b": 0.02, "c": 0.03}) == pytest.approx(
        {"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.06}
    )
    assert holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=6))
def test_holm_is_the_closure_of_bonferroni(p: list[float]):
    """Marcus, Peritz and Gabriel (1976): a test's corrected p is the largest Bonferroni p of all sets it is in."""
    numbers = range(len(p))
    expected = {}
    for i in numbers:
        sets = [s for size in numbers for s in combinations(numbers, size + 1) if i in s]
        expected[i] = max(min(1.0, len(s) * min(p[j] for j in s)) for s in sets)
    assert holm(dict(enumerate(p))) == pytest.approx(expected)


def test_one_run_is_the_usual_paired_bootstrap():
    """The interval of a mean difference, as scipy's percentile bootstrap of the differences has it."""
    rng = np.random.default_rng(0)
    base = rng.random(300)
    system = base + rng.normal(0.02, 0.2, 300)
    found = bootstrap_runs({"s": {0: {"m": mean_statistic(system)}}, "b": {0: {"m": mean_statistic(base)}}}, 4000)
    difference = differences({"m": (found["s", "m"], found["b", "m"], True)}, 0.01)["m"]
    theirs = stats.bootstrap(
        (system - base,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert difference.difference == pytest.approx((system - base).mean())
    assert (difference.interval.low, difference.interval.high) == pytest.approx((theirs.low, theirs.high), abs=0.002)
    normal = 2 * stats.norm.sf(abs((system - base).mean()) / ((system - base).std() / np.sqrt(300)))
    assert difference.p == pytest.approx(normal, abs=0.03)


def test_runs_are_resampled_as_well():
    """Runs of 0 and of 1 everywhere: examples vary nothing; of two drawn runs both are 0, or both 1, a quarter each."""
    runs = {seed: {"m": mean_statistic(np.full(5, float(seed)))} for seed in (0, 1)}
    found = bootstrap_runs({"s": runs}, 4000)["s", "m"]
    assert found.value == 0.5
    shares = [float(np.mean(found.drawn == value)) for value in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert found.interval == Interval(0, 1)


def test_equal_seeds_are_paired_and_others_are_not():
    """Seeds differ much, and with each of them the system is better by .1."""
    levels = {0: 0.2, 1: 0.5, 2: 0.8}

    def runs(shift: float, first: int = 0):
        return {first + s: {"m": mean_statistic(np.full(4, level + shift))} for s, level in levels.items()}

    found = bootstrap_runs({"s": runs(0.1), "b": runs(0.0), "other seeds": runs(0.1, first=7)}, 2000)
    paired = found["s", "m"].drawn - found["b", "m"].drawn
    assert paired == pytest.approx(np.full(2000, 0.1))
    assert (found["other seeds", "m"].drawn - found["b", "m"].drawn).std() > 0.1


def difference(low: float, high: float, corrected: float, *, greater: bool = True) -> Difference:
    return Difference(0.5, (low + high) / 2, Interval(low, high), corrected, corrected, 0.02, greater)


@pytest.mark.parametrize(("found", "verdict"), [
    (difference(0.01, 0.03, 0.01), Verdict.BETTER),
    (difference(0.01, 0.03, 0.2), Verdict.SIMILAR),  # not shown to be better, once all tests are counted
    (difference(-0.009, 0.03, 0.4), Verdict.SIMILAR),  # at most .01 = 2 % of .5 may be lost
    (difference(-0.009, -0.001, 0.01), Verdict.SIMILAR),  # less, but within the margin
    (difference(-0.011, 0.03, 0.4), Verdict.OPEN),
    (difference(-0.03, -0.02, 0.01), Verdict.WORSE),
    (difference(-0.03, -0.02, 0.2), Verdict.OPEN),
    (difference(-0.03, -0.02, 0.01, greater=False), Verdict.BETTER),
    (difference(0.02, 0.03, 0.01, greater=False), Verdict.WORSE),
    (difference(-0.03, 0.009, 0.4, greater=False), Verdict.SIMILAR),
])  # fmt: skip
def test_verdicts(found: Difference, verdict: Verdict):
    assert found.verdict is verdict


def test_a_verdict_in_words():
    assert difference(-0.009, 0.03, 0.4).sentence("K=9", "mrr", 4) == (
        "mrr of K=9: similar to base or better: the lower end of the interval is within 0.0100 (2 % of base) "
        "(difference +0.0105, 95 % interval -0.0090 to +0.0300)"
    )
    assert difference(-0.03, -0.02, 0.012).sentence("K=9", "mrr", 4) == (
        "mrr of K=9: worse than base (difference -0.0250, 95 % interval -0.0300 to -0.0200; corrected p 0.012)"
    )


def test_a_small_margin_is_not_met_by_few_examples():
    """Equal on average, but 40 examples say little: not decided; 40,000 say enough."""
    verdicts = {}
    for count in (40, 40_000):
        rng = np.random.default_rng(3)
        base = (rng.random(count) < 0.6).astype(float)
        system = np.where(rng.random(count) < 0.1, 1 - base, base)
        system[: count // 20] = base[: count // 20]
        found = bootstrap_runs({"s": {0: {"m": mean_statistic(system)}}, "b": {0: {"m": mean_statistic(base)}}}, 300)
        verdicts[count] = differences({"m": (found["s", "m"], found["b", "m"], True)}, 0.05)["m"].verdict
    assert verdicts == {40: Verdict.OPEN, 40_000: Verdict.SIMILAR}
