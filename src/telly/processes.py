"""Coordination of several processes that train one model: deciding, taking turns and waiting."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")

WAIT_SECONDS = 7 * 24 * 3600
"""Timeout of one process waiting for another: the first may run the frozen layers for hours."""


def several() -> bool:
    """Return whether this run has more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def first_decides(decide: Callable[[], T]) -> T:
    """Compute a value in the first process and return it in all."""
    if not several():
        return decide()
    # broadcast_object_list replaces the list's items in place: the other processes pass an empty slot.
    box: list[Any] = [decide() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(box, src=0)
    value: T = box[0]
    return value


def mean_over_processes(value: torch.Tensor) -> torch.Tensor:
    """The mean of the processes' values, without gradient."""
    value = value.detach().clone()
    if several():
        dist.all_reduce(value)
        value /= dist.get_world_size()
    return value


def wait_for_all() -> None:
    """Block until every process has reached this call."""
    if several():
        dist.barrier()


@contextmanager
def first_here_goes_first() -> Iterator[None]:
    """Run the body in this machine's first process, then in its others, which find the first one's files."""
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    if not first:
        wait_for_all()
    yield
    if first:
        wait_for_all()


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn a termination signal into the same orderly end as Ctrl-C."""

    def stop(_signal: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
