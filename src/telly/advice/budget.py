"""Budgets and tolerances of a run, as text: `30m`, `2h`, `4GB`; `1%`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from telly.errors import ConfigError

SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
BYTES = {"mb": 10**6, "gb": 10**9}
MAX_TOLERANCE = 0.5
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)
_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


@dataclass(frozen=True)
class RunBudget:
    """Maximum time and memory of a run; None means no limit.

    Attributes:
        seconds: training time, including the frozen layers' single run.
        bytes: peak memory.
    """

    seconds: float | None = None
    bytes: float | None = None


def parse_budget(texts: Sequence[str]) -> RunBudget:
    """Read a time, a size of memory, or one of each.

    Raises:
        ConfigError: a text is neither, is zero, or there are two of a kind.
    """
    limits: dict[str, float] = {}
    for text in texts:
        match = _AMOUNT.fullmatch(text)
        unit = match[2].lower() if match else ""
        if match is None or unit not in SECONDS | BYTES or not float(match[1]):
            raise ConfigError(
                f"--budget: expected a time (30m, 2h; units {', '.join(SECONDS)}) or memory (4GB; units MB, GB), "
                f"found {text!r}"
            )
        kind = "seconds" if unit in SECONDS else "bytes"
        if kind in limits:
            raise ConfigError(f"--budget: {'a time' if kind == 'seconds' else 'memory'} is given twice")
        limits[kind] = float(match[1]) * (SECONDS | BYTES)[unit]
    return RunBudget(**limits)


def parse_tolerance(text: str) -> float:
    """Read a percentage as a ratio.

    Raises:
        ConfigError: the text is not a percentage, or not between 0 and 50 %.
    """
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise ConfigError(f"--tolerance: expected a percentage such as 1% or 0.5%, found {text!r}")
    value = float(match[1]) / 100
    if value > MAX_TOLERANCE:
        raise ConfigError(f"--tolerance: expected 0% to {MAX_TOLERANCE:.0%}, found {text!r}")
    return value


def format_seconds(seconds: float) -> str:
    """Format a time: `40 s`, `12 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def format_bytes(size: float) -> str:
    """Format a size: `850 MB`, `4.2 GB`."""
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
