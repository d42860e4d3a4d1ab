"""The source files of a folder, without those that are ignored, vendored, generated or no files at all.

Links are never followed, so nothing outside the folder is read and no loop is walked. Reading waits for nothing: pipes
and devices are left out, also if they take a file's place after it was listed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telly.data.mining import MAX_FILE_BYTES, is_generated
from telly.data.repository.languages import Language, language_of, unread
from telly.errors import DataError

VENDORED = frozenset(
    {
        *("vendor", "_vendor", "_vendored", "vendored", "third_party", "thirdparty", "third-party", "3rdparty"),
        *("extern", "external", "externals", "node_modules", "bower_components", "jspm_packages", "site-packages"),
        *("dist-packages", "Godeps", "Pods", "Carthage", "venv", "env", "virtualenv", "__pypackages__"),
    }
)
BUILT = frozenset({"__pycache__", "dist", "build", "target", "out", "bin", "obj", "_build"})
"""Left out only where there is no `.gitignore` that says what is built."""
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
_GIT_LINK = ".git"


@dataclass(frozen=True)
class SourceFile:
    """A file to read: its path under the root with `/`, and its language."""

    path: str
    language: Language


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is not read, and why."""

    path: str
    reason: str


class UnreadableError(Exception):
    """Why a file's text cannot be used."""


def walk(root: Path, *, tests: bool = False) -> Iterator[SourceFile | Skipped]:
    """The source files of a folder by path, and what else looks like one.

    Notebooks and single-file components are left out with that reason. Other files of no known language are passed
    over in silence, and so are hidden folders.

    Args:
        root: the folder.
        tests: whether tests are wanted.

    Raises:
        DataError: the folder cannot be listed, or pathspec is not installed.
    """
    rules = _above(root)
    yield from _folder(root, "", rules, tests=tests)


def _folder(root: Path, start: str, rules: list[_Rules], *, tests: bool) -> Iterator[SourceFile | Skipped]:
    """With a stack instead of recursion: folders may be nested deeper than calls can be."""
    stack: list[Iterator[SourceFile | Skipped | tuple[str, list[_Rules]]]] = [_entries(root, start, rules, tests=tests)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, tuple):
                stack.append(_entries(root, *item, tests=tests))
                break
            yield item
        else:
            stack.pop()


def _entries(
    root: Path, folder: str, rules: list[_Rules], *, tests: bool
) -> Iterator[SourceFile | Skipped | tuple[str, list[_Rules]]]:
    """What a folder holds in name order; folders to go into come as a pair of path and rules."""
    try:
        with os.scandir(root / folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        if not folder:
            raise DataError(f"{root}: cannot be listed: {error.strerror or error}") from None
        yield Skipped(folder, "cannot be read")
        return
    if any(entry.name == ".gitignore" for entry in entries):
        rules = [*rules, *_rules_of(root / folder / ".gitignore", folder)]
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_symlink():
            if language_of(path) is not None or Path(root / path).is_dir():
                yield Skipped(path, "a link")
        elif entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith("."):
                reason = _folder_reason(entry.name, path, rules, tests=tests)
                yield Skipped(f"{path}/", reason) if reason else (path, rules)
        elif (language := language_of(path)) is not None:
            reason = _file_reason(entry, path, rules, tests=tests)
            yield Skipped(path, reason) if reason else SourceFile(path, language)
        elif (kind := unread(path)) is not None:
            yield Skipped(path, _file_reason(entry, path, rules, tests=tests) or kind)


def _folder_reason(name: str, path: str, rules: list[_Rules], *, tests: bool) -> str | None:
    if _ignored(f"{path}/", rules):
        return "ignored by git"
    if name in VENDORED:
        return "vendored"
    if name in BUILT and not rules:
        return "built"
    if name.lower() in TESTS and not tests:
        return "tests"
    return None


def _file_reason(entry: os.DirEntry[str], path: str, rules: list[_Rules], *, tests: bool) -> str | None:
    if not entry.is_file(follow_symlinks=False):
        return "no regular file"
    if _ignored(path, rules):
        return "ignored by git"
    names = {"generated": _GENERATED_FILE, "minified": _MINIFIED_FILE, **({} if tests else {"tests": _TEST_FILE})}
    return next((reason for reason, name in names.items() if name.match(entry.name)), None)


def read_text(root: Path, path: str) -> str:
    """The text of a file of the walk.

    Raises:
        UnreadableError: it has no usable text, and why.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(root / path, flags), "rb") as stream:  # noqa: PTH123 - Path.open takes no flags
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise UnreadableError("no regular file")
            raw = stream.read(MAX_FILE_BYTES + 1)
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


@dataclass(frozen=True)
class _Rules:
    """A `.gitignore`: the folder that its patterns start from (as a path under the root, or above it), and they."""

    prefix: str
    inside: str
    spec: Any

    def ignores(self, path: str) -> bool | None:
        """Whether a path under the root is ignored; None where no pattern says."""
        result = self.spec.check_file(self.inside + path.removeprefix(self.prefix)).include
        return None if result is None else bool(result)


def _ignored(path: str, rules: list[_Rules]) -> bool:
    """The deepest file that says something decides, as in git."""
    answers = (rule.ignores(path) for rule in reversed(rules))
    return next((answer for answer in answers if answer is not None), False)


def _rules_of(file: Path, folder: str, inside: str = "") -> list[_Rules]:
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > MAX_FILE_BYTES:
            return []
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [_Rules(f"{folder}/" if folder else "", inside, _spec(lines))]


def _spec(lines: list[str]) -> Any:
    try:
        import pathspec
    except ImportError:
        raise DataError("reading .gitignore needs pathspec: pip install 'telly[mining]'") from None
    try:
        return pathspec.GitIgnoreSpec.from_lines(lines)
    except ValueError:  # git passes over lines that it cannot read
        return pathspec.GitIgnoreSpec.from_lines([line for line in lines if _is_pattern(line)])


def _is_pattern(line: str) -> bool:
    import pathspec

    try:
        pathspec.GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


def _above(root: Path) -> list[_Rules]:
    """The rules of the repository that the folder is a part of; none where they ignore the folder itself."""
    top = repository_of(root)
    if top is None:
        return []
    found = _rules_of(top / _GIT_LINK / "info" / "exclude", "", _inside(root, top))
    for folder in [*reversed(root.parents)]:
        if folder == top or top in folder.parents:
            found += _rules_of(folder / ".gitignore", "", _inside(root, folder))
    return [] if _ignored("", found) else found


def _inside(root: Path, folder: Path) -> str:
    relative = root.relative_to(folder).as_posix()
    return "" if relative == "." else f"{relative}/"


def repository_of(root: Path) -> Path | None:
    """The nearest folder at or above one that git keeps."""
    return next((folder for folder in (root, *root.parents) if (folder / _GIT_LINK).exists()), None)
