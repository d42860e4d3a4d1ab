"""Reading regular files without waiting: a pipe or a device is refused, also if it took the file's place just now."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class NotRegularError(OSError):
    """The path names a pipe, a device or a socket."""


def read_regular(path: Path, most: int, *, follow: bool = False) -> bytes:
    """The first bytes of a regular file.

    Args:
        path: the file.
        most: how many bytes at most.
        follow: whether a symbolic link is followed instead of refused.

    Raises:
        NotRegularError: the path names something other than a regular file.
        OSError: the file cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(path, flags), "rb") as stream:  # noqa: PTH123 - Path.open takes no flags
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise NotRegularError("not a regular file")
        return stream.read(most)
