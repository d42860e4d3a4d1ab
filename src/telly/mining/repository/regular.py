"""Reading regular files without waiting: a pipe or a device is refused, even if it replaced the file a moment ago."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class NotRegularError(OSError):
    """The path names a pipe, a device or a socket."""


def read_regular(path: Path, max_bytes: int, *, follow: bool = False) -> bytes:
    """The first bytes of a regular file.

    Args:
        path: the file.
        max_bytes: maximum number of bytes to read.
        follow: whether to follow a symbolic link instead of refusing it.

    Raises:
        NotRegularError: the path names something other than a regular file.
        OSError: the file cannot be read.
    """
    # Without O_NONBLOCK, opening a pipe would wait for a writer. The type is checked on the open file, so that nothing
    # can take its place between the check and the reading.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(path, flags), "rb") as stream:  # noqa: PTH123 - Path.open takes no flags
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise NotRegularError("not a regular file")
        return stream.read(max_bytes)
