"""Named clocks that sum to the wall time, and a measure of peak memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

CLOCKS = ("advice", "load", "encode", "prefix", "train", "evaluate", "save", "other")
_SAMPLE_SECONDS = 0.05


class Clocks:
    """Exclusive clocks: opening one pauses the one around it, so they add up to the wall time.

    Time outside all named clocks counts as `other`.
    """

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(CLOCKS, 0.0)
        self._open: list[str] = ["other"]
        self._since = self._started = time.perf_counter()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the body's time under `name`.

        Raises:
            ValueError: `name` is not one of `CLOCKS`.
        """
        if name not in self._seconds:
            raise ValueError(f"unknown clock {name!r}; known: {', '.join(CLOCKS)}")
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def _switch(self) -> None:
        now = time.perf_counter()
        self._seconds[self._open[-1]] += now - self._since
        self._since = now

    def seconds(self) -> dict[str, float]:
        """Seconds by clock until now; they sum to `wall`."""
        self._switch()
        return dict(self._seconds)

    def wall(self) -> float:
        """Seconds since the clocks were made."""
        return time.perf_counter() - self._started


class PeakMemory:
    """Peak resident memory of this process since the last `reset`, in bytes.

    On Linux the kernel keeps the exact peak; elsewhere memory is sampled every 50 ms. Pages of memory-mapped files that
    were read count as resident, so the figure includes pages of an activation cache, although the
    kernel can drop them at any time.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._exact = _reset_kernel_peak()
        self._peak = 0
        if not self._exact:
            threading.Thread(target=self._sample, daemon=True).start()

    def reset(self) -> None:
        """Forget the peak so far."""
        if self._exact:
            _reset_kernel_peak()
        self._peak = 0

    def bytes(self) -> int:
        """Peak resident memory since the last reset, in bytes."""
        if self._exact:
            status = Path("/proc/self/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            return int(line.split()[1]) * 1024
        return max(self._peak, self._process.memory_info().rss)

    def _sample(self) -> None:
        while True:
            self._peak = max(self._peak, self._process.memory_info().rss)
            time.sleep(_SAMPLE_SECONDS)


def _reset_kernel_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return "VmHWM" in Path("/proc/self/status").read_text()
    except OSError:
        return False
