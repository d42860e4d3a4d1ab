"""The similarity rule: layers that tuning hardly changes can stay frozen. Its parameter is fitted to the paper's rows.

How far tuning moves a layer depends on the number of steps, so the rule uses ratios: a layer counts as unchanged while
1 - similarity is a small share of that of the last layer. With a fixed threshold, a pilot of a few steps and a whole
run would give different answers.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from telly.analysis import published
from telly.freezing.variants import BASE
from telly.tasks import TASKS

SHARE = 0.035
"""Share of the last layer's change that a frozen layer may have; result of `fit(published_cases())`."""
SHARES = tuple(step / 200 for step in range(1, 61))
"""Candidates of `fit`: 0.5 % to 30 %."""
TOLERANCE = 0.01
"""Relative loss of quality that is tolerated by default."""
MIN_SPREAD = 0.02
"""Minimum standard deviation of expected losses: models differ more than the tasks of the one published model."""
MIN_CASES = 3
"""Minimum number of published cases for an expectation."""


def rule_k(similarity: Sequence[float], share: float = SHARE) -> int:
    """The largest K whose frozen layers tuning hardly changes.

    Args:
        similarity: similarity of the tuned model's layers with the pre-trained one's: embeddings, then every layer.
        share: share of the last layer's change that a frozen layer may have.

    Returns:
        0 to layers - 1.

    Raises:
        ValueError: there is no layer beside the embeddings.
    """
    if len(similarity) < 2:
        raise ValueError(f"expected embeddings and at least one layer, found {len(similarity)} values")
    allowed = share * (1 - similarity[-1])
    k = 0
    for layer in range(1, len(similarity) - 1):
        if 1 - similarity[layer] > allowed:
            break
        k = layer
    return k


@dataclass(frozen=True)
class Case:
    """Published results on a task and data set: similarity by layer, quality and time by variant.

    Attributes:
        task: telly's name of the task.
        dataset: the data set.
        metric: metric of `quality`, the greater the better.
        similarity: similarity of embeddings and every layer before and after tuning base.
        quality: metric by variant, `base` or K.
        seconds: time to convergence by variant.
    """

    task: str
    dataset: str
    metric: str
    similarity: tuple[float, ...]
    quality: dict[str, float]
    seconds: dict[str, float]

    def loss(self, k: int) -> float:
        """Relative loss of K against the best variant; 0 for the best."""
        return 1 - self.quality[str(k)] / max(self.quality.values())

    def loss_to_base(self, k: int) -> float:
        """Relative loss of K against base; negative where K is better."""
        return 1 - self.quality[str(k)] / self.quality[BASE]

    def saved(self, k: int) -> float:
        """Share of base's time that K saves."""
        return 1 - self.seconds[str(k)] / self.seconds[BASE]


@cache
def published_cases() -> tuple[Case, ...]:
    """Cases of UniXcoder, for which the paper has both; a task's similarities are used for all of its data sets."""
    names = {spec.paper_name: name for name, spec in TASKS.items()}
    similarity = {names[paper_name]: tuple(values) for paper_name, values in published.similarity().items()}
    rows_by_dataset: dict[tuple[str, str], list[published.Published]] = {}
    for row in published.telly_k():
        if "unixcoder" in row.model and row.task in similarity:
            rows_by_dataset.setdefault((row.task, row.dataset), []).append(row)
    cases = []
    for (task, dataset), rows in rows_by_dataset.items():
        metric = TASKS[task].preset.metric
        quality = {row.variant: row.metrics[metric] for row in rows}
        seconds = {row.variant: row.convergence_seconds for row in rows}
        cases.append(Case(task, dataset, metric, similarity[task], quality, seconds))
    return tuple(cases)


def fit(cases: Sequence[Case], tolerance: float = TOLERANCE) -> float:
    """Choose the share of `SHARES` with the least average loss beyond the tolerance, then the most time saved.

    If several give the same K everywhere, the middle one is taken.
    """

    def cost(share: float) -> tuple[float, float]:
        chosen = [(case, rule_k(case.similarity, share)) for case in cases]
        beyond = statistics.fmean(max(0.0, case.loss(k) - tolerance) for case, k in chosen)
        return round(beyond, 9), round(-statistics.fmean(case.saved(k) for case, k in chosen), 9)

    costs = {share: cost(share) for share in SHARES}
    best = [share for share in SHARES if costs[share] == min(costs.values())]
    return best[len(best) // 2]


@dataclass(frozen=True)
class Scored:
    """Result of the rule on a case that it was not fitted on.

    Attributes:
        case: the published case.
        share: share fitted on the other tasks.
        k: K of the rule.
    """

    case: Case
    share: float
    k: int


def leave_one_task_out(cases: Sequence[Case], tolerance: float = TOLERANCE) -> list[Scored]:
    """Apply the rule to every case, each time fitted on the cases of all other tasks."""
    scored = []
    for case in cases:
        share = fit([other for other in cases if other.task != case.task], tolerance)
        scored.append(Scored(case, share, rule_k(case.similarity, share)))
    return scored


@dataclass(frozen=True)
class Expectation:
    """A relative loss of quality against base, and its standard deviation."""

    loss: float
    sd: float


def expected_loss(k: int, chosen: int, layers: int) -> Expectation:
    """Expected loss of a K, from published cases at the same distance from the rule's K.

    Args:
        k: number of frozen layers.
        chosen: the rule's K.
        layers: number of layers of the model; distances are scaled to the paper's twelve.
    """
    by_distance = _losses_by_distance()
    distance = round((k - chosen) * 12 / layers)
    losses = by_distance[min(max(distance, min(by_distance)), max(by_distance))]
    return Expectation(statistics.fmean(losses), max(MIN_SPREAD, statistics.stdev(losses)))


@cache
def _losses_by_distance() -> dict[int, list[float]]:
    """Losses to base by the distance of K from the rule's K, where there are enough cases."""
    by_distance: dict[int, list[float]] = {}
    for case in published_cases():
        chosen = rule_k(case.similarity)
        for k in range(len(case.similarity) - 1):
            by_distance.setdefault(k - chosen, []).append(case.loss_to_base(k))
    return {distance: losses for distance, losses in sorted(by_distance.items()) if len(losses) >= MIN_CASES}
