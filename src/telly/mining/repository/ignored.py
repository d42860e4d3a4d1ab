"""Files that git ignores in a folder, from git itself if possible, and otherwise by its rules, applied here."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from telly.mining.repository.git import GitError, in_repository, records, run_git
from telly.mining.repository.gitconfig import is_true, settings_of, user_ignore_file
from telly.mining.repository.gitdir import Repository, containing, repository_at
from telly.mining.repository.gitindex import Tracked, is_submodule, read_index
from telly.mining.repository.ignore import IGNORE_FILE, IgnoreFile, read_ignore_file

SECONDS = 60.0
"""Time limit of a call of git, which a pipe in place of an ignore file would block. After it the rules are applied."""
IGNORED, NESTED = "ignored by git", "another repository"


class Scope(Protocol):
    """Files that git ignores in one folder of a walk; paths are relative to the walk's root, with `/`."""

    @property
    def says_what_is_built(self) -> bool:
        """True if there is a repository or an ignore file, which tell build products from sources."""

    def leaves_out(self, path: str) -> str | None:
        """The reason why git does not look into a folder in this one; None if it does."""

    def enter(self, path: str) -> Scope:
        """The scope of a folder in this one that is not left out."""

    def ignores(self, path: str) -> bool:
        """Return whether git ignores a file in this folder."""


def scope_of(root: Path) -> Scope:
    """The scope of a walk's root.

    A root that is in no repository, or that its repository ignores, is read as if it were a repository of its own:
    a folder that is named is meant to be read.

    Args:
        root: the folder, as an absolute path without links.
    """
    repository = containing(root)
    if repository is None:
        return _Rules.beginning(root, None)
    return _scope_in(root, repository, 0) or _Rules.beginning(root, None)


def repository_with(root: Path) -> Path | None:
    """The folder of the repository that a folder belongs to.

    Args:
        root: the folder, as an absolute path without links.

    Returns:
        The top of the working tree; None if the folder is in no repository, or if its repository ignores it. Such a
        folder's commits and licence are not those of the repository around it.
    """
    repository = containing(root)
    if repository is None or (root != repository.top and _scope_in(root, repository, 0) is None):
        return None
    return repository.top


def _scope_in(root: Path, repository: Repository, start: int) -> Scope | None:
    """The scope of a folder in a repository; None if the repository leaves out the folder itself."""
    try:
        return _Listing.of(root, repository, start)
    except GitError:
        scope = _Rules.beginning(repository.top, repository, start)
        return scope.at(root.relative_to(repository.top).as_posix())


@dataclass(frozen=True)
class _Listing:
    """Listing by git itself, by path relative to a folder of the repository.

    Attributes:
        root: that folder.
        start: number of characters of a path that lead from the walk's root to that folder.
        included: tracked files, and files that are neither tracked nor ignored.
    """

    root: Path
    start: int
    included: Tracked
    says_what_is_built: bool = True

    @classmethod
    def of(cls, root: Path, repository: Repository, start: int) -> _Listing | None:
        """Ask git; None if the repository leaves out the folder itself.

        Raises:
            GitError: git cannot tell.
        """
        options = in_repository(root, repository.top)
        fold = run_git([*options, "config", "--type=bool", "core.ignorecase"], limit=SECONDS).stdout.strip() == b"true"
        included = Tracked(fold)
        with records([*options, "ls-files", "-z", "--stage"], limit=SECONDS) as entries:
            for entry in entries:
                about, _, path = entry.partition(b"\t")
                if path == b"./":  # the folder is the place of a submodule that was not fetched
                    return None
                included.add(path, submodule=is_submodule(int(about[:6], 8)))
        # Git lists nothing of an ignored folder, as of an empty one. With tracked files in it, it is never ignored.
        if root != repository.top and not (included.files or included.submodules) and _is_ignored(root, repository):
            return None
        with records([*options, "ls-files", "-z", "--others", "--exclude-standard"], limit=SECONDS) as paths:
            for path in paths:
                included.add(path.removesuffix(b"/"), submodule=path.endswith(b"/"))
        return cls(root, start, included)

    def leaves_out(self, path: str) -> str | None:
        key = self._key(path)
        if key in self.included.submodules:
            return NESTED
        # Git lists files alone, so that empty folders are missing without being ignored.
        has_files = key in self.included.folders or not _holds_anything(self.root / path[self.start :])
        return None if has_files else IGNORED

    def enter(self, path: str) -> Scope:
        return self

    def ignores(self, path: str) -> bool:
        return self._key(path) not in self.included.files

    def _key(self, path: str) -> bytes:
        return self.included.key(os.fsencode(path[self.start :]))


