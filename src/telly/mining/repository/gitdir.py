"""Layout of git repositories, linked worktrees and submodules, read without git."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from telly.mining.repository.regular import read_regular

GIT = ".git"
_MOST = 1 << 16
_HEAD = re.compile(rb"ref:[ \t\r\n]*refs/|[0-9a-fA-F]{40}")


@dataclass(frozen=True)
class Repository:
    """A repository with a working tree.

    Attributes:
        top: the working tree's folder, which holds `.git`.
        own: the folder of this working tree's HEAD and index.
        common: the folder of what all working trees of the repository share.
    """

    top: Path
    own: Path
    common: Path


def repository_at(folder: Path) -> Repository | None:
    """The repository whose working tree begins at a folder; None where git sees none there."""
    entry = folder / GIT
    own = _named_by(entry) if os.path.isfile(entry) else entry  # noqa: PTH113 - Path.is_file may be refused
    if own is None:
        return None
    common = _common(own)
    return Repository(folder, own, common) if _is_git_directory(own, common) else None


def containing(root: Path) -> Repository | None:
    """The repository that a folder is part of the working tree of."""
    for folder in (root, *root.parents):
        if folder.name == GIT:
            return None  # what is in a repository's own folder is in no working tree
        found = repository_at(folder)
        if found is not None:
            return found
    return None


def _named_by(file: Path) -> Path | None:
    """The folder that a file `.git` names, as in linked worktrees and submodules."""
    try:
        content = read_regular(file, _MOST, follow=True)
    except OSError:
        return None
    if not content.startswith(b"gitdir: "):
        return None
    return file.parent / os.fsdecode(content.removeprefix(b"gitdir: ").rstrip(b"\r\n"))


def _common(own: Path) -> Path:
    try:
        content = read_regular(own / "commondir", _MOST, follow=True)
    except OSError:
        return own
    return own / os.fsdecode(content.rstrip(b"\r\n"))


def _is_git_directory(own: Path, common: Path) -> bool:
    head = own / "HEAD"
    try:
        if head.is_symlink():
            valid = head.readlink().as_posix().startswith("refs/")
        else:
            valid = _HEAD.match(read_regular(head, _MOST)) is not None
    except (OSError, ValueError):
        return False
    return valid and all(os.access(common / name, os.X_OK) for name in ("objects", "refs"))
