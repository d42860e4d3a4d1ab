"""`accelerate launch` that ends with the process that started it, even if that one is killed.

python -m telly.studies.accelerated PID OPTION...
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from accelerate.commands import launch

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Launch, unless the parent process has ended already."""
    parent, *options = sys.argv[1:]
    if sys.platform == "linux":  # elsewhere a killed parent leaves its cell running to its end
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(1)
    sys.argv = ["accelerate launch", *options]
    launch.main()


if __name__ == "__main__":
    main()
