"""Layout of git repositories, linked worktrees and submodules, read without git."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from telly.mining.repository.regular import read_regular

GIT = ".git"
_MAX_BYTES = 1 << 16
_HEAD = re.compile(rb"ref:[ \t\r\n]*refs/|[0-9a-fA-F]{40}")


@dataclass(frozen=True)
class Repository:
    """A repository with a working tree.

    Attributes:
        top: the working tree's folder, which contains `.git`.
        git_dir: folder of this working tree's HEAD and index, `$GIT_DIR`.
        common_dir: folder of what all working trees of the repository share, `$GIT_COMMON_DIR`.
    """

    top: Path
    git_dir: Path
    common_dir: Path


def repository_at(folder: Path) -> Repository | None:
    """The repository whose working tree begins at a folder; None if git finds none there."""
    entry = folder / GIT
    git_dir = _named_by(entry) if os.path.isfile(entry) else entry  # noqa: PTH113 - Path.is_file may be refused
    if git_dir is None:
        return None
    common_dir = _common_dir(git_dir)
    return Repository(folder, git_dir, common_dir) if _is_git_directory(git_dir, common_dir) else None


def containing(root: Path) -> Repository | None:
    """The repository whose working tree contains a folder; None if there is none."""
    for folder in (root, *root.parents):
        if folder.name == GIT:
            return None  # what is in a repository's own folder is in no working tree
        repository = repository_at(folder)
        if repository is not None:
            return repository
    return None


def _named_by(file: Path) -> Path | None:
    """The folder that a file `.git` names, as in linked worktrees and submodules."""
    try:
        content = read_regular(file, _MAX_BYTES, follow=True)
    except OSError:
        return None
    if not content.startswith(b"gitdir: "):
        return None
    return file.parent / os.fsdecode(content.removeprefix(b"gitdir: ").rstrip(b"\r\n"))


def _common_dir(git_dir: Path) -> Path:
    try:
        content = read_regular(git_dir / "commondir", _MAX_BYTES, follow=True)
    except OSError:
        return git_dir
    return git_dir / os.fsdecode(content.rstrip(b"\r\n"))


def _is_git_directory(git_dir: Path, common_dir: Path) -> bool:
    # The checks of git's own `is_git_directory`: a valid HEAD, and folders of objects and references.
    head = git_dir / "HEAD"
    try:
        if head.is_symlink():
            valid = head.readlink().as_posix().startswith("refs/")
        else:
            valid = _HEAD.match(read_regular(head, _MAX_BYTES)) is not None
    except (OSError, ValueError):
        return False
    return valid and all(os.access(common_dir / name, os.X_OK) for name in ("objects", "refs"))
