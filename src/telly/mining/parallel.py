"""Work over several processes whose results come in the order of the work, few of them in memory at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from telly.errors import DataError

Work = TypeVar("Work")
Result = TypeVar("Result")

AHEAD = 4
"""Pieces of work for each process that are given out before the first result is taken."""


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(do: Callable[[Work], Result], work: Iterable[Work], workers: int | None = None) -> Iterator[Result]:
    """`map(do, work)` by several processes.

    Args:
        do: a function of a module; its work and results are pickled.
        work: taken as it is needed.
        workers: how many processes; 1 works in this one. [default: one a processor]

    Raises:
        DataError: a process died, of too little memory for instance.
    """
    workers = workers or cores()
    if workers == 1:
        yield from map(do, work)
        return
    waiting: deque[Future[Result]] = deque()
    left = iter(work)
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of torch's threads
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_interrupts_to_the_parent)
    try:
        waiting.extend(pool.submit(do, item) for item in islice(left, AHEAD * workers))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(do, item) for item in islice(left, 1))
            yield result
    except BrokenProcessPool:
        raise DataError(
            "a process that read sources died, likely for want of memory; try again with fewer processes"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
