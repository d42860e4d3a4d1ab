"""Estimated time, memory and disk space of a study's cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from telly.freezing.cost import VariantCost
from telly.freezing.variants import Method
from telly.studies.config import Cell
from telly.tuning.estimate import SAMPLE, peak_memory, training_seconds, variant_costs


@dataclass(frozen=True)
class CellEstimate:
    """Estimated cost of a cell, without evaluation and start-up.

    Attributes:
        seconds: time of training over all epochs, and of the one pass through the frozen layers.
        peak_bytes: peak memory.
        cache_bytes: size of its activation caches; 0 without any.
    """

    seconds: float
    peak_bytes: int
    cache_bytes: int


def estimates(cells: Sequence[Cell]) -> list[CellEstimate]:
    """Estimate every cell; cells of one model and task share the reading of their data.

    Raises:
        DataError, ModelError, ConfigError: as `telly.tuning.estimate.variant_costs`.
    """
    costs: dict[tuple[str, str], dict[int | None, VariantCost]] = {}
    cached_k: dict[tuple[str, str], int] = {}
    cell_estimates = []
    for cell in cells:
        config = cell.config
        if cell.group not in costs:
            costs[cell.group] = {cost.k: cost for cost in variant_costs(config, config.data or SAMPLE)}
            cached_k[cell.group] = 0
        cell_estimates.append(_estimate(cell, costs[cell.group], cached_k[cell.group]))
        if config.k is not None and config.cache:
            cached_k[cell.group] = config.k
    return cell_estimates


def _estimate(cell: Cell, costs: Mapping[int | None, VariantCost], cached_k: int) -> CellEstimate:
    """Estimate a cell; `cached_k` is the highest K whose states an earlier cell leaves."""
    config = cell.config
    layers, head_only = len(costs) - 1, config.method is Method.HEAD_ONLY  # `costs` has base as well
    seconds = training_seconds(costs[config.k], config, cached_k, layers)
    peak = peak_memory(costs[config.k], costs[None], config)
    if not config.cache or (config.k is None and not head_only):
        return CellEstimate(seconds, peak, 0)
    k = layers if head_only else config.k or 0
    cache_bytes = costs[min(k, layers - 1)].cache_bytes
    assert cache_bytes is not None
    return CellEstimate(seconds, peak, cache_bytes)