def _is_ignored(folder: Path, repository: Repository) -> bool:
    """Return whether the rules ignore a folder in which nothing is tracked."""
    command = [*in_repository(repository.top, repository.top), "check-ignore", "--quiet", "--no-index", "--"]
    done = run_git([*command, f"./{folder.relative_to(repository.top)}"], limit=SECONDS)
    if done.returncode not in (0, 1):
        raise GitError(f"git check-ignore ended with status {done.returncode}")
    return done.returncode == 0


def _holds_anything(folder: Path) -> bool:
    """Return whether a folder can be read and is not empty."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


@dataclass(frozen=True)
class _Rules:
    """Ignore rules of one folder, for use without git.

    Attributes:
        top: the folder at which the rules begin; paths in the ignore files and the index are relative to it.
        start: number of characters of a path that lead from the walk's root to `top`.
        files: ignore files in order; the last with a matching pattern decides.
        tracked: paths in the index.
        fold: whether case is ignored.
        repository: whether `top` is a repository.
        says_what_is_built: as in `Scope`.
        ignored: whether the folder itself is ignored, and only what is tracked in it is not.
        above: path from `top` to the walk's root, blank or with a slash at its end.
    """

    top: Path
    start: int
    files: tuple[IgnoreFile, ...]
    tracked: Tracked
    fold: bool
    repository: bool
    says_what_is_built: bool
    ignored: bool = False
    above: str = ""

    @classmethod
    def beginning(cls, top: Path, repository: Repository | None, start: int = 0) -> _Rules:
        """The rules at the top of a repository, or of a folder that is read like one."""
        settings = settings_of(repository)
        fold = is_true(settings, "core.ignorecase")
        sources = [user_ignore_file(settings, top), repository.common_dir / "info" / "exclude" if repository else None]
        files = [read_ignore_file(file, b"", fold=fold, follow=True) for file in sources if file is not None]
        tracked = Tracked(fold)
        if repository:
            object_bytes = 32 if settings.get("extensions.objectformat") == "sha256" else 20
            tracked = read_index(repository.git_dir / "index", fold=fold, object_bytes=object_bytes)
        ignore_files = tuple(file for file in files if file is not None)
        return cls(top, start, ignore_files, tracked, fold, bool(repository), bool(repository))._with_ignore_file("")

    def at(self, inside: str) -> _Rules | None:
        """The rules in a folder under the top, where the walk begins; None if it is left out."""
        scope = self
        if inside == ".":
            return self
        parts = inside.split("/")
        # From the top down, since git never looks into an ignored folder, whatever its own ignore files say.
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            if scope.leaves_out(path):
                return None
            scope = scope._entered(path)
        return replace(scope, above=f"{inside}/")

    def leaves_out(self, path: str) -> str | None:
        inside = self._inside(path)
        key = self.tracked.key(os.fsencode(inside))
        if key in self.tracked.submodules:
            return NESTED
        if key in self.tracked.folders:
            return None
        if self._ignores(inside, folder=True):
            return IGNORED
        return NESTED if self.repository and repository_at(self.top / inside) else None

    def enter(self, path: str) -> Scope:
        inside = self._inside(path)
        # A root that is in no repository may contain repositories, which have rules of their own.
        nested = None if self.repository else repository_at(self.top / inside)
        nested_scope = _scope_in(nested.top, nested, len(path) + 1) if nested else None
        return nested_scope or self._entered(inside)

    def ignores(self, path: str) -> bool:
        inside = self._inside(path)
        return self.tracked.key(os.fsencode(inside)) not in self.tracked.files and self._ignores(inside, folder=False)

    def _inside(self, path: str) -> str:
        return self.above + path[self.start :]

    def _entered(self, inside: str) -> _Rules:
        if self._ignores(inside, folder=True):
            return replace(self, ignored=True)
        return self._with_ignore_file(inside)

    def _with_ignore_file(self, inside: str) -> _Rules:
        base = os.fsencode(f"{inside}/") if inside else b""
        ignore_file = read_ignore_file(self.top / inside / IGNORE_FILE, base, fold=self.fold, follow=False)
        return replace(self, files=(*self.files, ignore_file), says_what_is_built=True) if ignore_file else self

    def _ignores(self, inside: str, *, folder: bool) -> bool:
        path = os.fsencode(inside)
        answers = (file.ignores(path, folder=folder) for file in reversed(self.files))
        return self.ignored or next((answer for answer in answers if answer is not None), False)
