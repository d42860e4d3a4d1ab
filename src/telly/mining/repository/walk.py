"""The source files of a folder, without those that are ignored, vendored, generated or not regular files.

Links are never followed, so nothing outside the folder is read and no loop is walked. Reading never blocks: pipes
and devices are left out, even if they replace a file after it was listed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from telly.errors import DataError
from telly.mining.python_sources import MAX_FILE_BYTES, is_generated
from telly.mining.repository.ignored import IGNORED, Scope, scope_of
from telly.mining.repository.languages import Language, language_of, unread
from telly.mining.repository.regular import NotRegularError, read_regular

VENDORED = frozenset(
    {
        *("vendor", "_vendor", "_vendored", "vendored", "third_party", "thirdparty", "third-party", "3rdparty"),
        *("extern", "external", "externals", "node_modules", "bower_components", "jspm_packages", "site-packages"),
        *("dist-packages", "Godeps", "Pods", "Carthage", "venv", "env", "virtualenv", "__pypackages__"),
    }
)
BUILT = frozenset({"__pycache__", "dist", "build", "target", "out", "bin", "obj", "_build"})
"""Left out only if neither a repository nor a `.gitignore` tells which folders are build products."""
TESTS = frozenset({"test", "tests", "testing", "__tests__", "spec", "specs", "testdata", "fixtures"})
_TEST_FILE = re.compile(
    r"(?:^test_.*|^conftest|.*_test|.*_spec|.*[.-](?:test|spec)|.*Tests?|.*TestCase|.*Spec)\.[^.]+$"
)
_GENERATED_FILE = re.compile(
    r".*(?:_pb2(?:_grpc)?\.pyi?|\.pb\.(?:go|cc|h)|_pb\.(?:js|rb|d\.ts)|\.pb\.gw\.go|[._-]generated\.\w+|\.g\.cs|\.g\.i\.cs"
    r"|\.designer\.cs|_string\.go|\.gen\.\w+|_gen\.go|^moc_.*|^ui_.*\.h|\.tab\.[ch]|\.d\.ts)$",
    re.IGNORECASE,
)
_MINIFIED_FILE = re.compile(r".*[.-](?:min|bundle|packed)\.\w+$", re.IGNORECASE)
MAX_LINE = 5_000
MAX_MEAN_LINE = 250


@dataclass(frozen=True)
class SourceFile:
    """A file to read: its path under the root with `/`, and its language."""

    path: str
    language: Language


@dataclass(frozen=True)
class SkippedFile:
    """A file or folder that is not read, and the reason."""

    path: str
    reason: str


class UnreadableError(Exception):
    """A file without usable text; the message is the reason."""


def walk(root: Path, *, tests: bool = False) -> Iterator[SourceFile | SkippedFile]:
    """The source files of a folder by path, and files that are left out although they look like sources.

    Notebooks and single-file components are left out with that reason. Other files of no known language are passed
    over in silence, and so are hidden folders.

    Args:
        root: the folder.
        tests: whether to include tests.

    Raises:
        DataError: the folder cannot be listed.
    """
    # A stack instead of recursion, because folders may be nested deeper than calls.
    stack = [_entries(root, "", scope_of(root.resolve()), tests=tests)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, tuple):
                stack.append(_entries(root, *item, tests=tests))
                break
            yield item
        else:
            stack.pop()


def _entries(
    root: Path, folder: str, scope: Scope, *, tests: bool
) -> Iterator[SourceFile | SkippedFile | tuple[str, Scope]]:
    """Entries of a folder in name order; folders to enter come as pairs of path and scope."""
    try:
        with os.scandir(root / folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        if not folder:
            raise DataError(f"{root}: cannot be listed: {error.strerror or error}") from None
        yield SkippedFile(folder, "cannot be read")
        return
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_symlink():
            if language_of(path) is not None or Path(root / path).is_dir():
                yield SkippedFile(path, "a link")
        elif entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith("."):
                reason = _folder_reason(entry.name, path, scope, tests=tests)
                yield SkippedFile(f"{path}/", reason) if reason else (path, scope.enter(path))
        elif (language := language_of(path)) is not None:
            reason = _file_reason(entry, path, scope, tests=tests)
            yield SkippedFile(path, reason) if reason else SourceFile(path, language)
        elif (kind := unread(path)) is not None:
            yield SkippedFile(path, _file_reason(entry, path, scope, tests=tests) or kind)


def _folder_reason(name: str, path: str, scope: Scope, *, tests: bool) -> str | None:
    if reason := scope.leaves_out(path):
        return reason
    if name in VENDORED:
        return "vendored"
    if name in BUILT and not scope.says_what_is_built:
        return "built"
    if name.lower() in TESTS and not tests:
        return "tests"
    return None


def _file_reason(entry: os.DirEntry[str], path: str, scope: Scope, *, tests: bool) -> str | None:
    if not entry.is_file(follow_symlinks=False):
        return "no regular file"
    if scope.ignores(path):
        return IGNORED
    patterns = {"generated": _GENERATED_FILE, "minified": _MINIFIED_FILE, **({} if tests else {"tests": _TEST_FILE})}
    return next((reason for reason, pattern in patterns.items() if pattern.match(entry.name)), None)


def read_text(root: Path, path: str) -> str:
    """The text of a file of the walk.

    Raises:
        UnreadableError: it has no usable text; the message is the reason.
    """
    try:
        raw = read_regular(root / path, MAX_FILE_BYTES + 1)  # one more, to notice a file that is too large
    except NotRegularError:
        raise UnreadableError("no regular file") from None
    except OSError:
        raise UnreadableError("cannot be read") from None
    if len(raw) > MAX_FILE_BYTES:
        raise UnreadableError("larger than 1 MB")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableError("not UTF-8")
    if b"\0" in raw:
        raise UnreadableError("binary")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableError("not UTF-8") from None
    if not text.strip():
        raise UnreadableError("empty")
    lines = text.split("\n")
    if max(map(len, lines)) > MAX_LINE or len(text) / len(lines) > MAX_MEAN_LINE:
        raise UnreadableError("minified")
    if is_generated(text):
        raise UnreadableError("generated")
    return text
