"""From pilots and published cases to a K: what each K is expected to lose, which to try next, which to take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from telly.advice.rule import Expectation, expected_loss
from telly.metrics.interval import Interval, Statistic, interval_of, resampled

RESAMPLES = 1000
PILOTS = 3
"""Frozen variants that are tried on the walk from the rule's K, at most."""
STRIDE = 6
"""The first step from the rule's K is the layers divided by this."""
PROOF = 3.0
"""Standard deviations over resampled examples; more than usual, since the luck of training is not resampled."""
RULE_OF_THREE = 3.0
"""Of n examples none differed: with 95 % confidence at most a share of 3 / n would (Hanley and Lippman-Hand 1983)."""


@dataclass(frozen=True)
class Measured:
    """A pilot's relative loss against the reference's on the same examples; negative where it is better.

    Attributes:
        loss: the loss.
        sd: its standard deviation over resampled examples.
        interval: of the loss, 95 %.
        told_apart: whether any example tells the two pilots apart.
    """

    loss: float
    sd: float
    interval: Interval
    told_apart: bool = True


def measured_loss(reference: Statistic, other: Statistic, seed: int = 0) -> Measured | None:
    """Compare two pilots by the paired bootstrap; None where the reference scores zero, so nothing can be lost.

    Where no example tells them apart, resampling would be certain; then the rule of three says in what share of
    examples they may differ, each of which is taken to count as much as the average.
    """
    if reference.value <= 0:
        return None
    if np.array_equal(reference.rows, other.rows):
        most = RULE_OF_THREE / len(reference.rows)
        return Measured(0.0, most / NormalDist().inv_cdf(0.975), Interval(-most, most), told_apart=False)
    drawn = resampled({"reference": reference, "other": other}, RESAMPLES, seed)
    usable = drawn["reference"] > 0
    losses = 1 - drawn["other"][usable] / drawn["reference"][usable]
    return Measured(1 - other.value / reference.value, float(np.std(losses)), interval_of(losses))


def expectation(k: int, chosen: int, layers: int, measured: Measured | None) -> Expectation:
    """The loss of K to expect: what published cases say, and what the pilot says, each by how sure it is.

    The mean of two normal distributions by their precisions. A pilot whose examples leave a wide interval moves the
    expectation little.
    """
    prior = expected_loss(k, chosen, layers)
    if measured is None:
        return prior
    ours, theirs = 1 / max(measured.sd, 1e-6) ** 2, 1 / prior.sd**2
    return Expectation((ours * measured.loss + theirs * prior.loss) / (ours + theirs), (ours + theirs) ** -0.5)


def acceptable(expected: Expectation, measured: Measured | None, tolerance: float) -> bool:
    """Whether a K is within the tolerance: it is expected to be, and its pilot does not show that it is not.

    A pilot shows it where its whole 95 % interval lies beyond the tolerance; then published cases are no excuse.
    """
    shown = measured is not None and measured.interval.low > tolerance
    return expected.loss <= tolerance and not shown


def proven(measured: Measured | None, tolerance: float) -> bool:
    """Whether a pilot shows by itself that a K is within the tolerance: by `PROOF` standard deviations.

    Equal pilots show nothing: neither may have learned anything yet.
    """
    return measured is not None and measured.told_apart and measured.loss + PROOF * measured.sd <= tolerance


def highest_candidate(layers: int) -> int:
    """The K that is tried before the search from the rule's K: it saves nearly everything, and its pilot is cheap."""
    return max(0, layers - stride(layers))


def stride(layers: int) -> int:
    """The first step from the rule's K."""
    return max(1, round(layers / STRIDE))


def next_candidate(tried: Mapping[int, bool], start: int, lowest: int, layers: int) -> int | None:
    """Which K to try next: the rule's, then upwards while it goes well, or downwards, then between.

    Args:
        tried: whether each K tried so far is good enough.
        start: the rule's K.
        lowest: the least K that the budget allows.
        layers: of the model.

    Returns:
        None when nothing is left to learn, or enough was tried.
    """
    if len(tried) >= PILOTS:
        return None
    if not tried:
        return min(max(start, lowest), layers - 1)
    good = max((k for k, fine in tried.items() if fine), default=None)
    bad = min((k for k, fine in tried.items() if not fine and (good is None or k > good)), default=None)
    if good is None:
        assert bad is not None
        found = max(bad - stride(layers), lowest)
    elif bad is None:
        found = min(good + stride(layers), layers - 1)
    else:
        found = (good + bad) // 2
    return None if found in tried else found


def chance_beyond(found: Expectation, tolerance: float) -> float:
    """How likely it is that the loss is above the tolerance, if expectations are right."""
    return 1 - NormalDist(found.loss, found.sd).cdf(tolerance)
