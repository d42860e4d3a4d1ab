"""The search for K: a pilot of the reference, then pilots of candidates while the next one can change the choice."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from telly.advice.budget import RunBudget, format_bytes, format_seconds
from telly.advice.decision import (
    Measured,
    acceptable,
    expectation,
    highest_candidate,
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
from telly.tuning.estimate import peak_memory, training_seconds

logger = logging.getLogger(__name__)


@dataclass
class KSearch:
    """Search for the largest K within a tolerated loss of quality.

    Attributes:
        config: settings of the run to come.
        tolerance: relative loss against the reference that is allowed.
        budget: maximum time and memory of the run.
        costs: costs of base and of every K, for all data of the run.
        pilots: runs the pilots.
        reference: the K that others are compared with: None, which is base, or the lowest K whose memory fits.
        results: finished pilots by K; None is base.
        similarity: similarity of embeddings and every layer before and after the reference's pilot.
        rule: the K of the similarity rule.
        needs_proof: the K far above the rule's K that was tried first and counts only if its pilot proves it.
        scale: measured seconds over predicted seconds.

    Raises:
        PlanError: no variant fits the memory.
    """

    config: ResolvedConfig
    tolerance: float
    budget: RunBudget
    costs: list[VariantCost]
    pilots: Pilots
    reference: int | None = None
    results: dict[int | None, Pilot] = field(default_factory=dict)
    similarity: list[float] = field(default_factory=list)
    rule: int = 0
    needs_proof: int | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        self.reference = self._fitting_memory()

    @property
    def layers(self) -> int:
        """Number of layers of the model."""
        return len(self.costs) - 1

    @property
    def metric(self) -> str:
        """Validation metric used to compare pilots."""
        return self.config.metric

    def run(self, share: float) -> KSearch:
        """Run the pilots.

        Args:
            share: share of an epoch's tokens that one pilot reads.
        """
        cost = self._cost(self.reference)
        logger.info("pilot of %s: what does tuning change, and how fast is it here?", name_of(self.reference))
        pilot, self.similarity = self.pilots.run_reference(self.reference)
        self.results[self.reference] = pilot
        # The pilot reads `share` of an epoch, so its time calibrates the cost model's predictions for this machine.
        epoch = cost.epoch_seconds if self.reference is None or not self.config.cache else cost.epoch_seconds_cached
        self.scale = pilot.train_seconds / (share * (epoch or 1.0))
        self.rule = rule_k(self.similarity)
        lowest = self._lowest()
        if self._high_k_is_proven(max(self.rule, lowest)):
            return self
        tried: dict[int, bool] = {}
        while (k := next_candidate(tried, self.rule, lowest, self.layers)) is not None:
            tried[k] = self._try(k)
        return self

    def _high_k_is_proven(self, start: int) -> bool:
        """Try the K that saves nearly everything, if the search starts far below; returns True if that is proven."""
        k = highest_candidate(self.layers)
        if k <= start + stride(self.layers) or not self.fits(k):
            return False
        self.needs_proof = k
        self._pilot(k)
        return self.acceptable(k)

    def _try(self, k: int) -> bool:
        """Run the pilot of a K; returns True if its expected loss is tolerated."""
        if k == self.needs_proof:  # the ordinary search has come to it, so its expectation counts as for any K
            self.needs_proof = None
        self._pilot(k)
        return self.acceptable(k)

    def _pilot(self, k: int) -> None:
        if k not in self.results:
            logger.info("pilot of K=%s", k)
            self.results[k] = self.pilots.run(k)

    def chosen(self) -> int | None:
        """The largest K within the tolerance; else the reference if it fits, else the K expected to lose least."""
        tried = [k for k in self.results if k is not None and self.fits(k)]
        good = [k for k in tried if self.acceptable(k)]
        if good:
            return max(good)
        if self.fits(self.reference):
            return self.reference
        return min(tried, key=lambda k: self.expected(k).loss)

    def expected(self, k: int) -> Expectation:
        """The expected loss of a K that was tried."""
        return expectation(k, self.rule, self.layers, self.measured(k))

    def acceptable(self, k: int) -> bool:
        """Check that the loss of a K that was tried is tolerated; far above the rule's K this must be proven."""
        if k == self.needs_proof:
            return proven(self.measured(k), self.tolerance)
        return acceptable(self.expected(k), self.measured(k), self.tolerance)

    def measured(self, k: int) -> Measured | None:
        """The loss of a K's pilot against the reference's; None if the metric cannot be resampled."""
        statistic, reference = self.results[k].statistic, self.results[self.reference].statistic
        if statistic is None or reference is None or k == self.reference or not METRICS[self.metric].greater_is_better:
            return None
        return measured_loss(reference, statistic, self.config.seed)

    def seconds(self, k: int | None) -> float:
        """Predicted training time."""
        return self.scale * training_seconds(self._cost(k), self.config)

    def memory(self, k: int | None) -> int:
        """Predicted peak memory in bytes."""
        return peak_memory(self._cost(k), self._cost(None), self.config)

    def fits(self, k: int | None) -> bool:
        """Check that a K, or base, is within the budget."""
        in_time = self.budget.seconds is None or self.seconds(k) <= self.budget.seconds
        return in_time and (self.budget.bytes is None or self.memory(k) <= self.budget.bytes)

    def _fitting_memory(self) -> int | None:
        """Base, or the lowest K whose memory fits.

        Raises:
            PlanError: no variant fits.
        """
        limit = self.budget.bytes
        for cost in self.costs:
            if limit is None or self.memory(cost.k) <= limit:
                return cost.k
        smallest = min((cost.k for cost in self.costs), key=self.memory)
        raise PlanError(
            f"--budget {format_bytes(limit or 0)}: no K fits; {name_of(smallest)} takes least, about "
            f"{format_bytes(self.memory(smallest))}. Give that, or make batches smaller with --batch-size "
            "or --max-tokens"
        )

    def _lowest(self) -> int:
        """The lowest K that fits the budget.

        Raises:
            PlanError: no K fits.
        """
        for cost in self.costs:
            if cost.k is not None and self.fits(cost.k):
                return cost.k
        highest = self.costs[-1].k
        raise PlanError(
            f"--budget {format_seconds(self.budget.seconds or 0)}: no K fits; K={highest} takes about "
            f"{format_seconds(self.seconds(highest))} here. Give that, or take less data with --limit or fewer --epochs"
        )

    def _cost(self, k: int | None) -> VariantCost:
        return next(cost for cost in self.costs if cost.k == k)


def name_of(k: int | None) -> str:
    """The name of a variant in messages: `base` or `K=9`."""
    return BASE if k is None else f"K={k}"
