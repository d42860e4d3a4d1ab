"""The process from which cells are forked: it imports the libraries once and computes nothing."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

PRELOADED = ["telly.tuning.run"]


def fork_context() -> ForkServerContext:
    """The multiprocessing context in which processes of cells are started."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def begin_to_import() -> None:
    """Start the process from which cells are forked, without waiting for its imports.

    They take seconds: this process can read a study's settings and data meanwhile.
    """
    fork_context()
    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT}
    )  # it heeds none once it has imported, nor do cells
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
