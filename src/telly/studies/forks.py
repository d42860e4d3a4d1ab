"""The server process from which cells are forked: it imports the libraries once and computes nothing."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

PRELOADED = ["telly.tuning.run"]


def fork_context() -> ForkServerContext:
    """The multiprocessing context of the processes of cells."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def start_preloading() -> None:
    """Start the server process without waiting for its imports.

    They take seconds, in which this process can read a study's settings and data.
    """
    fork_context()
    # the server inherits the blocked signal: a Ctrl-C during its imports would end it, and afterwards it ignores it
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
