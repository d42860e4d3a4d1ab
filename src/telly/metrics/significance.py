"""Statements about many scores: examples and seeds resampled together, many tests at once, "similar or better".

A run's score differs from another's for two reasons: other test examples might have been drawn, and another seed. The
bootstrap here draws both. A table with many differences to one base is corrected by Holm (1979). And that a score is no
worse is shown, not assumed from a test that finds nothing: the whole interval has to lie above a margin
(non-inferiority, as in clinical trials: Piaggio et al. 2012).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np

from telly.metrics.interval import Floats, Interval, Statistic, interval_of, resampled, two_sided_p

LEVEL = 0.05
"""Of a test, after the correction."""
RESAMPLES = 5000
"""So many that a corrected p of a table of a hundred differences can still fall below the level."""

Key = TypeVar("Key", bound=Hashable)
Runs = Mapping[int, Mapping[str, Statistic]]
"""A system's runs: metrics on the test examples, by seed."""


class Verdict(StrEnum):
    """What can be said of a difference to base."""

    BETTER = "better"
    SIMILAR = "similar or better"
    WORSE = "worse"
    OPEN = "not decided"


@dataclass(frozen=True)
class Difference:
    """A system's metric against that of base.

    Attributes:
        base: value of base.
        difference: the system's value minus base's.
        interval: of the difference, 95 %.
        p: two-sided, of the paired bootstrap.
        corrected: `p` after Holm's correction for all differences of a table.
        margin: how much of base's value may be lost and still be called similar.
        greater_is_better: the metric's direction.
    """

    base: float
    difference: float
    interval: Interval
    p: float
    corrected: float
    margin: float
    greater_is_better: bool = True

    @property
    def verdict(self) -> Verdict:
        """Better and worse are tests; similar or better means that the interval's worse end is within the margin."""
        sign = 1 if self.greater_is_better else -1
        worst, best = sorted((sign * self.interval.low, sign * self.interval.high))
        if worst > 0 and self.corrected < LEVEL:
            return Verdict.BETTER
        if worst > -self.allowed:
            return Verdict.SIMILAR
        if best < 0 and self.corrected < LEVEL:
            return Verdict.WORSE
        return Verdict.OPEN

    @property
    def allowed(self) -> float:
        """The margin in the metric's unit."""
        return self.margin * abs(self.base)

    def sentence(self, system: str, metric: str, digits: int) -> str:
        """The verdict in words, with the numbers it rests on."""
        low, high = (f"{end:+.{digits}f}" for end in (self.interval.low, self.interval.high))
        numbers = f"difference {self.difference:+.{digits}f}, 95 % interval {low} to {high}"
        limit = f"{self.allowed:.{digits}f} ({100 * self.margin:g} % of base)"
        end = "lower" if self.greater_is_better else "upper"
        said = {
            Verdict.BETTER: f"better than base ({numbers}; corrected p {self.corrected:.3g})",
            Verdict.SIMILAR: f"similar to base or better: the {end} end of the interval is within {limit} ({numbers})",
            Verdict.WORSE: f"worse than base ({numbers}; corrected p {self.corrected:.3g})",
            Verdict.OPEN: f"not decided: neither within {limit} of base nor shown to differ ({numbers}; corrected p "
            f"{self.corrected:.3g})",
        }[self.verdict]
        return f"{metric} of {system}: {said}"


@dataclass(frozen=True)
class Resampled:
    """A system's metric over all its runs.

    Attributes:
        value: mean over the runs.
        drawn: the same on resampled examples of resampled runs, [resamples].
    """

    value: float
    drawn: Floats

    @property
    def interval(self) -> Interval:
        """Its 95 % interval."""
        return interval_of(self.drawn)


def bootstrap_runs(
    systems: Mapping[Key, Runs], resamples: int = RESAMPLES, seed: int = 0
) -> dict[tuple[Key, str], Resampled]:
    """Resample the test examples, the same for all systems, and the runs of each system.

    Systems that were run with the same seeds have the same ones drawn, so that their difference is paired in both.
    With one run, only examples are resampled. With few runs the spread between seeds is understated, as by any
    bootstrap of few: by a factor of (runs - 1) / runs in variance.

    Args:
        systems: by system, its runs, all on the same examples.
        resamples: how many to draw.
        seed: of the draws.

    Raises:
        ValueError: no resamples, no metric, or metrics on unequal numbers of examples.
    """
    statistics = {
        (system, run, metric): statistic
        for system, runs in systems.items()
        for run, metrics in runs.items()
        for metric, statistic in metrics.items()
    }
    drawn = resampled(statistics, resamples, seed)
    found = {}
    for system, runs in systems.items():
        order = sorted(runs)
        picks = np.random.default_rng([seed, 1, *order]).integers(len(order), size=(resamples, len(order)))
        for metric in runs[order[0]]:
            values = np.stack([drawn[system, run, metric] for run in order], axis=1)  # [resamples, runs]
            mean = np.take_along_axis(values, picks, axis=1).mean(axis=1)
            found[system, metric] = Resampled(float(np.mean([runs[run][metric].value for run in order])), mean)
    return found


def differences(pairs: Mapping[Key, tuple[Resampled, Resampled, bool]], margin: float) -> dict[Key, Difference]:
    """Compare systems with base, and correct all the tests together.

    Args:
        pairs: the system, base (from one call of `bootstrap_runs`), and whether greater is better.
        margin: share of base's value that may be lost.
    """
    drawn = {key: system.drawn - base.drawn for key, (system, base, _) in pairs.items()}
    corrected = holm({key: two_sided_p(values) for key, values in drawn.items()})
    return {
        key: Difference(base.value, system.value - base.value, interval_of(drawn[key]), two_sided_p(drawn[key]),
                        corrected[key], margin, greater)
        for key, (system, base, greater) in pairs.items()
    }  # fmt: skip


def holm(p: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's step-down correction: the smallest p times the number of tests, the next times one less, and so on.

    A corrected p is at least that of every smaller one, and at most 1. Whatever holds at 5 % afterwards holds for all
    tests together.
    """
    corrected: dict[Key, float] = {}
    largest = 0.0
    for rank, key in enumerate(sorted(p, key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[key]))
        corrected[key] = largest
    return {key: corrected[key] for key in p}
