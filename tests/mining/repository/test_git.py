"""Nothing that a repository names is run or written while git is asked about it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_history import git

from telly.mining.repository import git as safe
from telly.mining.repository.history import commit_of, last_changes
from telly.mining.repository.walk import SourceFile, walk

pytestmark = [
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
    pytest.mark.skipif(os.name == "nt", reason="plants shell scripts"),
]

CONFIGURED = (
    *("core.fsmonitor", "core.pager", "pager.ls-files", "core.editor", "core.sshCommand", "core.askPass"),
    *("core.gitProxy", "core.alternateRefsCommand", "credential.helper", "gpg.program", "diff.external"),
    *("filter.x.clean", "filter.x.smudge", "filter.x.process", "diff.x.textconv", "diff.x.command", "merge.x.driver"),
    *("uploadpack.packObjectsHook", "interactive.diffFilter", "hook.x.command"),
)
HOOKS = ("post-index-change", "fsmonitor-watchman", "post-checkout", "pre-auto-gc", "reference-transaction")
REMOTES = {
    "ext": {"remote.origin.url": "ext::{script}", "protocol.ext.allow": "always"},
    "upload-pack": {"remote.origin.url": "{folder}", "remote.origin.uploadpack": "{script}"},
    "helper": {"remote.origin.url": "{folder}", "remote.origin.vcs": "planted"},
}
"""Ways in which fetching the objects that a partial clone lacks runs a program."""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that leaves the file `ran` beside itself; also a helper for remotes that git finds."""
    script = tmp_path / "bin" / "git-remote-planted"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\necho run >> {tmp_path / 'bin' / 'ran'}\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return script


def ran(script: Path) -> bool:
    """Whether the program ran since this was last asked."""
    mark = script.parent / "ran"
    found = mark.exists()
    mark.unlink(missing_ok=True)
    return found


