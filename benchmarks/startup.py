"""How long `telly --help` takes, beside Python itself."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.steps import spread

RUNS = 5
COMMANDS = {
    "telly --help": [str(Path(sys.executable).with_name("telly")), "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def measure(runs: int = RUNS) -> dict[str, Any]:
    """Wall seconds from starting a process to its end, by command; an unmeasured first run fills the disk cache.

    Raises:
        CalledProcessError: a command failed.
    """
    found: dict[str, Any] = {}
    for name, command in COMMANDS.items():
        seconds = [_once(command) for _ in range(1 + runs)][1:]
        found[name] = spread(seconds)
    return found


def _once(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
