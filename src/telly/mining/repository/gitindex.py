"""Tracked files according to a git index, read without git; tracked files are never ignored."""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path

from telly.mining.repository.regular import read_regular

MAX_BYTES = 1 << 30
_SUBMODULE = 0o160000
_MODE_AT, _OBJECT_AT = 24, 40
"""Offsets of mode and object name in an entry; 16 bits of flags and the path follow the object name."""
_EXTENDED = 0x4000


@dataclass
class Tracked:
    """Tracked paths, as bytes with `/`, from one folder on.

    Attributes:
        fold: whether upper and lower case are the same; paths are in lower case then.
        files: tracked files.
        folders: folders with tracked files or submodules in them.
        submodules: folders of submodules.
    """

    fold: bool = False
    files: set[bytes] = field(default_factory=set)
    folders: set[bytes] = field(default_factory=set)
    submodules: set[bytes] = field(default_factory=set)

    def key(self, path: bytes) -> bytes:
        """A path as it is kept here."""
        return path.lower() if self.fold else path

    def add(self, path: bytes, *, submodule: bool = False) -> None:
        """Count in a file, or the folder of a submodule."""
        path = self.key(path)
        (self.submodules if submodule else self.files).add(path)
        end = path.rfind(b"/")
        while end > 0 and path[:end] not in self.folders:
            self.folders.add(path[:end])
            end = path.rfind(b"/", 0, end)


def is_submodule(mode: int) -> bool:
    """Return whether an entry's mode says that it is a submodule."""
    return stat.S_IFMT(mode) == _SUBMODULE


def read_index(file: Path, *, fold: bool = False, object_bytes: int = 20) -> Tracked:
    """Paths that an index tracks; none if it cannot be read.

    Args:
        file: the index.
        fold: as in `Tracked`.
        object_bytes: how long the names of objects are: 20 for SHA-1, 32 for SHA-256.
    """
    tracked = Tracked(fold)
    try:
        shared = _read(file, object_bytes, tracked)
        if shared:
            _read(file.parent / f"sharedindex.{shared}", object_bytes, tracked)
    except (OSError, ValueError, IndexError, struct.error):
        return Tracked(fold)
    return tracked


def _read(file: Path, object_bytes: int, tracked: Tracked) -> str:
    """Read the entries of an index; returns the name of the shared index that it adds to, blank where there is none."""
    content = read_regular(file, MAX_BYTES)
    signature, version, count = struct.unpack_from(">4sII", content)
    if signature != b"DIRC" or version not in (2, 3, 4):
        raise ValueError("no index of a known version")
    at, path = 12, b""
    for _ in range(count):
        (mode,) = struct.unpack_from(">I", content, at + _MODE_AT)
        (flags,) = struct.unpack_from(">H", content, at + _OBJECT_AT + object_bytes)
        start = at + _OBJECT_AT + object_bytes + (4 if flags & _EXTENDED else 2)
        if version == 4:
            dropped, start = _number(content, start)
            kept = path[: len(path) - dropped]
        else:
            kept = b""
        end = content.index(b"\0", start)
        path = kept + content[start:end]
        at = end + 1 if version == 4 else end + 8 - (end - at) % 8
        if path and not stat.S_ISDIR(mode):
            tracked.add(path, submodule=is_submodule(mode))
    return _shared(content, at, object_bytes)


def _number(content: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    byte = content[at]
    value = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = content[at]
        value = (value + 1) << 7 | byte & 0x7F
    return value, at + 1


def _shared(content: bytes, at: int, object_bytes: int) -> str:
    while at + 8 <= len(content) - object_bytes:
        name, size = struct.unpack_from(">4sI", content, at)
        if name == b"link":
            return content[at + 8 : at + 8 + object_bytes].hex()
        at += 8 + size
    return ""
