"""Means over training runs, with uncertainty from the choice of test examples and, given several runs, from training.

A score of a method varies for two reasons: other test examples might have been drawn, and training might have gone
another way. A single run says nothing about the second reason, so its interval is about the trained model. With several
runs the two variances are estimated apart and combined (Howe 1974; Graybill and Wang 1980): the square of an interval's
half width is the sum of the squares of the half widths that each source would have alone, with the normal quantile for
examples and Student's t for the few runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from telly.metrics.interval import CONFIDENCE, Floats, Interval, interval_of, two_sided_p

MIN_P = 1e-9
"""Lower limit of every p: the normal approximation is meaningless below it."""


@dataclass(frozen=True)
class Training:
    """The contribution of training to the variance of a mean over runs.

    Attributes:
        variance: variance of the mean.
        degrees: degrees of freedom, one less than the number of runs.
    """

    variance: float
    degrees: int


@dataclass(frozen=True)
class Estimate:
    """A mean over runs, or the difference of two such means.

    Attributes:
        value: the mean or difference on all test examples.
        drawn: the same on resampled examples, with the runs unchanged, [resamples].
        training: one entry for each group of runs that was trained independently; None where a group has a single run,
            so that every statement is about the trained models and not about the methods.
        interaction: the part of the variance of `drawn` that `training` has as well: how differently runs vary with
            the examples.
    """

    value: float
    drawn: Floats
    training: tuple[Training, ...] | None = None
    interaction: float = 0.0

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Confidence interval: percentiles of the resamples for single runs, symmetric around the value otherwise."""
        if self.training is None:
            return interval_of(self.drawn, confidence)
        half = self._half_width(1 - confidence)
        return Interval(self.value - half, self.value + half)

    def p(self, null: float = 0.0) -> float:
        """Two-sided p of the hypothesis that the true value is `null`."""
        if self.training is None:
            return two_sided_p(self.drawn - null)
        distance = abs(self.value - null)
        return _root(lambda p: self._half_width(p) - distance, MIN_P, 1.0)

    def p_above(self, null: float) -> float:
        """Twice the one-sided p of the hypothesis that the true value is at most `null`.

        It is doubled so that it compares with two-sided p: below .05 the 95 % interval is above `null`.
        """
        if self.training is None:
            reached = int((self.drawn <= null).sum())
            return min(1.0, 2 * (reached + 1) / (len(self.drawn) + 1))
        return self.p(null) if self.value > null else 1.0

    def _half_width(self, p: float) -> float:
        # The interaction is in both variances; counting it once keeps intervals from being too wide.
        examples = max(0.0, float(np.var(self.drawn)) - self.interaction)
        square = _normal_quantile(p) ** 2 * examples
        square += sum(student_quantile(p, part.degrees) ** 2 * part.variance for part in self.training or ())
        return math.sqrt(square)


@dataclass(frozen=True)
class Resampled:
    """Values of one metric for all runs of a system.

    Attributes:
        seeds: seeds of the runs.
        values: values on all test examples, [runs].
        drawn: values on resampled examples, [resamples, runs].
    """

    seeds: tuple[int, ...]
    values: Floats
    drawn: Floats

    @property
    def estimate(self) -> Estimate:
        """The mean over the runs."""
        return Estimate(float(self.values.mean()), self.drawn.mean(axis=1), *_training(self.values, self.drawn))

    @property
    def interval(self) -> Interval:
        """The 95 % interval of the mean over the runs."""
        return self.estimate.interval()


def difference_of(system: Resampled, base: Resampled) -> Estimate:
    """The difference of two means over runs, on the same resamples of the examples.

    Runs with the same seeds are paired; otherwise the two groups of runs vary independently.
    """
    if system.seeds == base.seeds:
        return Resampled(system.seeds, system.values - base.values, system.drawn - base.drawn).estimate
    first, second = system.estimate, base.estimate
    training = None if first.training is None or second.training is None else (*first.training, *second.training)
    interaction = first.interaction + second.interaction
    return Estimate(first.value - second.value, first.drawn - second.drawn, training, interaction)


def _training(values: Floats, drawn: Floats) -> tuple[tuple[Training, ...] | None, float]:
    """Variance of the mean caused by training, and the part of it that resampled examples show as well."""
    runs = len(values)
    if runs < 2:
        return None, 0.0
    # The part of each run's movement over resamples that it does not share with the other runs.
    deviations = drawn - drawn.mean(axis=1, keepdims=True)  # [resamples, runs]
    interaction = float(np.var(deviations, axis=0).sum()) / (runs - 1) / runs
    return (Training(float(np.var(values, ddof=1)) / runs, runs - 1),), interaction


def student_quantile(p: float, degrees: int) -> float:
    """Two-sided quantile: the value that |t| of Student's distribution exceeds with probability `p`."""
    high = 1.0
    while student_p(high, degrees) > p:
        high *= 2
    return _root(lambda t: student_p(t, degrees) - p, 0.0, high)


def student_p(t: float, degrees: int) -> float:
    """Probability that |T| of Student's distribution exceeds `t` >= 0 (Abramowitz and Stegun 1964, 26.7.3, 26.7.4)."""
    # The closed form for whole degrees of freedom: a finite series in the cosine, which spares SciPy.
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(2 + odd, degrees + 1, 2):
        total += term
        term *= (k - 1) / k * cosine**2
    within = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return max(0.0, 1 - within)


def _normal_quantile(p: float) -> float:
    return 0.0 if p >= 1 else NormalDist().inv_cdf(1 - p / 2)


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Zero of a falling function, by bisection; the nearest end of the interval if it has none there."""
    if falling(low) <= 0:
        return low
    if falling(high) >= 0:
        return high
    for _ in range(60):  # 60 halvings reach the precision of a double
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return high
