"""What is ignored is exactly what git ignores, whether git is asked or its rules are applied."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from telly.mining.repository import ignored
from telly.mining.repository.history import commit_of, last_changes
from telly.mining.repository.walk import SkippedFile, SourceFile, walk

GIT = shutil.which("git")
PATH = os.environ.get("PATH", "")
pytestmark = [
    pytest.mark.skipif(GIT is None, reason="needs git"),
    pytest.mark.skipif(sys.platform == "win32", reason="names and links of POSIX"),
]


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    names = [part for key in ("user.name", "user.email") for part in ("-c", f"{key}=anna@example.org")]
    command = [str(GIT), *names, "-C", str(folder), *arguments]
    environment = {**os.environ, "PATH": PATH}
    return subprocess.run(command, env=environment, input=stdin, check=True, capture_output=True).stdout


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x = 1\n")


def repository(root: Path, *names: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q")
    put(root, *names)
    return root


def listed(root: Path) -> list[str]:
    """The Python files that git has in a folder, tracked or not, without those that are ignored."""
    found = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0")
    return sorted(
        {os.fsdecode(path) for path in found if path.endswith(b".py") and (root / os.fsdecode(path)).is_file()}
    )


@pytest.fixture(params=["git", "rules"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way in turn: git is asked, or is not installed."""
    way: str = request.param
    if way == "rules":
        monkeypatch.setenv("PATH", "/nonexistent")
    return way


def taken(root: Path) -> list[str]:
    return sorted(item.path for item in walk(root, tests=True) if isinstance(item, SourceFile))


def skipped(root: Path) -> dict[str, str]:
    return {item.path: item.reason for item in walk(root, tests=True) if isinstance(item, SkippedFile)}


def check(root: Path, *expected: str) -> None:
    """The walk takes what is expected, and git has just that."""
    assert taken(root) == sorted(expected)
    assert listed(root) == sorted(expected)


def test_an_allow_list_prunes_no_folder(tmp_path: Path, way: str) -> None:
    root = repository(tmp_path / "r", "a.py", "pkg/b.py", "pkg/sub/c.py", "pkg/d.js", "pkg/sub/e.go")
    (root / ".gitignore").write_text("*\n!*/\n!*.py\n")
    check(root, "a.py", "pkg/b.py", "pkg/sub/c.py")


def test_a_negated_folder_does_not_take_back_what_is_in_it(tmp_path: Path, way: str) -> None:
    root = repository(tmp_path / "r", "app/conf/ok.py", "app/conf/local_settings.py", "app/conf/x.py.tmp/y.py")
    (root / ".gitignore").write_text("local_settings.py\n*.tmp\n")
    (root / "app" / ".gitignore").write_text("/*.tmp\n!*/\n")
    check(root, "app/conf/ok.py", "app/conf/x.py.tmp/y.py")


def test_nothing_is_taken_back_from_an_ignored_folder(tmp_path: Path, way: str) -> None:
    root = repository(tmp_path / "r", "out/keep.py", "out/sub/keep.py", "a.py")
    (root / ".gitignore").write_text("out/\n!out/keep.py\n!keep.py\n")
    (root / "out" / ".gitignore").write_text("!*\n")
    check(root, "a.py")
    assert skipped(root) == {"out/": "ignored by git"}


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({}, ".config/git/ignore"),
        ({".gitconfig": "[core]\n\texcludesFile = ~/mine  ; a comment\n"}, "mine"),
        ({".gitconfig": '[CORE]\nExcludesFile="~/mi\\\nne"'}, "mine"),
        ({".config/git/config": "# first\r\n[core] excludesfile = ~/mine\r\n"}, "mine"),
        ({".gitconfig": "[include]\n\tpath = more\n", "more": "[core]\nexcludesfile = ~/mine\n"}, "mine"),
        (
            {".gitconfig": '[includeIf "gitdir:**/r/"]\npath = ~/more\n', "more": "[core]\nexcludesfile=~/mine\n"},
            "mine",
        ),
        ({".gitconfig": '[includeIf "onbranch:ma*"]\npath = more\n', "more": "[core]\nexcludesfile=~/mine\n"}, "mine"),
        ({".config/git/config": "[core]\nexcludesfile = x\n", ".gitconfig": "[core]\nexcludesfile = ~/mine\n"}, "mine"),
    ],
    ids=["default", "user", "quoted", "xdg", "include", "gitdir", "onbranch", "last"],
)
def test_the_users_own_ignore_file(tmp_path: Path, user: Path, settings: dict[str, str], where: str, way: str) -> None:
    root = repository(tmp_path / "r", "scratch/a.py", "top.py")
    git(root, "symbolic-ref", "HEAD", "refs/heads/main")
    (user / ".config" / "git").mkdir(parents=True)
    for name, text in settings.items():
        (user / name).write_text(text, newline="")
    (user / where).write_text("scratch/\n")
    check(root, "top.py")


