"""Peak resident memory of one variant, in a process of its own (see `child`)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.contestants import Contestant, Setting, Variant
from benchmarks.shapes import Load
from telly.training.clocks import PeakMemory

STEPS = 3
"""The first step allocates the optimizer's state, so the second one is the first with everything in memory."""


def measure(folder: str, kind: str, k: int | None, precision: str, load: dict[str, int]) -> dict[str, int]:
    """Load, build the activation cache if the variant has one, then train.

    Returns:
        bytes: `training_peak` of `STEPS` training steps, all else done before; `process_peak` of the whole process,
        with loading the complete model and building the cache. Both hold the libraries and the cache's mapped pages.
    """
    memory = PeakMemory()
    with tempfile.TemporaryDirectory() as work:
        contestant = Contestant(Variant(kind, k), Setting(Path(folder), precision, Load(**load), Path(work)))
        before = memory.bytes()
        memory.reset()
        for _ in range(STEPS):
            contestant.step()
        training = memory.bytes()
    return {"training_peak": training, "process_peak": max(before, training)}
