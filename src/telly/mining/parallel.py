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
"""Work items per process that are submitted before the first result is taken."""


def cores() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(do: Callable[[Work], Result], work: Iterable[Work], workers: int | None = None) -> Iterator[Result]:
    """`map(do, work)` by several processes.

    Args:
        do: a function of a module; its argument and result are sent between processes.
        work: arguments of the calls, taken as they are needed.
        workers: number of processes; 1 works in this process. [default: one per processor]

    Raises:
        DataError: a process died, for instance for lack of memory.
    """
    workers = workers or cores()
    if workers == 1:
        yield from map(do, work)
        return
    pending: deque[Future[Result]] = deque()
    remaining = iter(work)
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of torch's threads
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_interrupts_to_the_parent)
    try:
        pending.extend(pool.submit(do, item) for item in islice(remaining, AHEAD * workers))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(do, item) for item in islice(remaining, 1))
            yield result
    except BrokenProcessPool:
        raise DataError(
            "a process that read sources died, likely for want of memory; try again with fewer processes"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    # The interrupt of a terminal reaches all processes; workers would each print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
