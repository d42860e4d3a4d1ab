"""Write the tables of docs/scaling.md: what 10 million functions cost by the cost model. Nothing is measured here.

python benchmarks/scaling.py
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from transformers import RobertaConfig

from benchmarks.shapes import ROOT, UNIXCODER
from benchmarks.table import update_readme
from telly.freezing.cost import Rates, VariantCost, Workload, decide, plan_costs
from telly.freezing.states import StateDtype
from telly.models.load import model_from_config
from telly.models.stack import find_stack

PAGE = ROOT / "docs" / "scaling.md"
BLOCK = "cost"
FUNCTIONS = 10_000_000
TOKENS = 150
"""Of the average function."""
BATCH = 64
K = "9"
MAX_EPOCHS = 100


@dataclass(frozen=True)
class Machine:
    """A processor, and the operations per second that training reaches on it (not the data sheet's peak)."""

    name: str
    flops: float


@dataclass(frozen=True)
class Disk:
    """A disk for the activation cache, and its bytes per second."""

    name: str
    rate: float


MACHINES = (
    Machine("2 CPU cores", 0.1e12),
    Machine("small GPU", 25e12),
    Machine("large GPU", 200e12),
)
DISKS = (
    Disk("network folder, 0.2 GB/s", 0.2e9),
    Disk("SATA SSD, 0.5 GB/s", 0.5e9),
    Disk("NVMe, 3 GB/s", 3e9),
)


def main() -> None:
    if not update_readme(PAGE, tables(), BLOCK):
        sys.exit(f"{PAGE.name} has no block {BLOCK!r} to renew")


def tables() -> str:
    """The block's Markdown."""
    return "\n\n".join((_assumed(), _table()))


def work() -> Workload:
    """An epoch over all functions, each once; batches of equal lengths have no padding to speak of."""
    tokens = FUNCTIONS * TOKENS
    return Workload(tokens, tokens, BATCH * TOKENS, TOKENS)


def costs(machine: Machine, dtype: StateDtype = StateDtype.BF16) -> dict[str, VariantCost]:
    """The cost model's answer for UniXcoder-base's shape, by variant."""
    shape = find_stack(model_from_config(RobertaConfig(**UNIXCODER)))
    state_bytes = dtype.bytes_per_token(UNIXCODER["hidden_size"]) / UNIXCODER["hidden_size"]
    return {cost.variant: cost for cost in plan_costs(shape, work(), machine.flops, state_bytes)}


def break_even(machine: Machine, disk: Disk, k: str) -> int | None:
    """The fewest epochs in which building the cache and reading it take less time than running the frozen layers."""
    cost = costs(machine)[k]
    assert cost.cache_bytes and cost.epoch_seconds and cost.epoch_seconds_cached
    moved = cost.cache_bytes / disk.rate
    rates = Rates(cost.epoch_seconds - cost.epoch_seconds_cached, moved, moved)
    return next((n for n in range(1, MAX_EPOCHS + 1) if decide(n, rates, False).use), None)


def _assumed() -> str:
    sizes = [f"{(costs(MACHINES[0], dtype)[K].cache_bytes or 0) / 1e12:.1f} TB as {dtype}" for dtype in StateDtype]
    return (
        f"**Estimated, not measured**, by `telly/freezing/cost.py`, meant to be right within a factor of two: "
        f"UniXcoder-base's shape, {FUNCTIONS:,} distinct functions of {TOKENS} tokens, K={K}. The activation cache "
        f"takes {', '.join(sizes)}, whatever K is. Operations per second are those that training reaches, about half "
        "of the data sheet's. Last columns: from how many epochs on the cache pays on that disk."
    )


def _table() -> str:
    """One row per machine: hours of an epoch, the rate at which it reads the cache, and when the cache pays."""
    heads = ["machine", "base, hours per epoch", "frozen", "cached", "reads, GB/s",
             *(disk.name for disk in DISKS)]  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for machine in MACHINES:
        found = costs(machine)
        cached = found[K].epoch_seconds_cached or 1
        cells = [
            *(_hours(seconds or 0) for seconds in (found["base"].epoch_seconds, found[K].epoch_seconds, cached)),
            f"{(found[K].cache_bytes or 0) / cached / 1e9:,.2g}",
            *(str(break_even(machine, disk, K) or "never") for disk in DISKS),
        ]
        lines.append(f"| {machine.name}, {machine.flops / 1e12:g} TFLOP/s | {' | '.join(cells)} |")
    return "\n".join(lines)


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


if __name__ == "__main__":
    main()
