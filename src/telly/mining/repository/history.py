"""Facts from git about a repository: a copy of a remote one, its commit, the last change of each file."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from telly.errors import DataError
from telly.mining.repository.git import GitError, run_git

PROTOCOLS = ("https", "http", "ssh", "file")
_ADDRESS = re.compile(r"(?P<protocol>[A-Za-z][\w+.-]*)://[^/\s]*")
_SHORT_SSH = re.compile(r"(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9][\w.-]*:(?!:)[^\\].*")
_HELPER = re.compile(r"[A-Za-z][\w+.-]*::")
_USER = re.compile(r"(?<=://)[^/@\s]*@")
_OFFLINE_WORDS = (
    "Could not resolve",
    "Could not connect",
    "Failed to connect",
    "unable to access",
    "Network is unreach",
)


def is_address(source: str) -> bool:
    """Return whether a text is meant as the address of a git repository and not as a folder.

    Raises:
        DataError: it is an address that git is not given: of a helper program, or of an unknown protocol.
    """
    if _HELPER.match(source):
        raise DataError(_refused(source, source.split("::", maxsplit=1)[0]))
    address = _ADDRESS.match(source)
    if address:
        if address["protocol"].lower() not in PROTOCOLS:
            raise DataError(_refused(source, address["protocol"]))
        if address[0].split("://")[1].startswith("-"):
            raise DataError(f"{source!r}: a host's name does not begin with '-'; give an address such as https://...")
        return True
    return _SHORT_SSH.fullmatch(source) is not None


def _refused(source: str, protocol: str) -> str:
    known = ", ".join(f"{name}://" for name in PROTOCOLS)
    return f"{without_user(source)}: git's protocol {protocol!r} is not used here; expected {known} or user@host:path"


def without_user(address: str) -> str:
    """An address without the name and password in it."""
    return _USER.sub("", address)


def clone(address: str, folder: Path, *, history: bool) -> None:
    """Copy a remote repository, without submodules and large files, and without running anything of it.

    Args:
        address: an address that `is_address` accepts.
        folder: the folder to create.
        history: whether to copy all commits instead of the last one.

    Raises:
        DataError: git is not installed, or the copy failed.
    """
    depth = [] if history else ["--depth", "1"]
    options = ["--quiet", "--no-tags", "--single-branch", "--no-recurse-submodules", "--template=", *depth]
    done = _git(["clone", *options, "--", address, str(folder)], allowed=":".join(PROTOCOLS))
    if done.returncode:
        reason = without_user(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "git says no more")
        offline = any(word in done.stderr for word in _OFFLINE_WORDS)
        advice = "go online" if offline else "check the address and that it can be read without a password"
        raise DataError(
            f"{without_user(address)}: cannot be cloned: {reason}; {advice}, or clone it yourself and give the folder"
        )


def commit_of(repository: Path) -> str | None:
    """The commit that is checked out; None if git cannot tell."""
    done = _git(["-C", str(repository), "rev-parse", "--verify", "--quiet", "HEAD"])
    return done.stdout.strip() or None if done.returncode == 0 else None


def last_changes(repository: Path) -> dict[str, int]:
    """Times at which commits last changed each file, in seconds since 1970, by path in the repository.

    Raises:
        DataError: git cannot read the history, or there is none: in a shallow clone all files have the same date.
    """
    shallow = _git(["-C", str(repository), "rev-parse", "--is-shallow-repository"])
    if shallow.stdout.strip() == "true":
        raise DataError(
            f"{repository}: a shallow clone, in which all files have one date; `git fetch --unshallow`, or --split file"
        )
    options = ["--no-ext-diff", "--no-textconv", "--no-renames", "--no-show-signature", "--name-only", "-z"]
    done = _git(["-C", str(repository), "log", *options, "--format=%x01%ct", "HEAD", "--", "."])
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "git says no more"
        raise DataError(f"{repository}: git cannot read its history: {reason}; mend that, or use --split file")
    dates: dict[str, int] = {}
    date = 0
    for part in done.stdout.split("\0"):
        text = part.lstrip("\n")
        # The format's \x01 marks a commit, whose first path follows in the same record.
        if text.startswith("\x01"):
            stamp, _, text = text[1:].partition("\n")
            date = int(stamp)
        if text:
            # Commits are not always listed by their dates, as clocks differ: the newest date counts.
            dates[text] = max(date, dates.get(text, 0))
    return dates


def _git(arguments: list[str], allowed: str = "none") -> subprocess.CompletedProcess[str]:
    try:
        done = run_git(arguments, allowed=allowed, limit=None)
    except GitError:
        raise DataError("git is not installed, which --split date and addresses need; install it") from None
    output, complaint = (text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, output, complaint)
