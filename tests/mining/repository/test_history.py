from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from telly.errors import DataError
from telly.mining.repository.history import clone, commit_of, is_address, last_changes, without_credentials

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *arguments: str, date: str = "2024-01-01T00:00:00Z") -> str:
    names = {f"GIT_{who}_{what}": "anna@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(
        command, env={**os.environ, **names, **dates}, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    for year, name in ((2020, "old.py"), (2022, "sub/new\nline.py"), (2023, "ünicode.py")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x = 1\n")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "one\n\nmore", date=f"{year}-01-01T00:00:00Z")
    (folder / "old.py").write_text("x = 2\n")
    git(folder, "commit", "-qam", "later", date="2024-01-01T00:00:00Z")
    return folder


def test_last_changes(repository: Path) -> None:
    found = last_changes(repository)
    assert found == {"old.py": 1704067200, "sub/new\nline.py": 1640995200, "ünicode.py": 1672531200}
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD").strip()


def test_nothing_of_the_repository_is_run(repository: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    script = tmp_path / "script.sh"
    script.write_text(f"#!/bin/sh\ntouch {ran}\n")
    script.chmod(0o755)
    for name in ("core.fsmonitor", "core.pager", "gpg.program", "core.sshCommand", "diff.external", "core.editor"):
        git(repository, "config", name, str(script))
    git(repository, "config", "log.showSignature", "true")
    git(repository, "config", "remote.origin.url", f"ext::{script}")
    git(repository, "config", "remote.origin.promisor", "true")
    for hook in ("post-checkout", "post-merge", "reference-transaction", "post-index-change"):
        (repository / ".git" / "hooks").mkdir(exist_ok=True)
        shutil.copy(script, repository / ".git" / "hooks" / hook)
    ran.unlink(missing_ok=True)
    assert len(last_changes(repository)) == 3
    assert commit_of(repository)
    clone(f"file://{repository}", tmp_path / "copy", history=True)
    assert not ran.exists()
    assert len(last_changes(tmp_path / "copy")) == 3


def test_a_shallow_copy_has_no_dates(repository: Path, tmp_path: Path) -> None:
    clone(f"file://{repository}", tmp_path / "copy", history=False)
    assert (tmp_path / "copy" / "old.py").read_text() == "x = 2\n"
    with pytest.raises(DataError, match="a shallow clone, in which all files have one date"):
        last_changes(tmp_path / "copy")


def test_a_copy_that_fails_says_why_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        clone(f"file://anna:geheim@{tmp_path}/none", tmp_path / "copy", history=False)
    assert "cannot be cloned" in str(error.value)
    assert "geheim" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://example.org/a/b", True),
        ("ssh://git@example.org/a/b.git", True),
        ("git@example.org:a/b.git", True),
        ("file:///a/b", True),
        ("some/folder", False),
        ("folder", False),
        ("--upload-pack=touch", False),
        ("-oProxyCommand=x:y", False),
    ],
)
def test_what_is_an_address(source: str, expected: bool) -> None:
    assert is_address(source) is expected


@pytest.mark.parametrize("source", ["ext::sh -c touch% x", "fd::17", "ftp://example.org/a", "ssh://-oProxyCommand=x/a"])
def test_addresses_that_git_is_not_given(source: str) -> None:
    with pytest.raises(DataError, match=r"is not used here|does not begin with '-'"):
        is_address(source)


def test_names_and_passwords_are_left_out() -> None:
    assert without_credentials("https://anna:geheim@example.org/x") == "https://example.org/x"
