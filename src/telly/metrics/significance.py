"""Statements about many scores: examples and training runs, many tests at once, "similar or better".

A run's score differs from another's for two reasons: other test examples might have been drawn, and training might have
gone another way. Where both systems have several runs, both are in the test (`metrics/estimate.py`), and methods are
compared; with a single run only the first is, and two trained models are compared. A page with many differences is
corrected by Holm (1979) as a whole. "Not worse" has to be shown, not assumed from a test that finds nothing:
the whole interval has to be above a margin (non-inferiority, as in clinical trials: Piaggio et al. 2012).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np

from telly.metrics.estimate import Resampled, difference_of
from telly.metrics.interval import Interval, PairedComparison, Statistic, resampled

LEVEL = 0.05
"""Nominal error rate of all tests of a page together, after the correction."""
RESAMPLES = 5000
PER_COMPARISON = 80
"""Resamples per comparison of single runs, so that a result no resample contradicts survives the correction."""
MODELS_NOTE = (
    "One seed: the verdict compares two trained models, not two methods. Only test examples vary in the test, and "
    "another seed may turn it round."
)
"""Note that accompanies every verdict on single runs."""

Key = TypeVar("Key", bound=Hashable)
Runs = Mapping[int, Mapping[str, Statistic]]
"""A system's runs: metrics on the test examples, by seed."""


class Verdict(StrEnum):
    """Conclusion about a difference to base."""

    BETTER = "better"
    SIMILAR = "similar or better"
    WORSE = "worse"
    OPEN = "not decided"


def verdict_of(comparison: PairedComparison, *, greater_is_better: bool) -> Verdict:
    """Conclusion about a single comparison: better or worse if the interval excludes zero, else not decided."""
    if not comparison.differs:
        return Verdict.OPEN
    return Verdict.BETTER if (comparison.difference > 0) == greater_is_better else Verdict.WORSE


@dataclass(frozen=True)
class Difference:
    """A system's metric against that of base.

    Attributes:
        base: value of base.
        difference: the system's value minus base's.
        interval: 95 % interval of the difference, not corrected.
        p: two-sided p of "there is no difference".
        p_similar: twice the one-sided p of "more than the margin is lost".
        corrected: `p` after Holm's correction over the page.
        corrected_similar: `p_similar` likewise.
        margin: fraction of base's value that may be lost and still be called similar.
        runs: number of runs of the system, and of base.
        greater_is_better: the metric's direction.
    """

    base: float
    difference: float
    interval: Interval
    p: float
    p_similar: float
    corrected: float
    corrected_similar: float
    margin: float
    runs: tuple[int, int]
    greater_is_better: bool = True

    @property
    def verdict(self) -> Verdict:
        """Better or worse if a corrected test finds a difference; similar if one shows a loss within the margin."""
        # Similar comes before worse: a proven difference within the margin counts as similar.
        for_better = (self.difference > 0) == self.greater_is_better
        if for_better and self.corrected < LEVEL:
            return Verdict.BETTER
        if self.corrected_similar < LEVEL:
            return Verdict.SIMILAR
        if self.difference and not for_better and self.corrected < LEVEL:
            return Verdict.WORSE
        return Verdict.OPEN

    @property
    def allowed(self) -> float:
        """The margin in the metric's unit."""
        return self.margin * abs(self.base)

    @property
    def compares_methods(self) -> bool:
        """True if the test covers training, because both have several runs."""
        return min(self.runs) > 1

    @property
    def compared(self) -> str:
        """The subject of the verdict: methods or trained models, with the number of seeds."""
        seeds = " and ".join(dict.fromkeys(str(runs) for runs in self.runs))
        noun = "seed" if self.runs == (1, 1) else "seeds"
        return f"two {'methods' if self.compares_methods else 'trained models'} ({seeds} {noun})"

    def sentence(self, system: str, metric: str, digits: int) -> str:
        """The verdict in words, with its subject and the numbers that support it."""
        low, high = (f"{end:+.{digits}f}" for end in (self.interval.low, self.interval.high))
        numbers = f"difference {self.difference:+.{digits}f}, 95 % interval {low} to {high}"
        limit = f"{self.allowed:.{digits}f} ({100 * self.margin:g} % of base)"
        differs, similar = f"{self.corrected:.3g}", f"{self.corrected_similar:.3g}"
        conclusion = {
            Verdict.BETTER: f"better than base ({numbers}; corrected p {differs})",
            Verdict.SIMILAR: f"similar to base or better: shown to lose less than {limit} ({numbers}; corrected p "
            f"{similar})",
            Verdict.WORSE: f"worse than base ({numbers}; corrected p {differs})",
            Verdict.OPEN: f"not decided: neither shown to lose less than {limit} nor to differ from base ({numbers}; "
            f"corrected p {similar} and {differs})",
        }[self.verdict]
        return f"{metric} of {system}: {conclusion}. Compared are {self.compared}."


