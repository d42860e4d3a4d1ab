"""Decisions of the K search: the expected loss of a K, which K to try next, and which is good enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from telly.advice.rule import Expectation, expected_loss
from telly.metrics.interval import Interval, Statistic, interval_of, resampled

RESAMPLES = 1000
PILOTS = 3
"""Maximum number of frozen variants tried in the search from the rule's K."""
STRIDE = 6
"""The first step from the rule's K is the number of layers divided by this."""
PROOF = 3.0
"""Standard deviations over resampled examples. More than usual, since the randomness of training is not resampled."""
RULE_OF_THREE = 3.0
"""If none of n examples differs, at most 3 / n of all would, with 95 % confidence (Hanley and Lippman-Hand 1983)."""


@dataclass(frozen=True)
class Measured:
    """A pilot's relative loss against the reference's on the same examples; negative where it is better.

    Attributes:
        loss: relative loss.
        sd: its standard deviation over resampled examples.
        interval: 95 % interval of the loss.
        told_apart: whether the two pilots differ on any example.
    """

    loss: float
    sd: float
    interval: Interval
    told_apart: bool = True


def measured_loss(reference: Statistic, other: Statistic, seed: int = 0) -> Measured | None:
    """Compare two pilots by the paired bootstrap; None if the reference scores zero, so nothing can be lost.

    If they differ on no example, resampling would give a zero interval; then the rule of three bounds the share of
    examples on which they may differ, each of which is assumed to count as much as the average.
    """
    if reference.value <= 0:
        return None
    if np.array_equal(reference.rows, other.rows):
        bound = RULE_OF_THREE / len(reference.rows)
        # The bound is read as a 95 % interval of a normal distribution, to give a standard deviation as below.
        return Measured(0.0, bound / NormalDist().inv_cdf(0.975), Interval(-bound, bound), told_apart=False)
    # Both pilots are resampled with the same draws of examples, so what they share cancels out of the ratio.
    resamples = resampled({"reference": reference, "other": other}, RESAMPLES, seed)
    usable = resamples["reference"] > 0  # a resample in which the reference scores zero has no relative loss
    losses = 1 - resamples["other"][usable] / resamples["reference"][usable]
    return Measured(1 - other.value / reference.value, float(np.std(losses)), interval_of(losses))


def expectation(k: int, chosen: int, layers: int, measured: Measured | None) -> Expectation:
    """Expected loss of K, from published cases and from its pilot, weighted by their precision.

    This is the posterior mean of a normal prior and a normal measurement. A pilot with a wide interval moves the
    expectation little.
    """
    prior = expected_loss(k, chosen, layers)
    if measured is None:
        return prior
    # Precisions are inverse variances; those of independent estimates add up.
    of_pilot, of_prior = 1 / max(measured.sd, 1e-6) ** 2, 1 / prior.sd**2
    loss = (of_pilot * measured.loss + of_prior * prior.loss) / (of_pilot + of_prior)
    return Expectation(loss, (of_pilot + of_prior) ** -0.5)


def acceptable(expected: Expectation, measured: Measured | None, tolerance: float) -> bool:
    """Check that a K is good enough: its expected loss is tolerated, and its pilot does not show a larger one.

    A pilot shows that if its whole 95 % interval is beyond the tolerance; published cases cannot outweigh it.
    """
    shows_loss = measured is not None and measured.interval.low > tolerance
    return expected.loss <= tolerance and not shows_loss


def proven(measured: Measured | None, tolerance: float) -> bool:
    """Check that a pilot alone shows a tolerated loss, by `PROOF` standard deviations.

    Equal pilots prove nothing: neither may have learned anything yet.
    """
    return measured is not None and measured.told_apart and measured.loss + PROOF * measured.sd <= tolerance


def highest_candidate(layers: int) -> int:
    """A K near the top, tried before the search from the rule's K: it saves most time, and its pilot is cheap."""
    return max(0, layers - stride(layers))


def stride(layers: int) -> int:
    """Size of the first step from the rule's K, in layers."""
    return max(1, round(layers / STRIDE))


def next_candidate(tried: Mapping[int, bool], start: int, lowest: int, layers: int) -> int | None:
    """Choose the next K to try: the rule's, then upwards while K is good enough, or downwards, then between.

    Args:
        tried: whether each K tried so far is good enough.
        start: the rule's K.
        lowest: the lowest K that the budget allows.
        layers: number of layers of the model.

    Returns:
        the K, or None if another pilot could not change the choice or enough were run.
    """
    if len(tried) >= PILOTS:
        return None
    if not tried:
        return min(max(start, lowest), layers - 1)
    # The choice lies between the highest good K and the lowest bad one above it: step outwards until both are known,
    # then halve.
    good = max((k for k, fine in tried.items() if fine), default=None)
    bad = min((k for k, fine in tried.items() if not fine and (good is None or k > good)), default=None)
    if good is None:
        assert bad is not None
        candidate = max(bad - stride(layers), lowest)
    elif bad is None:
        candidate = min(good + stride(layers), layers - 1)
    else:
        candidate = (good + bad) // 2
    return None if candidate in tried else candidate


def chance_beyond(expected: Expectation, tolerance: float) -> float:
    """Probability that the loss is above the tolerance, if the expectation is right."""
    return 1 - NormalDist(expected.loss, expected.sd).cdf(tolerance)
