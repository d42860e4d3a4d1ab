"""`accelerate launch` that ends with its parent process, even if the parent is killed.

python -m telly.studies.accelerated PID OPTION...
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from accelerate.commands import launch

PR_SET_PDEATHSIG = 1
"""Option of Linux's `prctl`: the signal that a process gets when its parent ends."""


def main() -> None:
    """Launch, unless the parent process has ended already."""
    parent, *options = sys.argv[1:]
    if sys.platform == "linux":  # elsewhere a killed parent leaves its cell running to its end
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it ended before `prctl` took effect
        sys.exit(1)
    sys.argv = ["accelerate launch", *options]
    launch.main()


if __name__ == "__main__":
    main()