def planted(root: Path, script: Path) -> Path:
    """A repository in which every setting and hook names the program."""
    root.mkdir()
    git(root, "init", "-q")
    for name in ("a.py", "b.py", "sub/c.py"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x = 1\n")
    (root / ".gitignore").write_text("b.py\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")
    for name in CONFIGURED:
        git(root, "config", name, str(script))
    git(root, "config", "hook.x.event", "post-index-change")
    git(root, "config", "alias.ls-files", f"!{script}")
    git(root, "config", "log.showSignature", "true")
    (root / ".git" / "info" / "attributes").write_text("* filter=x diff=x merge=x\n")
    (root / ".git" / "hooks").mkdir(exist_ok=True)
    for hook in HOOKS:
        shutil.copy(script, root / ".git" / "hooks" / hook)
    ran(script)
    return root


def lacking(root: Path, script: Path, settings: dict[str, str]) -> Path:
    """A sparse partial clone: git must fetch a folder that it lacks to list what is tracked."""
    root.mkdir()
    git(root, "init", "-q")
    for name in ("keep/a.py", "drop/b.py"):
        (root / name).parent.mkdir()
        (root / name).write_text("x = 1\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")
    git(root, "sparse-checkout", "init", "--cone", "--sparse-index")
    git(root, "sparse-checkout", "set", "keep")
    tree = git(root, "rev-parse", "HEAD:drop").strip()
    (root / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    common = {
        "core.repositoryformatversion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
    }
    for name, value in {**common, **settings}.items():
        git(root, "config", name, value.format(script=script, folder=root))
    ran(script)
    return root


def taken(root: Path) -> list[str]:
    return [item.path for item in walk(root) if isinstance(item, SourceFile)]


def test_nothing_that_the_repository_names_is_run(tmp_path: Path, script: Path) -> None:
    root = planted(tmp_path / "r", script)
    assert taken(root) == ["a.py", "sub/c.py"]
    assert taken(root / "sub") == ["c.py"]
    assert commit_of(root)
    assert set(last_changes(root)) == {".gitignore", "a.py", "sub/c.py"}
    assert not ran(script)
    subprocess.run(["git", "-C", str(root), "ls-files", "--others"], check=True, capture_output=True)
    assert ran(script), "without the precautions the program runs"


def test_the_file_system_monitor_is_what_the_switch_holds_back(
    tmp_path: Path, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = planted(tmp_path / "r", script)
    monkeypatch.setattr(safe, "_OVERRIDES", tuple(x for x in safe._OVERRIDES if not x.startswith("core.fsmonitor")))
    assert taken(root) == ["a.py", "sub/c.py"]
    assert ran(script)


def test_signatures_are_what_the_switch_holds_back(
    tmp_path: Path, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = planted(tmp_path / "r", script)
    signed = "tree {}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\ngpgsig -----BEGIN PGP SIGNATURE-----\n\n x\n\nx\n"
    content = signed.format(git(root, "rev-parse", "HEAD^{tree}").strip()).replace("\n\n x", "\n x", 1)
    (tmp_path / "commit").write_text(content)
    commit = git(root, "hash-object", "-w", "-t", "commit", str(tmp_path / "commit")).strip()
    assert safe.run_git(["-C", str(root), "log", commit], limit=60).returncode == 0
    assert not ran(script)
    less = tuple(x for x in safe._OVERRIDES if not x.startswith(("gpg.program", "log.showSignature")))
    monkeypatch.setattr(safe, "_OVERRIDES", less)
    safe.run_git(["-C", str(root), "log", commit], limit=60)
    assert ran(script)


@pytest.mark.parametrize("way", REMOTES)
def test_nothing_is_fetched_for_a_partial_clone(
    tmp_path: Path, script: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lacking(tmp_path / "r", script, REMOTES[way])
    assert taken(root) == ["keep/a.py"]
    assert not ran(script)
    environment = safe._environment
    less = ("GIT_ALLOW_PROTOCOL", "GIT_NO_LAZY_FETCH")
    monkeypatch.setattr(safe, "_environment", lambda x: {k: v for k, v in environment(x).items() if k not in less})
    monkeypatch.setattr(safe, "_OVERRIDES", tuple(x for x in safe._OVERRIDES if not x.startswith("protocol.")))
    assert taken(root) == ["keep/a.py"]
    assert ran(script), "without the precautions the program runs"


def test_nothing_is_written(tmp_path: Path, script: Path) -> None:
    root = planted(tmp_path / "r", script)
    (root / "a.py").touch()  # git status would now bring the index up to date
    git(root, "config", "core.untrackedCache", "true")

    def files() -> dict[str, tuple[bytes, int]]:
        found = (path for path in (root / ".git").rglob("*") if path.is_file())
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}

    before = files()
    assert taken(root) == ["a.py", "sub/c.py"]
    last_changes(root)
    assert files() == before


def test_a_working_tree_elsewhere_is_not_read(tmp_path: Path, script: Path) -> None:
    root = planted(tmp_path / "r", script)
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "a.py").write_text("x = 1\n")
    (root / "new.py").write_text("x = 1\n")
    git(root, "config", "core.worktree", str(tmp_path / "private"))
    assert taken(root) == ["a.py", "new.py", "sub/c.py"]
    git(root, "config", "core.worktree", str(tmp_path / "nowhere"))
    assert taken(root) == ["a.py", "new.py", "sub/c.py"]
    git(root, "config", "--unset", "core.worktree")
    git(root, "config", "core.bare", "true")
    assert taken(root) == ["a.py", "new.py", "sub/c.py"]


def test_variables_of_an_outer_git_do_not_redirect(
    tmp_path: Path, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, other = planted(tmp_path / "r", script), planted(tmp_path / "other", script)
    (other / ".gitignore").write_text("*\n")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))  # as within a hook
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "none"))
    monkeypatch.setenv("GIT_PREFIX", "sub/")
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(script))
    monkeypatch.setenv("GIT_PAGER", str(script))
    assert taken(root) == ["a.py", "sub/c.py"]
    assert taken(root / "sub") == ["c.py"]
    assert not ran(script)
    assert not (tmp_path / "trace").exists()


def test_git_has_no_terminal_and_no_input(tmp_path: Path) -> None:
    done = safe.run_git(["-c", "alias.x=!tty; ps -o sid= -p $$; cat", "x"], limit=60)
    lines = done.stdout.split()
    assert lines[:2] == [b"not", b"a"]
    assert int(lines[-1]) != os.getsid(0)


def test_a_git_that_hangs_is_stopped(script: Path) -> None:
    script.with_name("git").write_text("#!/bin/sh\nexec sleep 60\n")
    script.with_name("git").chmod(0o755)
    with pytest.raises(safe.GitError, match=r"longer than 0\.2 seconds"):
        safe.run_git(["status"], limit=0.2)


def test_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(safe.GitError, match="cannot be started"):
        safe.run_git(["version"], limit=60)
