"""Measuring in a fresh process, so that one variant's memory and warm libraries do not show in the next one's."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.shapes import ROOT

ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}
"""All is measured on the CPU, as the targets are stated."""


def say(text: str) -> None:
    """A line about what is being measured, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def in_child(module: str, task: dict[str, Any]) -> dict[str, Any]:
    """What `benchmarks.<module>.measure(**task)` returns in a process of its own; its standard error is shown.

    Raises:
        CalledProcessError: measuring failed; what went wrong was printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "benchmarks.child", module, json.dumps(task), str(answer)]
        subprocess.run(command, cwd=ROOT, env=os.environ | ENVIRONMENT, check=True)
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def telly(*words: object) -> float:
    """Run a command of telly; its wall time in seconds, with the start of the process.

    Raises:
        CalledProcessError: it failed; what went wrong was printed.
    """
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "telly", *map(str, words)], check=True)
    return time.perf_counter() - started


def main() -> None:
    module, task, answer = sys.argv[1:]
    result = importlib.import_module(f"benchmarks.{module}").measure(**json.loads(task))
    Path(answer).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
