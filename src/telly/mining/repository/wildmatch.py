"""Git's glob patterns as regular expressions over bytes.

Git matches with its own `wildmatch`, which differs from `fnmatch` in many corners: `**` between slashes, escapes and
POSIX classes in brackets, ranges, upper and lower case. No library reproduces all of them, so they are translated here.
The regular expressions never backtrack from one wildcard into an earlier one, so that no pattern takes exponential
time: after a wildcard, the leftmost match of the text up to the next wildcard is always sufficient.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass, field

Matcher = Callable[[bytes], bool]
"""A test whether a pattern matches a whole name or path."""

SPECIAL = frozenset(b"*?[\\")
_SLASH = ord("/")
_SPACE = frozenset(b"\t\n\r ")
_PRINTABLE = frozenset(range(0x20, 0x7F))
_CLASSES: dict[bytes, frozenset[int]] = {
    b"alnum": frozenset(map(ord, string.ascii_letters + string.digits)),
    b"alpha": frozenset(map(ord, string.ascii_letters)),
    b"blank": frozenset(b" \t"),
    b"cntrl": frozenset(range(0x20)) | {0x7F},
    b"digit": frozenset(map(ord, string.digits)),
    b"graph": _PRINTABLE - _SPACE,
    b"lower": frozenset(map(ord, string.ascii_lowercase)),
    b"print": _PRINTABLE,
    b"punct": frozenset(map(ord, string.punctuation)),
    b"space": _SPACE,
    b"upper": frozenset(map(ord, string.ascii_uppercase)),
    b"xdigit": frozenset(map(ord, string.hexdigits)),
}
_LOWER = _CLASSES[b"lower"]

_ANY_FOLDERS, _SOME_FOLDERS, _NO_FOLDERS = rb"(?:[^/]*/)*?", rb"(?:[^/]*/)+?", b""
"""Meanings of `**`: any number of folders, at least one folder, or none because there is no `**`."""


class NeverMatchesError(Exception):
    """A malformed pattern, which git passes over."""


def matcher(pattern: bytes, *, path: bool, fold: bool = False) -> Matcher:
    """Translate a pattern.

    Args:
        pattern: the pattern.
        path: whether a slash is matched by a slash or `**` alone, as in paths.
        fold: whether upper and lower case of ASCII letters are the same.
    """
    try:
        expression = re.compile(_Translation(pattern, path=path, fold=fold).expression(), re.DOTALL)
    except NeverMatchesError:
        expression = re.compile(b"(?!)")
    return lambda text: expression.fullmatch(text) is not None


@dataclass
class _Segment:
    """Components of a path between two `**`; a component is a list of chunks between two `*`."""

    before: bytes
    components: list[list[bytes]] = field(default_factory=lambda: [[b""]])


class _Translation:
    def __init__(self, pattern: bytes, *, path: bool, fold: bool) -> None:
        self.pattern, self.path, self.fold = pattern, path, fold
        self.groups = [_Segment(_NO_FOLDERS)]
        self.anything_after = False

    def expression(self) -> bytes:
        self._read()
        # Groups are separated by `**`. Only the last one may need backtracking: where an earlier group first matches is
        # as good as any later place, so it becomes an atomic group.
        *middle, last = self.groups
        parts = [_middle(group) for group in middle]
        parts.append(last.before + b"/".join(map(_component, last.components)))
        return b"".join(parts) + (b".*" if self.anything_after else b"")

    def _read(self) -> None:
        pattern, at = self.pattern, 0
        while at < len(pattern):
            byte = pattern[at]
            if byte == ord("*"):
                at = self._stars(at)
                continue
            if byte == ord("?"):
                at += 1
                self._add(b"[^/]" if self.path else b".")
            elif byte == ord("["):
                members, at = self._bracket(at + 1)
                self._add(_class(members - {_SLASH} if self.path else members))
            else:
                escaped = byte == ord("\\")
                at += escaped
                if at == len(pattern):
                    raise NeverMatchesError
                self._literal(pattern[at], escaped=escaped)
                at += 1

    def _add(self, chunk: bytes) -> None:
        self.groups[-1].components[-1][-1] += chunk

    def _literal(self, byte: int, *, escaped: bool) -> None:
        if byte == _SLASH and self.path:
            self.groups[-1].components.append([b""])
        elif self.fold and bytes((byte,)).isupper():
            # git folds the text and the pattern, but not an escaped letter of the pattern, which then matches nothing
            self._add(_class(frozenset()) if escaped else _class(self._preimage({byte | 0x20})))
        else:
            self._add(_class(self._preimage({byte})))

    def _preimage(self, members: set[int] | frozenset[int]) -> frozenset[int]:
        """The bytes that are among the members once git has folded them."""
        if not self.fold:
            return frozenset(members)
        return frozenset(byte for byte in range(1, 256) if bytes((byte,)).lower()[0] in members)

    def _stars(self, at: int) -> int:
        """Read a run of stars that begins at `at`; return its end."""
        pattern, end = self.pattern, at
        while pattern[end : end + 1] == b"*":
            end += 1
        after = pattern[end : end + 2]
        at_start = at == 0 or pattern[at - 1] == _SLASH
        # `**` crosses folders only as a whole component: after a slash or at the start, before a slash or the end.
        double = self.path and end - at > 1 and at_start and (after[:1] in (b"", b"/") or after == b"\\/")
        if not double:
            self.groups[-1].components[-1].append(b"")
            return end
        if not after:
            self.anything_after = True
            return end
        self.groups[-1].components.pop()  # the empty one after the last slash
        self.groups.append(_Segment(_SOME_FOLDERS if after[:1] == b"\\" else _ANY_FOLDERS))
        return end + (2 if after[:1] == b"\\" else 1)

    def _bracket(self, at: int) -> tuple[frozenset[int], int]:
        """The bytes that a bracket expression matches, and where it ends."""
        pattern = self.pattern
        # `previous` is the character that a `-` may extend to a range; 0 after a range or a class, as in git.
        negated = pattern[at : at + 1] in (b"!", b"^")
        at += negated
        members: set[int] = set()
        previous, first = 0, True
        while first or pattern[at : at + 1] != b"]":
            first = False
            byte, after = _byte(pattern, at), pattern[at + 1 : at + 2]
            if byte == ord("\\"):
                at += 1
                byte = _byte(pattern, at)
                members.add(byte)
                previous = byte
            elif byte == ord("-") and previous and after not in (b"", b"]"):
                at += 1
                if _byte(pattern, at) == ord("\\"):
                    at += 1
                members |= self._range(previous, _byte(pattern, at))
                previous = 0
            elif byte == ord("[") and after == b":":
                end = pattern.find(b"]", at + 2)
                if end < 0:
                    raise NeverMatchesError
                if pattern[at + 2 : end].endswith(b":"):
                    members |= self._named(pattern[at + 2 : end - 1])
                    previous, at = 0, end
                else:
                    members.add(byte)
                    previous = byte
            else:
                members.add(byte)
                previous = byte
            at += 1
        matched = self._preimage(members)
        return frozenset(range(1, 256)) - matched if negated else matched, at + 1

    def _range(self, start: int, end: int) -> frozenset[int]:
        members = frozenset(range(start, end + 1))
        return members | {byte for byte in _LOWER if byte - 0x20 in members} if self.fold else members

    def _named(self, name: bytes) -> frozenset[int]:
        if name not in _CLASSES:
            raise NeverMatchesError
        return _CLASSES[name] | _LOWER if name == b"upper" and self.fold else _CLASSES[name]


def _byte(pattern: bytes, at: int) -> int:
    if at >= len(pattern):
        raise NeverMatchesError
    return pattern[at]


def _class(members: frozenset[int]) -> bytes:
    """A regular expression for one of several bytes."""
    if not members:
        return b"(?!)"
    if len(members) == 1:
        return re.escape(bytes(members))
    return b"[" + b"".join(b"\\x%02x" % byte for byte in sorted(members)) + b"]"


def _component(chunks: list[bytes]) -> bytes:
    """A component of a path; every `*` but the last takes as little as the next chunk allows."""
    first, *rest = chunks
    if not rest:
        return first
    middle = b"".join(b"(?>[^/]*?" + chunk + b")" for chunk in rest[:-1] if chunk)
    return first + middle + b"[^/]*" + rest[-1]


def _middle(group: _Segment) -> bytes:
    """Components before a `**`: their first match is as good as any later one."""
    text = b"".join(_component(component) + b"/" for component in group.components)
    return b"(?>" + group.before + text + b")" if text or group.before else b""
