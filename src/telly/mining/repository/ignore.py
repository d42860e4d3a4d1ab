"""Ignore files and their patterns, read as git reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from telly.mining.repository.regular import read_regular
from telly.mining.repository.wildmatch import SPECIAL, matcher

IGNORE_FILE = ".gitignore"
MAX_BYTES = 100 << 20
"""Git passes over ignore files that are larger."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Pattern:
    """A line of an ignore file.

    Attributes:
        ignores: whether it ignores what it matches, or re-includes it (`!`).
        folders_only: whether it matches folders alone.
        by_name: whether it is compared with the last part of a path alone.
        matches: test of such a name, or of the path relative to the ignore file's folder.
    """

    ignores: bool
    folders_only: bool
    by_name: bool
    matches: Callable[[bytes], bool]


@dataclass(frozen=True)
class IgnoreFile:
    """The patterns of an ignore file.

    Attributes:
        base: the folder to which they are relative: blank, or a path that ends in a slash.
        patterns: patterns in order; the last that matches decides.
    """

    base: bytes
    patterns: tuple[Pattern, ...]

    def ignores(self, path: bytes, *, folder: bool) -> bool | None:
        """Return whether a path is ignored; None if no pattern matches it."""
        inside = path[len(self.base) :]
        name = inside[inside.rfind(b"/") + 1 :]
        for pattern in reversed(self.patterns):
            if (folder or not pattern.folders_only) and pattern.matches(name if pattern.by_name else inside):
                return pattern.ignores
        return None


def read_ignore_file(file: Path, base: bytes, *, fold: bool, follow: bool) -> IgnoreFile | None:
    """Read an ignore file.

    Args:
        file: the file.
        base: the folder to which its patterns are relative, as in `IgnoreFile`.
        fold: whether case is ignored.
        follow: whether to follow a symbolic link; git does so only outside of the working tree.

    Returns:
        None if there is no such regular file, or it cannot be read.
    """
    try:
        content = read_regular(file, MAX_BYTES + 1, follow=follow)
    except OSError:
        return None
    return None if len(content) > MAX_BYTES else IgnoreFile(base, patterns_of(content, fold=fold))


def patterns_of(content: bytes, *, fold: bool = False) -> tuple[Pattern, ...]:
    """The patterns of an ignore file's content."""
    lines = (content.removeprefix(_BOM) + b"\n").split(b"\n")[:-1]
    patterns = (_pattern(line, fold=fold) for line in lines if line and not line.startswith(b"#"))
    return tuple(pattern for pattern in patterns if pattern is not None)


def _pattern(line: bytes, *, fold: bool) -> Pattern | None:
    """The pattern of a line; None if it cannot match anything."""
    # git reads a line as a C string, which ends at a NUL
    text = _without_trailing_spaces(line.removesuffix(b"\r").partition(b"\0")[0])
    ignores = not text.startswith(b"!")
    text = text.removeprefix(b"!")
    folders_only = text.endswith(b"/")
    text = text.removesuffix(b"/")
    by_name = b"/" not in text
    matches = _by_name(text, fold=fold) if by_name else _by_path(text, fold=fold)
    return Pattern(ignores, folders_only, by_name, matches) if text else None


def _without_trailing_spaces(text: bytes) -> bytes:
    """A line up to the unescaped spaces at its end; one that ends in a lone backslash keeps all of them."""
    spaces: int | None = None
    at = 0
    while at < len(text):
        if text[at] == ord(" "):
            spaces = at if spaces is None else spaces
        else:
            spaces = None
            if text[at] == ord("\\"):
                at += 1
                if at == len(text):
                    return text
        at += 1
    return text if spaces is None else text[:spaces]


def _literal_length(text: bytes) -> int:
    return next((at for at, byte in enumerate(text) if byte in SPECIAL), len(text))


def _by_name(text: bytes, *, fold: bool) -> Callable[[bytes], bool]:
    # Most patterns are plain names or `*.suffix`, which are compared directly: regular expressions take longer.
    if _literal_length(text) == len(text):
        return _equal(text, fold=fold)
    if text.startswith(b"*") and _literal_length(text[1:]) == len(text) - 1:
        return _ending(text[1:], fold=fold)
    return matcher(text, path=False, fold=fold)


def _by_path(text: bytes, *, fold: bool) -> Callable[[bytes], bool]:
    """A matcher of paths; git compares the text before the first wildcard, and gives only the rest to wildmatch."""
    text = text.removeprefix(b"/")
    length = _literal_length(text)
    if length == len(text):
        return _equal(text, fold=fold)
    literal = text[:length].lower() if fold else text[:length]
    rest = matcher(text[length:], path=True, fold=fold)

    def matches(path: bytes) -> bool:
        start = path[:length].lower() if fold else path[:length]
        return start == literal and rest(path[length:])

    return matches


def _equal(text: bytes, *, fold: bool) -> Callable[[bytes], bool]:
    if fold:
        return lambda name: name.lower() == text.lower()
    return text.__eq__


def _ending(text: bytes, *, fold: bool) -> Callable[[bytes], bool]:
    if fold:
        return lambda name: name.lower().endswith(text.lower())
    return lambda name: name.endswith(text)
