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
    """Tracked paths, as bytes with `/`, relative to one folder.

    Attributes:
        fold: whether case is ignored; paths are stored in lower case then.
        files: tracked files.
        folders: folders with tracked files or submodules in them.
        submodules: folders of submodules.
    """

    fold: bool = False
    files: set[bytes] = field(default_factory=set)
    folders: set[bytes] = field(default_factory=set)
    submodules: set[bytes] = field(default_factory=set)

    def key(self, path: bytes) -> bytes:
        """A path as it is stored here."""
        return path.lower() if self.fold else path

    def add(self, path: bytes, *, submodule: bool = False) -> None:
        """Add a file, or the folder of a submodule."""
        path = self.key(path)
        (self.submodules if submodule else self.files).add(path)
        # A folder that is known has all its parents already.
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
        object_bytes: length of object names: 20 for SHA-1, 32 for SHA-256.
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
    """Read the entries of an index; return the name of the shared index that it extends, or a blank."""
    content = read_regular(file, MAX_BYTES)
    signature, version, count = struct.unpack_from(">4sII", content)
    if signature != b"DIRC" or version not in (2, 3, 4):
        raise ValueError("no index of a known version")
    at, path = 12, b""
    for _ in range(count):
        (mode,) = struct.unpack_from(">I", content, at + _MODE_AT)
        (flags,) = struct.unpack_from(">H", content, at + _OBJECT_AT + object_bytes)
        start = at + _OBJECT_AT + object_bytes + (4 if flags & _EXTENDED else 2)
        if version == 4:  # a path is given by the bytes to drop from the end of the one before, and what follows
            dropped_bytes, start = _varint(content, start)
            prefix = path[: len(path) - dropped_bytes]
        else:
            prefix = b""
        end = content.index(b"\0", start)
        path = prefix + content[start:end]
        at = end + 1 if version == 4 else end + 8 - (end - at) % 8  # padded to a multiple of 8, by 1 byte at least
        if path and not stat.S_ISDIR(mode):  # folders are entries of a sparse index
            tracked.add(path, submodule=is_submodule(mode))
    return _shared(content, at, object_bytes)


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number of variable length in git's offset encoding, and its end."""
    byte = content[at]
    value = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = content[at]
        # Plus one, so that no number has two encodings.
        value = (value + 1) << 7 | byte & 0x7F
    return value, at + 1


def _shared(content: bytes, at: int, object_bytes: int) -> str:
    """The name of the shared index in the extension `link`; blank if there is none."""
    while at + 8 <= len(content) - object_bytes:
        name, size = struct.unpack_from(">4sI", content, at)
        if name == b"link":
            return content[at + 8 : at + 8 + object_bytes].hex()
        at += 8 + size
    return ""
