"""Several processes that train one model: who decides, who goes first, and waiting for each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")

WAIT_SECONDS = 7 * 24 * 3600
"""How long a process waits for another one: the first process may run the frozen layers for hours."""


def several() -> bool:
    """Whether this run has more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def first_decides(decide: Callable[[], T]) -> T:
    """The first process computes a value; all processes get it."""
    if not several():
        return decide()
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
    """Go on when every process has come here."""
    if several():
        dist.barrier()


@contextmanager
def first_here_goes_first() -> Iterator[None]:
    """The machine's first process runs the body; the others of the machine run it afterwards and find its files."""
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    if not first:
        wait_for_all()
    yield
    if first:
        wait_for_all()
