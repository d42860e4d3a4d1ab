"""The similarity rule: layers that tuning hardly changes can stay frozen. Its one parameter is of the paper's rows.

How far tuning moves a layer depends on how long it tunes, so the rule is about shares: a layer counts as unchanged
while one less its similarity is a small share of that of the last layer. A pilot of a few steps and a whole run can
then say the same, which with a fixed similarity they could not.
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
"""Of the last layer's change; `fit(published_cases())`."""
SHARES = tuple(number / 200 for number in range(1, 61))
"""What `fit` chooses from: 0.5 % to 30 %."""
TOLERANCE = 0.01
"""Relative loss of quality that counts as none, unless told otherwise."""
MIN_SPREAD = 0.02
"""Of expected losses: other models and data differ more than the tasks of the one model that they are published of."""
MIN_CASES = 3
"""Published cases that an expectation rests on."""


def rule_k(similarity: Sequence[float], share: float = SHARE) -> int:
    """The largest K whose frozen layers tuning hardly changes.

    Args:
        similarity: of the tuned model's layers with the pre-trained one's: embeddings, then every layer.
        share: of the last layer's change that a frozen layer may show.

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
    """What is published of a task and data set: similarity by layer, quality and time by variant.

    Attributes:
        task: our name.
        dataset: what was tuned on.
        metric: whose values `quality` has, the greater the better.
        similarity: of embeddings and every layer, before and after tuning base.
        quality: by variant, `base` or K.
        seconds: to convergence, by variant.
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
    """Everything that the paper has both for: UniXcoder's tasks. Its similarities of a task stand for all data sets."""
    names = {spec.paper_name: name for name, spec in TASKS.items()}
    similarity = {names[paper_name]: tuple(values) for paper_name, values in published.similarity().items()}
    found: dict[tuple[str, str], list[published.Published]] = {}
    for row in published.telly_k():
        if "unixcoder" in row.model and row.task in similarity:
            found.setdefault((row.task, row.dataset), []).append(row)
    cases = []
    for (task, dataset), rows in found.items():
        metric = TASKS[task].preset.metric
        quality = {row.variant: row.metrics[metric] for row in rows}
        seconds = {row.variant: row.convergence_seconds for row in rows}
        cases.append(Case(task, dataset, metric, similarity[task], quality, seconds))
    return tuple(cases)


def fit(cases: Sequence[Case], tolerance: float = TOLERANCE) -> float:
    """The share of `SHARES` that loses least beyond the tolerance, on average; of equal ones that which saves most.

    Where several give the same K everywhere, the middle one.
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
    """What the rule says of a case that it was not fitted on.

    Attributes:
        case: what is published.
        share: fitted on the other tasks.
        k: what the rule chose.
    """

    case: Case
    share: float
    k: int


def leave_one_task_out(cases: Sequence[Case], tolerance: float = TOLERANCE) -> list[Scored]:
    """The rule on every case, fitted on the cases of all other tasks."""
    found = []
    for case in cases:
        share = fit([other for other in cases if other.task != case.task], tolerance)
        found.append(Scored(case, share, rule_k(case.similarity, share)))
    return found


@dataclass(frozen=True)
class Expectation:
    """A relative loss of quality against base, and its standard deviation."""

    loss: float
    sd: float


def expected_loss(k: int, chosen: int, layers: int) -> Expectation:
    """What the published cases let expect of a K so many layers above or below what the rule chose.

    Args:
        k: the K in question.
        chosen: the rule's.
        layers: of the model; distances are scaled to the paper's twelve.
    """
    known = _losses_by_distance()
    distance = round((k - chosen) * 12 / layers)
    losses = known[min(max(distance, min(known)), max(known))]
    return Expectation(statistics.fmean(losses), max(MIN_SPREAD, statistics.stdev(losses)))


@cache
def _losses_by_distance() -> dict[int, list[float]]:
    """Losses to base by K less the rule's K, where there are enough cases."""
    found: dict[int, list[float]] = {}
    for case in published_cases():
        chosen = rule_k(case.similarity)
        for k in range(len(case.similarity) - 1):
            found.setdefault(k - chosen, []).append(case.loss_to_base(k))
    return {distance: losses for distance, losses in sorted(found.items()) if len(losses) >= MIN_CASES}