@pytest.mark.parametrize(
    "settings",
    [
        "[core]\nexcludesfile =\n",
        '[includeIf "gitdir:**/other/"]\npath = more\n[core]\nexcludesfile = none\n',
        '[core "sub"]\nexcludesfile = x\n[core]\nexcludesfile = none # ~/.config/git/ignore\n',
    ],
    ids=["none", "another repository's", "a section of another name"],
)
def test_user_ignore_files_that_do_not_hold(tmp_path: Path, user: Path, settings: str, way: str) -> None:
    root = repository(tmp_path / "r", "scratch/a.py", "top.py")
    (user / ".config" / "git").mkdir(parents=True)
    (user / ".config" / "git" / "ignore").write_text("scratch/\n")
    (user / "more").write_text("[core]\nexcludesfile = ~/.config/git/ignore\n")
    (user / ".gitconfig").write_text(settings)
    check(root, "scratch/a.py", "top.py")


def test_users_choose_their_configuration_by_variables(
    tmp_path: Path, user: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    root = repository(tmp_path / "r", "scratch/a.py", "notes/b.py", "top.py")
    (user / "mine").write_text("scratch/\n")
    (user / "config").write_text(f"[core]\nexcludesfile = {user / 'mine'}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(user / "config"))
    check(root, "notes/b.py", "top.py")
    monkeypatch.delenv("GIT_CONFIG_GLOBAL")
    (user / "xdg" / "git").mkdir(parents=True)
    (user / "xdg" / "git" / "ignore").write_text("notes/\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(user / "xdg"))
    check(root, "scratch/a.py", "top.py")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "Core.ExcludesFile")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "~/mine")
    check(root, "notes/b.py", "top.py")


def test_the_repositorys_own_settings_come_last(tmp_path: Path, user: Path, way: str) -> None:
    root = repository(tmp_path / "r", "scratch/a.py", "notes/b.py", "sub/scratch/c.py")
    (user / ".gitconfig").write_text("[core]\nexcludesfile = ~/mine\n")
    (user / "mine").write_text("notes/\n")
    git(root, "config", "core.excludesFile", "sub/rules")
    (root / "sub" / "rules").write_text("/scratch/\n")
    check(root, "notes/b.py", "sub/scratch/c.py")
    assert taken(root / "sub") == ["scratch/c.py"]


def test_sources_of_rules_in_their_order(tmp_path: Path, user: Path, way: str) -> None:
    root = repository(tmp_path / "r", "a.py", "b.py", "c.py", "sub/a.py", "sub/b.py", "sub/c.py")
    (user / ".config" / "git").mkdir(parents=True)
    (user / ".config" / "git" / "ignore").write_text("a.py\nb.py\nc.py\n")
    (root / ".git" / "info" / "exclude").write_text("!b.py\n!c.py\n")
    (root / ".gitignore").write_text("c.py\n")
    (root / "sub" / ".gitignore").write_text("!c.py\n")
    check(root, "b.py", "sub/b.py", "sub/c.py")


def test_linked_worktrees_share_the_rules_of_their_repository(tmp_path: Path, way: str) -> None:
    root = repository(tmp_path / "r", "top.py")
    git(root, "add", "top.py")
    git(root, "commit", "-qm", "x")
    git(root, "worktree", "add", "-q", str(tmp_path / "linked"))
    (root / ".git" / "info" / "exclude").write_text("notes/\n")
    put(tmp_path / "linked", "notes/n.py", "other.py")
    check(tmp_path / "linked", "top.py", "other.py")
    git(root, "config", "extensions.worktreeConfig", "true")
    git(tmp_path / "linked", "config", "--worktree", "core.excludesFile", "mine")
    (tmp_path / "linked" / "mine").write_text("other.py\n")
    check(tmp_path / "linked", "top.py")


@pytest.mark.parametrize("folder", ["", "sub"])
def test_linked_ignore_files_are_passed_over_in_the_tree_alone(
    tmp_path: Path, user: Path, folder: str, way: str
) -> None:
    root = repository(tmp_path / "r", "sub/a.py", "sub/b.py", "sub/c.py")
    (tmp_path / "rules").write_text("a.py\n")
    (root / folder / ".gitignore").symlink_to(tmp_path / "rules")
    check(root, "sub/a.py", "sub/b.py", "sub/c.py")
    (tmp_path / "users").write_text("b.py\n")
    (user / ".config" / "git").mkdir(parents=True)
    (user / ".config" / "git" / "ignore").symlink_to(tmp_path / "users")
    (root / ".git" / "info" / "exclude").unlink()
    (root / ".git" / "info" / "exclude").symlink_to(tmp_path / "rules")
    check(root, "sub/c.py")


def test_a_linked_ignore_file_in_no_repository(tmp_path: Path) -> None:
    put(tmp_path, "a.py", "sub/a.py", "rules/b.py")
    (tmp_path / "rules" / "ignore").write_text("a.py\n")
    (tmp_path / ".gitignore").symlink_to(tmp_path / "rules" / "ignore")
    (tmp_path / "sub" / ".gitignore").symlink_to(tmp_path / "rules" / "ignore")
    assert taken(tmp_path) == ["a.py", "rules/b.py", "sub/a.py"]


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_tracked_files_are_not_ignored(tmp_path: Path, version: str, way: str) -> None:
    long = f"k/{'m' * 200}_gen.py"  # version 4 counts what two paths have not in common in a number of two bytes
    root = repository(
        tmp_path / "r", "out/a.py", "out/b.py", "out/sub/c.py", "gen/d.py", "e_gen.py", "f_gen.py", "g.py"
    )
    put(root, long, "z_gen.py")
    git(root, "add", "out/a.py", "e_gen.py", "g.py", long, "z_gen.py")
    if version == "3":
        git(root, "add", "--intent-to-add", "out/sub/c.py")
    git(root, "update-index", "--index-version", version)
    (root / ".gitignore").write_text("out/\n/gen\n*_gen.py\n")
    (root / "out" / ".gitignore").write_text("!b.py\n")
    more = ["out/sub/c.py"] if version == "3" else []
    check(root, "out/a.py", "e_gen.py", "g.py", long, "z_gen.py", *more)
    assert taken(root / "out") == ["a.py", *(path.removeprefix("out/") for path in more)]
    assert taken(root / "gen") == ["d.py"], "a folder that is named is meant"


def test_repositories_of_other_formats(tmp_path: Path, way: str) -> None:
    root = tmp_path / "r"
    root.mkdir()
    git(root, "init", "-q", "--object-format=sha256")
    put(root, "a.py", "b.py", "some/long/path/c.py")
    (root / ".gitignore").write_text("*.py\n")
    git(root, "add", "-f", "a.py", "some")
    check(root, "a.py", "some/long/path/c.py")
    git(root, "update-index", "--split-index")
    git(root, "add", "-f", "b.py")
    check(root, "a.py", "b.py", "some/long/path/c.py")


def test_files_that_a_sparse_checkout_left_behind(tmp_path: Path, way: str) -> None:
    root = repository(tmp_path / "r", "keep/a.py", "drop/b.py")
    git(root, "add", ".")
    git(root, "commit", "-qm", "x")
    git(root, "sparse-checkout", "set", "keep")
    assert not (root / "drop").exists()
    put(root, "drop/b.py", "drop/new.py")
    (root / ".gitignore").write_text("*.py\n")
    check(root, "keep/a.py", "drop/b.py")


def test_what_another_repository_keeps_is_not_this_ones(tmp_path: Path, way: str) -> None:
    library = repository(tmp_path / "library", "l.py")
    git(library, "add", ".")
    git(library, "commit", "-qm", "x")
    root = repository(tmp_path / "r", "a.py")
    git(root, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "sub")
    repository(root / "embedded" / "deep", "b.py")
    repository(root / "ignored", "c.py")
    put(root, "broken/d.py", "broken/.git/HEAD", "embedded/e.py")
    (root / ".gitignore").write_text("/ignored\n")
    check(root, "a.py", "broken/d.py", "embedded/e.py")
    nested = {"sub/": "another repository", "embedded/deep/": "another repository"}
    assert skipped(root) == {**nested, "ignored/": "ignored by git"}
    check(root / "sub", "l.py")
    shutil.rmtree(root / "sub")
    put(root, "sub/left.py")
    check(root, "a.py", "broken/d.py", "embedded/e.py")
    assert taken(root / "sub") == ["left.py"], "a folder that is named is meant"


def test_a_folder_of_repositories(tmp_path: Path, way: str) -> None:
    one = repository(tmp_path / "all" / "one", "a.py", "out/b.py", "out/c.py")
    (one / ".gitignore").write_text("out/\n")
    git(one, "add", "-f", "out/c.py")
    two = repository(tmp_path / "all" / "two", "a.py", "out/b.py", "build/c.py")
    (two / ".git" / "info" / "exclude").write_text("a.py\n")
    put(tmp_path / "all", "out.py", "build/x.py", "three/deep/y.py")
    (tmp_path / "all" / ".gitignore").write_text("*.tmp\n/three\n")
    expected = ["build/x.py", "one/a.py", "one/out/c.py", "out.py", "two/build/c.py", "two/out/b.py"]
    assert taken(tmp_path / "all") == expected


def test_a_root_that_its_repository_ignores_is_meant(tmp_path: Path, user: Path, way: str) -> None:
    root = repository(tmp_path / "r", "out/a.py", "out/b.py", "out/in/a.py")
    (root / ".gitignore").write_text("out/\na.py\n")
    (root / "out" / ".gitignore").write_text("b.py\n")
    assert taken(root / "out") == ["a.py", "in/a.py"]
    assert taken(root / "out" / "in") == ["a.py"]
    assert taken(root) == []
    put(root, ".git/hooks/h.py")
    assert taken(root / ".git" / "hooks") == ["h.py"]


def test_a_root_below_the_top_is_under_the_rules_above(tmp_path: Path, way: str) -> None:
    root = repository(tmp_path / "r", "x/y/a.py", "x/y/b.py", "x/y/c.py", "x/y/z/d.py", "x/y/[w]/e.py")
    (root / ".gitignore").write_text("/x/y/a.py\nz/\n")
    (root / "x" / ".gitignore").write_text("y/b.py\n")
    check(root / "x" / "y", "c.py", "[w]/e.py")
    check(root / "x" / "y" / "[w]", "e.py")
    assert taken(root / "x" / "y" / "z") == ["d.py"]


def test_names_and_patterns_in_any_bytes(tmp_path: Path, way: str) -> None:
    root = repository(tmp_path / "r", "é.py", "ü.py", "new\nline.py", " a.py", ":b.py", "-c.py")
    put(root, os.fsdecode(b"\xff.py"), os.fsdecode(b"\xfe/dd.py"), os.fsdecode(b"sub\xfc/e.py"))
    (root / ".gitignore").write_bytes(b"\xff.py\n\xc3\xa9.py\n?.py\nsub?/\n")
    kept = [os.fsdecode(b"\xfe/dd.py"), "ü.py", "new\nline.py", " a.py", ":b.py", "-c.py"]
    check(root, *kept)


def test_upper_and_lower_case_where_git_folds_them(tmp_path: Path, way: str) -> None:
    root = repository(tmp_path / "r", "Keep.py", "Drop.py", "Out/a.py", "src/X1.py", "src/tracked.py")
    git(root, "add", "src/tracked.py")
    git(root, "config", "core.ignorecase", "true")
    (root / ".gitignore").write_text("drop.PY\nout\n/SRC/x[0-9]*.py\nTRACKED.py\n")
    (root / "src" / "tracked.py").rename(root / "src" / "Tracked.py")
    assert taken(root) == ["Keep.py", "src/Tracked.py"]
    git(root, "config", "core.ignorecase", "false")
    assert taken(root) == ["Drop.py", "Keep.py", "Out/a.py", "src/Tracked.py", "src/X1.py"]


@pytest.mark.parametrize("damage", ["index", "config", "HEAD", "objects"])
def test_damaged_repositories(tmp_path: Path, damage: str, way: str) -> None:
    root = repository(tmp_path / "r", "a.py", "b.py", "c.py", "sub/b.py")
    (root / ".gitignore").write_text("b.py\n")
    (root / ".git" / "info" / "exclude").write_text("c.py\n")
    if damage == "objects":
        shutil.rmtree(root / ".git" / "objects")
    else:
        (root / ".git" / damage).write_text("[no\x01thing")
    whole = damage in ("index", "config")  # still a repository, though git refuses it
    assert taken(root) == (["a.py"] if whole else ["a.py", "c.py"])


def test_a_repository_of_another_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path / "r", "a.py", "b.py", "c.py")
    (root / ".gitignore").write_text("b.py\nc.py\n")
    git(root, "add", "-f", "b.py")
    git(root, "commit", "-qm", "x")
    other = tmp_path / "bin" / "git"
    other.parent.mkdir()
    other.write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {GIT} "$@"\n')
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{other.parent}:{os.environ['PATH']}")
    refused = subprocess.run(["git", "-C", str(root), "ls-files"], capture_output=True, check=False)
    assert b"dubious ownership" in refused.stderr
    monkeypatch.setattr(ignored, "_Rules", None)  # git itself must answer
    assert taken(root) == ["a.py", "b.py"]
    assert commit_of(root) == git(root, "rev-parse", "HEAD").decode().strip()
    assert list(last_changes(root)) == ["b.py"]


