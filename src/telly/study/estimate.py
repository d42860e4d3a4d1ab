"""What a study's cells would take, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from telly.freezing.cost import ADAM_COPIES, BYTES_FP32, PROCESS_BYTES, VariantCost
from telly.freezing.variants import Method
from telly.study.config import Cell
from telly.tuning.estimate import SAMPLE, training_seconds, variant_costs


@dataclass(frozen=True)
class CellEstimate:
    """What a cell takes; evaluation and start-up are not in it.

    Attributes:
        seconds: of training over all epochs, and of running frozen layers once.
        peak_bytes: peak memory.
        cache_bytes: of its store; 0 without one.
    """

    seconds: float
    peak_bytes: int
    cache_bytes: int


def estimates(cells: Sequence[Cell]) -> list[CellEstimate]:
    """One for every cell; cells of one model and task share the reading of their data.

    Raises:
        DataError, ModelError, ConfigError: as `telly.tuning.estimate.variant_costs`.
    """
    costs: dict[tuple[str, str], dict[int | None, VariantCost]] = {}
    stored: dict[tuple[str, str], int] = {}
    found = []
    for cell in cells:
        config = cell.config
        if cell.group not in costs:
            known = variant_costs(config, config.data or SAMPLE)
            costs[cell.group] = {cost.k: cost for cost in known}
            stored[cell.group] = 0
        found.append(_estimate(cell, costs[cell.group], stored[cell.group]))
        if config.k is not None and config.cache:
            stored[cell.group] = config.k
    return found


def _estimate(cell: Cell, costs: Mapping[int | None, VariantCost], stored: int) -> CellEstimate:
    """`stored` is the highest K whose states an earlier cell leaves."""
    config = cell.config
    layers, whole = len(costs) - 1, config.method is Method.HEAD_ONLY
    seconds = training_seconds(costs[config.k], config, stored, layers)
    peak = _peak_bytes(cell, costs)
    if not config.cache or (config.k is None and not whole):
        return CellEstimate(seconds, peak, 0)
    k = layers if whole else config.k or 0
    cache_bytes = costs[min(k, layers - 1)].cache_bytes
    assert cache_bytes is not None
    return CellEstimate(seconds, peak, cache_bytes)


def _peak_bytes(cell: Cell, costs: Mapping[int | None, VariantCost]) -> int:
    """Peak memory: where weights above K are frozen, they have no gradient and no moments."""
    config, cost = cell.config, costs[cell.config.k]
    weights = PROCESS_BYTES + costs[None].trainable * BYTES_FP32
    peak = cost.peak_bytes if config.k is None or not config.cache else cost.peak_bytes_cached
    assert peak is not None
    if config.method is Method.FULL:
        return peak
    if config.method is Method.HEAD_ONLY:
        return weights
    return max(weights, peak - cost.trainable * BYTES_FP32 * ADAM_COPIES)
