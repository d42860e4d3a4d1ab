"""What a study's cells would take, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from telly.freezing.cost import VariantCost
from telly.study.config import Cell
from telly.tuning.estimate import SAMPLE, training_seconds, variant_costs


@dataclass(frozen=True)
class CellEstimate:
    """What a cell takes; evaluation and start-up are not in it.

    Attributes:
        seconds: of training over all epochs, and of running frozen layers once.
        peak_bytes: peak memory.
        store_bytes: of its store; 0 without one.
    """

    seconds: float
    peak_bytes: int
    store_bytes: int


def estimates(cells: Sequence[Cell]) -> list[CellEstimate]:
    """One for every cell; cells of one model and task share the reading of their data.

    Raises:
        DataError, ModelError, ConfigError: as `telly.tuning.estimate.variant_costs`.
    """
    costs: dict[tuple[str, str], dict[str, VariantCost]] = {}
    stored: dict[tuple[str, str], int] = {}
    found = []
    for cell in cells:
        config = cell.config
        if cell.group not in costs:
            known = variant_costs(config, config.data or SAMPLE)
            costs[cell.group] = {cost.variant: cost for cost in known}
            stored[cell.group] = 0
        cost = costs[cell.group][config.freeze]
        found.append(_estimate(cell, cost, stored[cell.group]))
        if config.k is not None and config.cache:
            stored[cell.group] = config.k
    return found


def _estimate(cell: Cell, cost: VariantCost, stored: int) -> CellEstimate:
    """`stored` is the highest K whose states an earlier cell leaves."""
    assert cost.peak_bytes is not None
    seconds = training_seconds(cost, cell.config, stored)
    if cell.config.k is None or not cell.config.cache:
        return CellEstimate(seconds, cost.peak_bytes, 0)
    assert cost.peak_bytes_cached is not None and cost.store_bytes is not None
    return CellEstimate(seconds, cost.peak_bytes_cached, cost.store_bytes)
