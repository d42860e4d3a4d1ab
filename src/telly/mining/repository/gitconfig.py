"""Git's settings of what is ignored, read without git: system, user, repository and working tree."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from telly.mining.repository.gitdir import Repository
from telly.mining.repository.regular import read_regular
from telly.mining.repository.wildmatch import matcher

_MAX_BYTES = 1 << 24
_MAX_INCLUDE_DEPTH = 10
_SECTION = re.compile(r"\[\s*([\w.-]+)(?:\s+\"((?:[^\"\\\n]|\\.)*)\")?\s*\]")
_KEY = re.compile(r"([A-Za-z][\w-]*)[ \t]*(=?)[ \t]*")
_SKIPPED = re.compile(r"(?:\s|[#;][^\n]*)+")
_VALUE = re.compile(r"\\\n|\\[\\\"ntb]|[^\\\n]")
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}
_TRUE = frozenset({"true", "yes", "on"})

Settings = dict[str, str | None]
"""Values by name, sections and keys in lower case; None for a key without a value, which git reads as true."""


def settings_of(repository: Repository | None) -> Settings:
    """The settings that apply in a repository, or outside of any."""
    settings: Settings = {}
    # Later files override earlier ones; variables of the environment override all files.
    for file in _files(repository):
        _read(file, settings, repository)
    if repository and is_true(settings, "extensions.worktreeconfig"):
        _read(repository.git_dir / "config.worktree", settings, repository)
    count = os.environ.get("GIT_CONFIG_COUNT", "")
    for index in range(int(count) if count.isdecimal() else 0):
        name = os.environ.get(f"GIT_CONFIG_KEY_{index}", "")
        settings[_normalised(name)] = os.environ.get(f"GIT_CONFIG_VALUE_{index}", "")
    return settings


def is_true(settings: Mapping[str, str | None], name: str) -> bool:
    """Return whether a setting is on; a missing one is off."""
    if name not in settings:
        return False
    value = settings[name]
    return value is None or value.lower() in _TRUE or (value.isdecimal() and int(value) != 0)


def user_ignore_file(settings: Settings, top: Path) -> Path | None:
    """The user's own ignore file, for all repositories; None if the user has disabled it."""
    if "core.excludesfile" in settings:
        value = settings["core.excludesfile"]
        return top / _expanded(value) if value else None
    return _user_folder() / "ignore"


def _files(repository: Repository | None) -> Iterator[Path]:
    """The files of settings in the order in which git reads them."""
    if not is_true({"": os.environ.get("GIT_CONFIG_NOSYSTEM", "false")}, ""):
        yield Path(os.environ.get("GIT_CONFIG_SYSTEM", "/etc/gitconfig"))
    if "GIT_CONFIG_GLOBAL" in os.environ:
        yield Path(os.environ["GIT_CONFIG_GLOBAL"])
    else:
        yield _user_folder() / "config"
        yield _home() / ".gitconfig"
    if repository:
        yield repository.common_dir / "config"


def _home() -> Path:
    return Path(os.environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - never fails, as Path.home may


def _user_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or _home() / ".config") / "git"


def _expanded(path: str) -> str:
    """A path with `~` replaced, as git does in settings that are paths."""
    if path == "~" or path.startswith("~/"):
        return f"{_home()}{path[1:]}"
    return os.path.expanduser(path)  # noqa: PTH111 - a text that may be relative, and is no error without such a user


def _read(file: Path, settings: Settings, repository: Repository | None, depth: int = 0) -> None:
    """Read a file and those it includes into the settings; an unreadable file changes nothing."""
    try:
        text = os.fsdecode(read_regular(file, _MAX_BYTES, follow=True)).removeprefix("\ufeff").replace("\r\n", "\n")
    except (OSError, ValueError):
        return
    for name, value in _entries(text):
        settings[name] = value
        # Included at once: settings after the include override those of the included file.
        if value and depth < _MAX_INCLUDE_DEPTH and _includes(name, file, repository):
            _read(file.parent / _expanded(value), settings, repository, depth + 1)


def _entries(text: str) -> Iterator[tuple[str, str | None]]:
    """Names and values in order, up to the first line that git could not read either."""
    section, at = "", 0
    while at < len(text):
        if passed := _SKIPPED.match(text, at):
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
    """A value, without quotes, comments and surrounding white space, and its end."""
    parts: list[str] = []
    stripped = 0  # number of parts up to the last that is not trailing white space
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
                stripped = len(parts)
        else:
            parts.append(token)
            stripped = len(parts) if quoted or not token.isspace() else stripped
    return "".join(parts[:stripped]), at


def _normalised(name: str) -> str:
    """A name with section and key in lower case; a subsection keeps its case."""
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
        # git compares the folder both as it is named and with links resolved
        paths = {os.fsencode(repository.git_dir.resolve()), os.fsencode(repository.git_dir.absolute())}
        return _matches(pattern if pattern.startswith("/") else f"**/{pattern}", paths, fold=kind == "gitdir/i")
    return kind == "onbranch" and _matches(pattern, _branch(repository), fold=False)


def _matches(pattern: str, texts: set[bytes], *, fold: bool) -> bool:
    is_match = matcher(os.fsencode(f"{pattern}**" if pattern.endswith("/") else pattern), path=True, fold=fold)
    return any(map(is_match, texts))


def _branch(repository: Repository) -> set[bytes]:
    """The name of the branch that is checked out; empty for a commit or an unreadable HEAD."""
    try:
        head = read_regular(repository.git_dir / "HEAD", _MAX_BYTES)
    except OSError:
        return set()
    return {head.removeprefix(b"ref: refs/heads/").strip()} if head.startswith(b"ref: refs/heads/") else set()
