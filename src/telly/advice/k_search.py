"""One search for K: the reference's pilot, then candidates' until the next would tell nothing new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from telly.advice.budget import RunBudget, tell_bytes, tell_seconds
from telly.advice.decision import (
    Measured,
    acceptable,
    deep_candidate,
    expectation,
    measured_loss,
    next_candidate,
    proven,
    stride,
)
from telly.advice.pilot import Pilot, Pilots
from telly.advice.rule import Expectation, rule_k
from telly.errors import PlanError
from telly.freezing.cost import VariantCost
from telly.freezing.variants import BASE
from telly.metrics.table import METRICS
from telly.settings.config import ResolvedConfig
from telly.tuning.estimate import training_seconds

Say = Callable[[str], None]


@dataclass
class KSearch:
    """Runs pilots, and answers what they and the cost model say of every variant.

    Attributes:
        config: resolved settings of the run to come.
        tolerance: relative loss against the reference that is allowed.
        budget: what the run may take.
        costs: base's and every K's, for the whole run's data.
        pilots: runs them.
        say: told which is run.
        reference: the variant that others are compared with: base, or the lowest K whose memory fits.
        found: pilots by variant.
        similarity: of embeddings and every layer, before and after the reference's pilot.
        rule: the similarity rule's K.
        to_prove: the variant that was tried first, far above the rule's K, where only proof counts; if there is one.
        scale: measured seconds over those of the cost model.

    Raises:
        PlanError: nothing fits the memory.
    """

    config: ResolvedConfig
    tolerance: float
    budget: RunBudget
    costs: list[VariantCost]
    pilots: Pilots
    say: Say
    reference: str = BASE
    found: dict[str, Pilot] = field(default_factory=dict)
    similarity: list[float] = field(default_factory=list)
    rule: int = 0
    to_prove: str | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        self.reference = self._fitting_memory()

    @property
    def layers(self) -> int:
        """Of the model."""
        return len(self.costs) - 1

    @property
    def metric(self) -> str:
        """That decides."""
        return self.config.metric

    def run(self, share: float) -> KSearch:
        """Run all pilots; `share` of an epoch's tokens is what one reads."""
        cost = self._cost(self.reference)
        self.say(f"pilot of {name_of(self.reference)}: what does tuning change, and how fast is it here?")
        pilot, self.similarity = self.pilots.run_reference(self.reference)
        self.found[self.reference] = pilot
        epoch = cost.epoch_seconds if self.reference == BASE or not self.config.cache else cost.epoch_seconds_cached
        self.scale = pilot.train_seconds / (share * (epoch or 1.0))
        self.rule = rule_k(self.similarity)
        lowest = self._lowest()
        if self._proves_deep(max(self.rule, lowest)):
            return self
        tried: dict[int, bool] = {}
        while (k := next_candidate(tried, self.rule, lowest, self.layers)) is not None:
            tried[k] = self._walk_to(str(k))
        return self

    def _proves_deep(self, start: int) -> bool:
        """Try the K where nearly all is saved, if the walk begins far below; whether that proves it good enough."""
        k = deep_candidate(self.layers)
        if k <= start + stride(self.layers) or not self.fits(str(k)):
            return False
        self.to_prove = str(k)
        self._pilot(self.to_prove)
        return self.acceptable(self.to_prove)

    def _walk_to(self, variant: str) -> bool:
        """Try a variant by what is expected of it; whether it is good enough."""
        if variant == self.to_prove:
            self.to_prove = None
        self._pilot(variant)
        return self.acceptable(variant)

    def _pilot(self, variant: str) -> None:
        if variant not in self.found:
            self.say(f"pilot of K={variant}")
            self.found[variant] = self.pilots.run(variant)

    def chosen(self) -> str:
        """The largest K within the tolerance; else base if it fits, else what is expected to lose least."""
        tried = {variant for variant in self.found if variant != BASE and self.fits(variant)}
        good = [int(variant) for variant in tried if self.acceptable(variant)]
        if good:
            return str(max(good))
        if self.fits(self.reference):
            return self.reference
        return min(tried, key=lambda variant: self.expected(variant).loss)

    def expected(self, variant: str) -> Expectation:
        """The loss of a variant that was tried."""
        return expectation(int(variant), self.rule, self.layers, self.measured(variant))

    def acceptable(self, variant: str) -> bool:
        """Whether a variant that was tried is within the tolerance; far above the rule's K, whether that is proven."""
        if variant == self.to_prove:
            return proven(self.measured(variant), self.tolerance)
        return acceptable(self.expected(variant), self.measured(variant), self.tolerance)

    def measured(self, variant: str) -> Measured | None:
        """Its pilot against the reference's; None where the metric cannot be resampled."""
        ours, theirs = self.found[variant].statistic, self.found[self.reference].statistic
        if ours is None or theirs is None or variant == self.reference or not METRICS[self.metric].greater_is_better:
            return None
        return measured_loss(theirs, ours, self.config.seed)

    def seconds(self, variant: str) -> float:
        """Of training, predicted."""
        return self.scale * training_seconds(self._cost(variant), self.config)

    def memory(self, variant: str) -> int:
        """Peak memory, predicted."""
        cost = self._cost(variant)
        cached = cost.peak_bytes_cached if self.config.cache else None
        size = cost.peak_bytes if cached is None else cached
        assert size is not None
        return size

    def fits(self, variant: str) -> bool:
        """Whether a variant is within the budget."""
        in_time = self.budget.seconds is None or self.seconds(variant) <= self.budget.seconds
        return in_time and (self.budget.bytes is None or self.memory(variant) <= self.budget.bytes)

    def _fitting_memory(self) -> str:
        """Base, or the lowest K whose memory fits.

        Raises:
            PlanError: none fits.
        """
        limit = self.budget.bytes
        for cost in self.costs:
            if limit is None or self.memory(cost.variant) <= limit:
                return cost.variant
        least = min((cost.variant for cost in self.costs), key=self.memory)
        raise PlanError(
            f"--budget {tell_bytes(limit or 0)}: no K fits; K={least} takes least, about "
            f"{tell_bytes(self.memory(least))}. Give that, or make batches smaller with --batch-size or --max-tokens"
        )

    def _lowest(self) -> int:
        """The least K that fits the budget.

        Raises:
            PlanError: none does.
        """
        for cost in self.costs:
            if cost.variant != BASE and self.fits(cost.variant):
                return int(cost.variant)
        least = self.costs[-1].variant
        raise PlanError(
            f"--budget {tell_seconds(self.budget.seconds or 0)}: no K fits; K={least} takes about "
            f"{tell_seconds(self.seconds(least))} here. Give that, or take less data with --limit or fewer --epochs"
        )

    def _cost(self, variant: str) -> VariantCost:
        return next(cost for cost in self.costs if cost.variant == variant)


def name_of(variant: str) -> str:
    """What a person calls a variant."""
    return variant if variant == BASE else f"K={variant}"
