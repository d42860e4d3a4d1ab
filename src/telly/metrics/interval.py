"""Bootstrap confidence intervals and the paired bootstrap (Efron and Tibshirani 1993; Koehn 2004), for any metric.

Every metric here is a function of sums over examples: the sum of scores for a mean, of n-gram matches and lengths for
corpus BLEU, of true and false positives for F1. So a resample is a weighted sum of rows, and 1,000 of them are quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
CONFIDENCE = 0.95

Floats = NDArray[np.float64]
Key = TypeVar("Key")


@dataclass(frozen=True)
class Statistic:
    """A metric on a set of examples, in a form that can be resampled.

    Attributes:
        rows: sufficient statistics per example, [examples, columns].
        of_sums: function from summed rows to the metric, [..., columns] to [...].
    """

    rows: Floats
    of_sums: Callable[[Floats], Floats]

    @property
    def value(self) -> float:
        """The metric over all examples."""
        return float(self.of_sums(self.rows.sum(axis=0)))


def mean_statistic(values: Floats) -> Statistic:
    """The mean of one value per example, [examples]."""
    examples = len(values)
    return Statistic(np.asarray(values, np.float64)[:, None], lambda sums: sums[..., 0] / examples)


def values_of(statistics: Mapping[Key, Statistic]) -> dict[Key, float]:
    """Every metric over all examples."""
    return {name: statistic.value for name, statistic in statistics.items()}


@dataclass(frozen=True)
class Interval:
    """A percentile interval."""

    low: float
    high: float


@dataclass(frozen=True)
class PairedComparison:
    """Two systems on the same examples.

    Attributes:
        difference: the first system's value minus the second's.
        interval: percentile interval of the difference.
        p: two-sided p, twice the smaller fraction of resamples in which the difference is <= 0 or >= 0.
    """

    difference: float
    interval: Interval
    p: float

    @property
    def differs(self) -> bool:
        """True if the interval excludes zero."""
        return self.interval.low > 0 or self.interval.high < 0


def bootstrap_intervals(
    statistics: Mapping[str, Statistic],
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> dict[str, Interval]:
    """Percentile bootstrap interval of every metric; all see the same resamples of the examples.

    Args:
        statistics: metrics on the same examples.
        resamples: number of resamples; each draws as many examples as there are, with replacement.
        seed: seed of the resampling; equal seeds give equal intervals.
        confidence: fraction of the resampled values inside the interval.

    Raises:
        ValueError: no resamples, no metric, or metrics on unequal numbers of examples.
    """
    drawn = resampled(statistics, resamples, seed)
    return {name: interval_of(values, confidence) for name, values in drawn.items()}


def paired_bootstrap(
    first: Mapping[str, Statistic],
    second: Mapping[str, Statistic],
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> dict[str, PairedComparison]:
    """Compare two systems on the same examples, metric by metric, on the same resamples.

    Args:
        first: metrics of one system.
        second: the same metrics of the other, examples in the same order.
        resamples: as for `bootstrap_intervals`, likewise `seed` and `confidence`.
        seed: seed of the resampling.
        confidence: confidence of the interval of the difference.

    Raises:
        ValueError: as `bootstrap_intervals`, or the systems have different metrics.
    """
    if set(first) != set(second):
        raise ValueError(f"different metrics: {sorted(first)} and {sorted(second)}")
    # One call for both systems, so that both see the same resamples and differences are paired.
    both = {(0, name): s for name, s in first.items()} | {(1, name): s for name, s in second.items()}
    drawn = resampled(both, resamples, seed)
    comparisons = {}
    for name, statistic in first.items():
        differences = drawn[0, name] - drawn[1, name]
        interval = interval_of(differences, confidence)
        comparisons[name] = PairedComparison(statistic.value - second[name].value, interval, two_sided_p(differences))
    return comparisons


def two_sided_p(differences: Floats) -> float:
    """Twice the smaller fraction of resampled differences that are <= 0 or >= 0; never 0.

    The observed sample counts as one more resample on either side.
    """
    tail = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(differences) + 1))


def resampled(statistics: Mapping[Key, Statistic], resamples: int, seed: int) -> dict[Key, Floats]:
    """Values of every metric on resamples of the examples, [resamples] each; all metrics share the resamples.

    Raises:
        ValueError: no resamples, no metric, or metrics on unequal numbers of examples.
    """
    sizes = {len(s.rows) for s in statistics.values()}
    if resamples < 1 or len(sizes) != 1 or not min(sizes):
        raise ValueError(
            f"expected at least one resample, one metric and one example, and as many examples for every metric; "
            f"found {resamples} resamples, numbers of examples {sorted(sizes)}"
        )
    examples = sizes.pop()
    rows = np.hstack([s.rows for s in statistics.values()])  # [examples, columns of all metrics]
    # Equal rows are interchangeable, so the number of draws of each distinct row is enough: a multinomial over distinct
    # rows replaces drawing single examples. 400,000 pairs of labels have a handful of distinct rows.
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    generator = np.random.default_rng(seed)
    sums = np.empty((resamples, rows.shape[1]))  # a row at a time: [resamples, distinct] counts could fill the memory
    for i in range(resamples):
        sums[i] = generator.multinomial(examples, counts / examples) @ distinct
    # Each metric takes its own columns of the sums; corpus metrics are recomputed from them per resample.
    drawn, start = {}, 0
    for key, statistic in statistics.items():
        end = start + statistic.rows.shape[1]
        drawn[key] = statistic.of_sums(sums[:, start:end])
        start = end
    return drawn


def interval_of(values: Floats, confidence: float = CONFIDENCE) -> Interval:
    """Percentile interval of resampled values."""
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high))
