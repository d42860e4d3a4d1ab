"""Calls of git for mining: clone a remote repository, read its commit and the date of each file's last change."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from telly.errors import DataError
from telly.mining.repository.git import GitError, run_git

PROTOCOLS = ("https", "http", "ssh", "file")
"""Protocols by which a repository may be cloned; git knows more, and some of them run programs."""
_ADDRESS = re.compile(r"(?P<protocol>[A-Za-z][\w+.-]*)://[^/\s]*")
_SHORT_SSH = re.compile(r"(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9][\w.-]*:(?!:)[^\\].*")
"""Git's short form `user@host:path` of an SSH address, but neither `ext::command` nor a path such as `C:\\code`."""
_HELPER = re.compile(r"[A-Za-z][\w+.-]*::")
"""The beginning of `NAME::address`, for which git runs the program `git-remote-NAME`, and for `ext::` any command."""
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
_OFFLINE_MESSAGES = (
    "Could not resolve",
    "Could not connect",
    "Failed to connect",
    "unable to access",
    "Network is unreach",
)
"""Parts of git's messages when a host cannot be reached."""


def is_address(source: str) -> bool:
    """Return whether a text is meant as the address of a git repository and not as a folder.

    Raises:
        DataError: the address is not safe to pass to git: it needs a helper program or a protocol that is not
            in `PROTOCOLS`, or its host would be read as an option.
    """
    if _HELPER.match(source):
        raise DataError(_refusal(source, source.split("::", maxsplit=1)[0]))
    address = _ADDRESS.match(source)
    if address:
        if address["protocol"].lower() not in PROTOCOLS:
            raise DataError(_refusal(source, address["protocol"]))
        if address[0].split("://")[1].startswith("-"):
            raise DataError(f"{source!r}: a host's name does not begin with '-'; give an address such as https://...")
        return True
    return _SHORT_SSH.fullmatch(source) is not None


def _refusal(source: str, protocol: str) -> str:
    """The message of the error for a protocol that is not allowed."""
    known = ", ".join(f"{name}://" for name in PROTOCOLS)
    shown = without_credentials(source)
    return f"{shown}: git's protocol {protocol!r} is not used here; expected {known} or user@host:path"


def without_credentials(address: str) -> str:
    """An address without the user name and password in it, to print or record it."""
    return _CREDENTIALS.sub("", address)


def clone(address: str, folder: Path, *, history: bool) -> None:
    """Clone a remote repository, without submodules and LFS files, and without running any code of it.

    Args:
        address: an address that `is_address` accepts.
        folder: the folder to create.
        history: whether to clone all commits instead of the last one only.

    Raises:
        DataError: git is not installed, or the copy failed.
    """
    depth = [] if history else ["--depth", "1"]
    # An empty template, since the user's own could contain hooks, which would run.
    options = ["--quiet", "--no-tags", "--single-branch", "--no-recurse-submodules", "--template=", *depth]
    done = _git(["clone", *options, "--", address, str(folder)], allowed=":".join(PROTOCOLS))
    if done.returncode:
        reason = without_credentials(_reason(done.stderr))
        offline = any(message in done.stderr for message in _OFFLINE_MESSAGES)
        advice = "go online" if offline else "check the address and that it can be read without a password"
        shown = without_credentials(address)
        raise DataError(f"{shown}: cannot be cloned: {reason}; {advice}, or clone it yourself and give the folder")


def commit_of(repository: Path) -> str | None:
    """Hash of the commit that is checked out; None if git cannot tell."""
    done = _git(["-C", str(repository), "rev-parse", "--verify", "--quiet", "HEAD"])
    return done.stdout.strip() or None if done.returncode == 0 else None


def last_changes(repository: Path) -> dict[str, int]:
    """Time of the last commit that changed each file, in seconds since 1970, by path in the repository.

    Raises:
        DataError: git cannot read the history, or there is none: in a shallow clone all files have the same date.
    """
    shallow = _git(["-C", str(repository), "rev-parse", "--is-shallow-repository"])
    if shallow.stdout.strip() == "true":
        raise DataError(
            f"{repository}: a shallow clone, in which all files have one date; `git fetch --unshallow`, or --split file"
        )
    # For each commit: \x01, its time (%ct), a line break, and the paths that it changed, each ended by a NUL (-z).
    options = ["--no-ext-diff", "--no-textconv", "--no-renames", "--no-show-signature", "--name-only", "-z"]
    done = _git(["-C", str(repository), "log", *options, "--format=%x01%ct", "HEAD", "--", "."])
    if done.returncode:
        reason = _reason(done.stderr)
        raise DataError(f"{repository}: git cannot read its history: {reason}; repair it, or use --split file")
    dates: dict[str, int] = {}
    date = 0
    for part in done.stdout.split("\0"):
        text = part.lstrip("\n")
        # A commit's time and its first path are in one part, since no NUL is between them.
        if text.startswith("\x01"):
            stamp, _, text = text[1:].partition("\n")
            date = int(stamp)
        if text:
            # Commits are not always listed by their dates, as clocks differ: the newest date counts.
            dates[text] = max(date, dates.get(text, 0))
    return dates


def _reason(stderr: str) -> str:
    """The last line of git's messages, which says why it failed."""
    lines = stderr.strip().splitlines()
    return lines[-1] if lines else "git gives no reason"


def _git(arguments: list[str], allowed: str = "none") -> subprocess.CompletedProcess[str]:
    """Call git without a time limit, and decode its output; `allowed` is as for `run_git`."""
    try:
        done = run_git(arguments, allowed=allowed, limit=None)
    except GitError:
        raise DataError("git is not installed, which --split date and addresses need; install it") from None
    # Paths need not be UTF-8: surrogates keep their bytes.
    stdout, stderr = (text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, stdout, stderr)
