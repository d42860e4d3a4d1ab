"""Bootstrap intervals: against theory, against resampled texts, and where they must not see a difference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telly.metrics.bleu import bleu_of_sums, bleu_statistics, corpus_bleu
from telly.metrics.classification import binary_statistics
from telly.metrics.interval import Interval, Statistic, bootstrap_intervals, mean_statistic, paired_bootstrap

TEXTS = ["a b c d e", "a b x d e", "the cat sat", "", "return x ;", "f ( ) ;"]
REFERENCES = ["a b c d e", "a b c d e", "the cat sat down", "a", "return y ;", "f ( ) ;"]


def test_interval_of_a_share_is_as_wide_as_theory_says():
    """200 of 400: the standard error is sqrt(.5 * .5 / 400) = .025, so the interval is .5 +- 1.96 * .025."""
    values = mean_statistic(np.repeat([0.0, 1.0], 200))
    interval = bootstrap_intervals({"share": values}, resamples=2000)["share"]
    assert interval.low == pytest.approx(0.5 - 0.049, abs=0.006)
    assert interval.high == pytest.approx(0.5 + 0.049, abs=0.006)


def test_a_wider_confidence_gives_a_wider_interval():
    values = {"m": mean_statistic(np.arange(50.0))}
    narrow, wide = (bootstrap_intervals(values, confidence=c)["m"] for c in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_seed_decides():
    values = {"m": mean_statistic(np.arange(50.0))}
    assert bootstrap_intervals(values, seed=3) == bootstrap_intervals(values, seed=3)
    assert bootstrap_intervals(values, seed=3) != bootstrap_intervals(values, seed=4)


def test_without_spread_the_interval_is_a_point():
    assert bootstrap_intervals({"m": mean_statistic(np.full(9, 7.0))}) == {"m": Interval(7.0, 7.0)}


def test_resampled_sums_are_the_bleu_of_resampled_texts():
    """The long way: draw examples by their numbers, put their texts together, compute BLEU anew."""
    statistic = Statistic(bleu_statistics(TEXTS, REFERENCES), bleu_of_sums)
    generator = np.random.default_rng(5)
    values = []
    for _ in range(4000):
        drawn = generator.integers(len(TEXTS), size=len(TEXTS))
        values.append(corpus_bleu([TEXTS[i] for i in drawn], [REFERENCES[i] for i in drawn]))
    interval = bootstrap_intervals({"bleu": statistic}, resamples=4000)["bleu"]
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), abs=1.5)
    assert interval.low < interval.high
    assert statistic.value == pytest.approx(corpus_bleu(TEXTS, REFERENCES))


def test_equal_rows_are_drawn_as_often_as_they_occur():
    """Three of four examples have a 1: of 4 draws with replacement the mean's variance is .75 * .25 / 4."""
    seen: list[float] = []

    def mean(sums: np.ndarray) -> np.ndarray:
        seen.extend(sums[:, 0] / 4)
        return sums[:, 0] / 4

    bootstrap_intervals({"m": Statistic(np.array([[1.0], [1.0], [0.0], [1.0]]), mean)}, resamples=5000)
    assert np.mean(seen) == pytest.approx(0.75, abs=0.01)
    assert np.var(seen) == pytest.approx(0.75 * 0.25 / 4, rel=0.1)


def test_f1_is_resampled_by_its_counts():
    generator = np.random.default_rng(0)
    gold, predicted = generator.integers(0, 2, 300), generator.integers(0, 2, 300)
    statistics = binary_statistics(gold, predicted)
    intervals = bootstrap_intervals(statistics)
    for name, statistic in statistics.items():
        assert intervals[name].low < statistic.value < intervals[name].high


def test_a_system_does_not_differ_from_itself():
    values = {"m": mean_statistic(np.arange(30.0))}
    found = paired_bootstrap(values, values)["m"]
    assert (found.difference, found.interval, found.p, found.differs) == (0.0, Interval(0.0, 0.0), 1.0, False)


def test_pairs_show_what_separate_intervals_hide():
    """Better by one on every example, while examples differ by hundreds: the intervals overlap, the difference is 1."""
    values = np.random.default_rng(0).normal(0, 100, 50)
    better, worse = {"m": mean_statistic(values + 1)}, {"m": mean_statistic(values)}
    intervals = [bootstrap_intervals(system)["m"] for system in (better, worse)]
    assert intervals[0].low < intervals[1].high
    found = paired_bootstrap(better, worse)["m"]
    assert found.difference == pytest.approx(1)
    assert found.interval.low == pytest.approx(1)
    assert found.differs
    assert found.p == pytest.approx(2 / 1001), "no resample reaches zero; the sample itself counts as one"
    assert paired_bootstrap(worse, better)["m"].difference == pytest.approx(-1)


def test_chance_alone_is_called_a_difference_about_one_time_in_twenty():
    generator = np.random.default_rng(1)
    calls = [
        paired_bootstrap(
            {"m": mean_statistic(generator.normal(size=100))}, {"m": mean_statistic(generator.normal(size=100))}, 200
        )["m"].differs
        for _ in range(200)
    ]
    assert 2 <= sum(calls) <= 22  # 10 expected; outside of this once in thousands of seeds


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20), st.integers(0, 99))
def test_the_interval_lies_within_the_values(values: list[float], seed: int):
    interval = bootstrap_intervals({"m": mean_statistic(np.array(values))}, resamples=50, seed=seed)["m"]
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9


def test_bad_input():
    one, two = mean_statistic(np.ones(1)), mean_statistic(np.ones(2))
    with pytest.raises(ValueError) as error:
        bootstrap_intervals({"a": one, "b": two})
    assert str(error.value) == (
        "expected at least one resample, one metric and one example, and as many examples for every metric; found "
        "1000 resamples, numbers of examples [1, 2]"
    )
    with pytest.raises(ValueError, match="found 0 resamples"):
        bootstrap_intervals({"a": one}, resamples=0)
    with pytest.raises(ValueError, match="different metrics"):
        paired_bootstrap({"a": one}, {"b": one})