def bootstrap_runs(
    systems: Mapping[Key, Runs], resamples: int = RESAMPLES, seed: int = 0
) -> dict[tuple[Key, str], Resampled]:
    """Every metric of every run on resampled test examples, which are the same for all systems.

    Args:
        systems: the runs of every system, all on the same examples.
        resamples: number of resamples.
        seed: seed of the resampling.

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
    estimates = {}
    for system, runs in systems.items():
        order = tuple(sorted(runs))
        for metric in runs[order[0]]:
            values = np.array([runs[run][metric].value for run in order])
            estimates[system, metric] = Resampled(
                order, values, np.stack([drawn[system, run, metric] for run in order], axis=1)
            )
    return estimates


def enough_resamples(minimum: int, comparisons: int) -> int:
    """Number of resamples that the comparisons of single runs on one page need, at least `minimum`."""
    return max(minimum, PER_COMPARISON * comparisons)


def differences(pairs: Mapping[Key, tuple[Resampled, Resampled, bool]], margin: float) -> dict[Key, Difference]:
    """Compare systems with base, and correct all the tests of a page together.

    Args:
        pairs: the system, base (from one call of `bootstrap_runs`), and whether greater is better.
        margin: fraction of base's value that may be lost.
    """
    tested = {}
    for key, (system, base, greater) in pairs.items():
        difference, reference = difference_of(system, base), float(base.values.mean())
        gain = difference if greater else difference_of(base, system)
        tested[key] = (reference, difference, difference.p(), gain.p_above(-margin * abs(reference)))
    corrected = holm(
        {(key, similar): p[similar] for key, (_, _, *p) in tested.items() for similar in (False, True)},
        row=lambda test: test[0],
    )
    return {
        key: Difference(reference, difference.value, difference.interval(), p, p_similar, corrected[key, False],
                        corrected[key, True], margin, (len(pairs[key][0].seeds), len(pairs[key][1].seeds)),
                        pairs[key][2])
        for key, (reference, difference, p, p_similar) in tested.items()
    }  # fmt: skip


def holm(p: Mapping[Key, float], row: Callable[[Key], Hashable] = lambda key: key) -> dict[Key, float]:
    """Holm's step-down correction: the smallest p times the number of tests, the next times one less, and so on.

    Of the hypotheses of one row at most one can be true, such as "there is no difference" and "more than the margin is
    lost". So a p is multiplied by the number of rows that have a test left (Shaffer 1986), and two hypotheses in every
    row cost no more than one. A corrected p is at least that of every smaller one, and at most 1. Conclusions at
    5 % then hold for all tests together.

    Args:
        p: p of every test.
        row: the row that a test belongs to; by default every test has its own row.
    """
    left = Counter(row(key) for key in p)  # tests not yet passed, per row: rows without one no longer count
    corrected: dict[Key, float] = {}
    largest = 0.0
    for key in sorted(p, key=p.__getitem__):
        # The running maximum keeps corrected values in the order of p.
        largest = max(largest, min(1.0, len(left) * p[key]))
        corrected[key] = largest
        left[row(key)] -= 1
        if not left[row(key)]:
            del left[row(key)]
    return {key: corrected[key] for key in p}