def test_a_pipe_in_place_of_an_ignore_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    root = repository(tmp_path / "r", "a.py", "sub/b.py", "sub/c.py")
    (root / ".git" / "info" / "exclude").write_text("c.py\n")
    os.mkfifo(root / "sub" / ".gitignore")
    monkeypatch.setattr(ignored, "SECONDS", 0.5)
    assert taken(root) == ["a.py", "sub/b.py"]


def test_folders_that_may_not_be_entered(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path / "r", "a.py", "closed/b.py")
    (root / "closed").chmod(0o400)  # it can be listed, but nothing in it can be looked at
    real = os.stat

    def refusing(path: object, **options: object) -> os.stat_result:
        """Refuse as the system does, also for the superuser."""
        if str(path).startswith(f"{root / 'closed'}/"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(os, "stat", refusing)
    assert "a.py" in taken(root)
    (root / "closed").chmod(0o700)


def test_no_pattern_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    name = "a" * 200 + ".py"
    put(tmp_path, name, "a/" * 40 + "a.py")
    (tmp_path / ".gitignore").write_text("a*" * 60 + "b\n" + "**/a/" * 30 + "b\n/" + "*a/**/" * 30 + "*a*a*a*b\n")
    start = time.monotonic()
    assert taken(tmp_path) == ["a/" * 40 + "a.py", name]
    assert time.monotonic() - start < 5
