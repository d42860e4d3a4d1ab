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

PAGE = ROOT / "docs" / "scaling.md"
BLOCK = "cost"
FUNCTIONS = 10_000_000
TOKENS = 150
"""Of the average function."""
BATCH = 64
DEPTHS = ("6", "9", "11")
MAX_EPOCHS = 100


@dataclass(frozen=True)
class Machine:
    """What computes: operations a second that training reaches, not the data sheet's peak."""

    name: str
    flops: float


@dataclass(frozen=True)
class Disk:
    """What the store lies on: bytes a second."""

    name: str
    rate: float


MACHINES = (
    Machine("2 CPU cores", 0.1e12),
    Machine("small GPU", 25e12),
    Machine("large GPU", 200e12),
    Machine("8 large GPUs", 1600e12),
)
DISKS = (
    Disk("network folder, 0.2 GB/s", 0.2e9),
    Disk("SATA SSD, 0.5 GB/s", 0.5e9),
    Disk("NVMe, 3 GB/s", 3e9),
    Disk("several NVMe, 20 GB/s", 20e9),
)


def main() -> None:
    if not update_readme(PAGE, tables(), BLOCK):
        sys.exit(f"{PAGE.name} has no block {BLOCK!r} to renew")


def tables() -> str:
    """All Markdown of the block."""
    return "\n\n".join((_assumed(), _sizes(), _epochs(), _reading(), _break_even()))


def work() -> Workload:
    """An epoch over all functions, each once; batches of equal lengths have no padding to speak of."""
    tokens = FUNCTIONS * TOKENS
    return Workload(tokens, tokens, BATCH * TOKENS, TOKENS)


def costs(machine: Machine, dtype: StateDtype = StateDtype.BF16) -> dict[str, VariantCost]:
    """The cost model's answer for UniXcoder-base's shape, by variant."""
    shape = model_from_config(RobertaConfig(**UNIXCODER))
    state_bytes = dtype.bytes_per_token(UNIXCODER["hidden_size"]) / UNIXCODER["hidden_size"]
    return {cost.variant: cost for cost in plan_costs(shape, work(), machine.flops, state_bytes)}


def break_even(machine: Machine, disk: Disk, k: str) -> int | None:
    """The fewest epochs in which making the store and reading it takes less time than running the frozen layers."""
    cost = costs(machine)[k]
    assert cost.cache_bytes and cost.epoch_seconds and cost.epoch_seconds_cached
    moved = cost.cache_bytes / disk.rate
    rates = Rates(cost.epoch_seconds - cost.epoch_seconds_cached, moved, moved)
    return next((n for n in range(1, MAX_EPOCHS + 1) if decide(n, rates, False).use), None)


def _assumed() -> str:
    return (
        f"By `telly/freezing/cost.py` for UniXcoder-base's shape (12 layers of width {UNIXCODER['hidden_size']}), "
        f"{FUNCTIONS:,} distinct functions of {TOKENS} tokens, each read once an epoch. **An estimate, not a "
        "measurement**, meant to be right within a factor of two; operations a second are what training reaches, which "
        "is about half of what a data sheet says."
    )


def _sizes() -> str:
    lines = ["| stored as | bytes a token | store, any K |", "|---|---:|---:|"]
    for dtype in StateDtype:
        size = costs(MACHINES[0], dtype)["9"].cache_bytes or 0
        lines.append(f"| {dtype} | {dtype.bytes_per_token(UNIXCODER['hidden_size']):,} | {size / 1e12:.1f} TB |")
    return "\n".join(lines)


def _epochs() -> str:
    head = ["hours of an epoch", "base", *(f"K={k} {how}" for k in DEPTHS for how in ("frozen", "cached"))]
    lines = [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for machine in MACHINES:
        found = costs(machine)
        seconds = [found["base"].epoch_seconds]
        for k in DEPTHS:
            seconds += [found[k].epoch_seconds, found[k].epoch_seconds_cached]
        cells = (f"{(second or 0) / 3600:,.3g}" for second in seconds)
        lines.append(f"| {machine.name}, {machine.flops / 1e12:g} TFLOP/s | {' | '.join(cells)} |")
    return "\n".join(lines)


def _reading() -> str:
    head = ["GB/s that training reads, bf16", *(f"K={k}" for k in DEPTHS)]
    lines = [f"| {' | '.join(head)} |", "|---" + "|---:" * len(DEPTHS) + "|"]
    for machine in MACHINES:
        found = costs(machine)
        rates = ((found[k].cache_bytes or 0) / (found[k].epoch_seconds_cached or 1) / 1e9 for k in DEPTHS)
        lines.append(f"| {machine.name} | {' | '.join(f'{rate:,.2g}' for rate in rates)} |")
    return "\n".join(lines)


def _break_even() -> str:
    head = ["epochs from which the store of K=9 pays, bf16", *(disk.name for disk in DISKS)]
    lines = [f"| {' | '.join(head)} |", "|---" + "|---:" * len(DISKS) + "|"]
    for machine in MACHINES:
        cells = [str(break_even(machine, disk, "9") or "never") for disk in DISKS]
        lines.append(f"| {machine.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
