"""The settings of git that say what is ignored, read without git: system, user, repository and working tree."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from telly.mining.repository.gitdir import Repository
from telly.mining.repository.regular import read_regular
from telly.mining.repository.wildmatch import matcher

_MAX_BYTES = 1 << 24
_DEEPEST_INCLUDE = 10
_SECTION = re.compile(r"\[\s*([\w.-]+)(?:\s+\"((?:[^\"\\\n]|\\.)*)\")?\s*\]")
_KEY = re.compile(r"([A-Za-z][\w-]*)[ \t]*(=?)[ \t]*")
_PASSED_OVER = re.compile(r"(?:\s|[#;][^\n]*)+")
_VALUE = re.compile(r"\\\n|\\[\\\"ntb]|[^\\\n]")
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}
_TRUE = frozenset({"true", "yes", "on"})

Settings = dict[str, str | None]
"""Values by name, sections and keys in lower case; None for a key without a value, which git reads as true."""


def settings_of(repository: Repository | None) -> Settings:
    """The settings that hold in a repository, or outside of any."""
    found: Settings = {}
    for file in _files(repository):
        _read(file, found, repository)
    if repository and is_true(found, "extensions.worktreeconfig"):
        _read(repository.own / "config.worktree", found, repository)
    number = os.environ.get("GIT_CONFIG_COUNT", "")
    for index in range(int(number) if number.isdecimal() else 0):
        name = os.environ.get(f"GIT_CONFIG_KEY_{index}", "")
        found[_normal(name)] = os.environ.get(f"GIT_CONFIG_VALUE_{index}", "")
    return found


def is_true(settings: Mapping[str, str | None], name: str) -> bool:
    """Return whether a setting is on; one that is not there is off."""
    if name not in settings:
        return False
    value = settings[name]
    return value is None or value.lower() in _TRUE or (value.isdecimal() and int(value) != 0)


def user_ignore_file(settings: Settings, top: Path) -> Path | None:
    """The user's own ignore file, for all repositories; None where the user wants none."""
    if "core.excludesfile" in settings:
        value = settings["core.excludesfile"]
        return top / _expanded(value) if value else None
    return _user_folder() / "ignore"


def _files(repository: Repository | None) -> Iterator[Path]:
    if not is_true({"": os.environ.get("GIT_CONFIG_NOSYSTEM", "false")}, ""):
        yield Path(os.environ.get("GIT_CONFIG_SYSTEM", "/etc/gitconfig"))
    if "GIT_CONFIG_GLOBAL" in os.environ:
        yield Path(os.environ["GIT_CONFIG_GLOBAL"])
    else:
        yield _user_folder() / "config"
        yield _home() / ".gitconfig"
    if repository:
        yield repository.common / "config"


def _home() -> Path:
    return Path(os.environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - never fails, as Path.home may


def _user_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or _home() / ".config") / "git"


def _expanded(path: str) -> str:
    """A path with `~` replaced, as git does in settings that are paths."""
    if path == "~" or path.startswith("~/"):
        return f"{_home()}{path[1:]}"
    return os.path.expanduser(path)  # noqa: PTH111 - a text that may be relative, and is no error without such a user


def _read(file: Path, found: Settings, repository: Repository | None, depth: int = 0) -> None:
    """Read a file and what it includes into the settings; one that cannot be read says nothing."""
    try:
        text = os.fsdecode(read_regular(file, _MAX_BYTES, follow=True)).removeprefix("\ufeff").replace("\r\n", "\n")
    except (OSError, ValueError):
        return
    for name, value in _entries(text):
        found[name] = value
        if value and depth < _DEEPEST_INCLUDE and _includes(name, file, repository):
            _read(file.parent / _expanded(value), found, repository, depth + 1)


def _entries(text: str) -> Iterator[tuple[str, str | None]]:
    """Names and values in order, up to the first line that git could not read either."""
    section, at = "", 0
    while at < len(text):
        if passed := _PASSED_OVER.match(text, at):
            at = passed.end()
        elif header := _SECTION.match(text, at):
            section = header[1].lower()
            if header[2] is not None:
                section += "." + re.sub(r"\\(.)", r"\1", header[2])
            at = header.end()
        elif section and (key := _KEY.match(text, at)):
            value, at = _value(text, key.end()) if key[2] else (None, key.end())
            yield f"{section}.{key[1].lower()}", value
        else:
            return


def _value(text: str, at: int) -> tuple[str, int]:
    """A value, without quotes, comments and the white space around it, and where it ends."""
    parts: list[str] = []
    kept = 0  # how many parts there are without the white space at the end
    quoted = False
    while part := _VALUE.match(text, at):
        token = part[0]
        if token in "#;" and not quoted:
            at = text.find("\n", at) if "\n" in text[at:] else len(text)
            break
        at = part.end()
        if token == '"':
            quoted = not quoted
        elif token[0] == "\\":
            if token[-1] != "\n":
                parts.append(_ESCAPES.get(token[1], token[1]))
                kept = len(parts)
        else:
            parts.append(token)
            kept = len(parts) if quoted or not token.isspace() else kept
    return "".join(parts[:kept]), at


def _normal(name: str) -> str:
    section, _, key = name.rpartition(".")
    first, dot, inner = section.partition(".")
    return f"{first.lower()}{dot}{inner}.{key.lower()}"


def _includes(name: str, file: Path, repository: Repository | None) -> bool:
    """Return whether a setting names a file to include, and its condition holds."""
    if name == "include.path":
        return True
    if not name.startswith("includeif.") or not name.endswith(".path") or repository is None:
        return False
    kind, _, pattern = name.removeprefix("includeif.").removesuffix(".path").partition(":")
    if kind in ("gitdir", "gitdir/i"):
        if pattern.startswith("./"):
            pattern = f"{file.parent.resolve()}/{pattern[2:]}"
        pattern = _expanded(pattern)
        texts = {os.fsencode(repository.own.resolve()), os.fsencode(repository.own.absolute())}
        return _matches(pattern if pattern.startswith("/") else f"**/{pattern}", texts, fold=kind == "gitdir/i")
    return kind == "onbranch" and _matches(pattern, _branch(repository), fold=False)


def _matches(pattern: str, texts: set[bytes], *, fold: bool) -> bool:
    matches = matcher(os.fsencode(f"{pattern}**" if pattern.endswith("/") else pattern), path=True, fold=fold)
    return any(map(matches, texts))


def _branch(repository: Repository) -> set[bytes]:
    try:
        head = read_regular(repository.own / "HEAD", _MAX_BYTES)
    except OSError:
        return set()
    return {head.removeprefix(b"ref: refs/heads/").strip()} if head.startswith(b"ref: refs/heads/") else set()
