"""Calls of git on a repository that is not trusted.

A repository's own configuration can name programs that git runs, and files elsewhere that it reads. Every call switches
off what could run something, talks to no remote unless the caller allows it, and takes no lock. The user's own
configuration, which may say what is ignored, is still read.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_OVERRIDES = (
    *("core.fsmonitor=false", f"core.hooksPath={os.devnull}", "core.pager=cat", "core.editor=false"),
    *("core.sshCommand=ssh", "protocol.ext.allow=never", "submodule.recurse=false", "core.symlinks=false"),
    *("core.untrackedCache=false", "core.alternateRefsCommand=", "diff.external=", "log.showSignature=false"),
    *("gpg.program=false", "gc.auto=0", "maintenance.auto=false", "safe.directory=*"),
    *("filter.lfs.process=", "filter.lfs.smudge=", "filter.lfs.clean=", "filter.lfs.required=false"),
)
_LOCAL_OVERRIDES = ("core.askPass=", "core.gitProxy=", "credential.helper=")
"""Also for calls that reach no remote; a clone may need them, and no repository has set them there."""
_USER_CONFIG_PREFIX = "GIT_CONFIG_"
"""Prefix of variables that select the user's own configuration; git's others could redirect or run something."""


class GitError(Exception):
    """Git is not installed, failed, or took too long."""


def run_git(
    arguments: Sequence[str], *, allowed: str = "none", stdout: int | IO[bytes] = subprocess.PIPE, limit: float | None
) -> subprocess.CompletedProcess[bytes]:
    """Call git.

    Args:
        arguments: those after the general ones.
        allowed: protocols by which remotes may be reached, separated by colons.
        stdout: destination of the output. [default: the result]
        limit: seconds after which git is stopped; None waits for as long as git takes.

    Raises:
        GitError: git is not installed, or took longer than the limit.
    """
    settings = _OVERRIDES if allowed != "none" else (*_OVERRIDES, *_LOCAL_OVERRIDES)
    overrides = [part for setting in settings for part in ("-c", setting)]
    try:
        return subprocess.run(
            ["git", "--no-pager", *overrides, *arguments],
            env=_environment(allowed),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            check=False,
            timeout=limit,
            start_new_session=True,  # without a terminal, so that nothing can ask for a password or read from it
        )
    except OSError as error:
        raise GitError(f"git cannot be started: {error.strerror or error}") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git took longer than {limit:g} seconds") from None


def _environment(allowed: str) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(_USER_CONFIG_PREFIX)
    }
    return {
        **inherited,
        "GIT_ALLOW_PROTOCOL": allowed,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        "GIT_EDITOR": "false",
        "LC_ALL": "C.UTF-8",
    }


@contextmanager
def records(arguments: Sequence[str], *, limit: float) -> Iterator[Iterator[bytes]]:
    """The NUL-terminated records of git's output, which is kept in a file and not in memory.

    Raises:
        GitError: git is not installed, failed, or took longer than the limit.
    """
    with tempfile.TemporaryFile() as output:
        done = run_git(arguments, stdout=output, limit=limit)
        if done.returncode:
            raise GitError(os.fsdecode(done.stderr).strip() or f"git ended with status {done.returncode}")
        output.seek(0)
        yield _split(output)


def _split(output: IO[bytes]) -> Iterator[bytes]:
    """The records of a file that end in a NUL byte, read in blocks."""
    rest = b""  # the beginning of a record that continues in the next block
    while block := output.read(1 << 16):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole


def in_repository(folder: Path, top: Path) -> list[str]:
    """General arguments for a folder of a working tree, independent of the location in the repository's configuration.

    Naming the repository also means that git does not ask who owns it.
    """
    return [f"--git-dir={top / '.git'}", f"--work-tree={top}", "-C", str(folder)]
