from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from telly.mining.repository.walk import SkippedFile, SourceFile, UnreadableError, read_text, walk

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="names, links and pipes of POSIX")


def put(root: Path, *names: str, text: str = "x = 1\n") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def taken(root: Path, **options: bool) -> list[str]:
    return [item.path for item in walk(root, **options) if isinstance(item, SourceFile)]


def skipped(root: Path) -> dict[str, str]:
    return {item.path: item.reason for item in walk(root) if isinstance(item, SkippedFile)}


def test_sources_by_path_with_reasons_for_the_rest(tmp_path: Path) -> None:
    put(tmp_path, "b.py", "a/z.go", "a.rs", "README.md", ".hidden/a.py", "vendor/x.go", "web/node_modules/a/b.js")
    put(tmp_path, "tests/a.py", "test_b.py", "a/z_test.go", "x_pb2.py", "web/jquery.min.js", "web/a.d.ts")
    assert taken(tmp_path) == ["a/z.go", "a.rs", "b.py"]
    assert skipped(tmp_path) == {
        "a/z_test.go": "tests",
        "test_b.py": "tests",
        "tests/": "tests",
        "vendor/": "vendored",
        "web/node_modules/": "vendored",
        "web/a.d.ts": "generated",
        "web/jquery.min.js": "minified",
        "x_pb2.py": "generated",
    }
    assert taken(tmp_path, tests=True) == ["a/z.go", "a/z_test.go", "a.rs", "b.py", "test_b.py", "tests/a.py"]


def test_notebooks_and_single_file_components_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "a.ipynb", "b/C.vue", "d.svelte", "e.astro", "f.min.vue", "g.ipynb", "h.txt", "tests/i.vue", "a.py")
    put(tmp_path, "j.dib", "K.zpln", "l.cshtml")
    (tmp_path / ".gitignore").write_text("g.ipynb\n")
    assert skipped(tmp_path) == {
        "a.ipynb": "notebooks",
        "b/C.vue": "single-file components",
        "d.svelte": "single-file components",
        "e.astro": "single-file components",
        "f.min.vue": "minified",
        "g.ipynb": "ignored by git",
        "j.dib": "notebooks",
        "K.zpln": "notebooks",
        "l.cshtml": "single-file components",
        "tests/": "tests",
    }
    assert taken(tmp_path) == ["a.py"]


def test_gitignore_as_git_reads_it(tmp_path: Path) -> None:
    put(tmp_path, "a.py", "b.py", "gen/c.py", "sub/a.py", "sub/b.py", "sub/deep/keep.py", "sub/deep/drop.py")
    (tmp_path / ".gitignore").write_text("/b.py\ngen/\n*drop*\n[z-a\n")
    (tmp_path / "sub" / ".gitignore").write_text("a.py\n")
    (tmp_path / "sub" / "deep" / ".gitignore").write_text("!drop.py\n")
    assert taken(tmp_path) == ["a.py", "sub/b.py", "sub/deep/drop.py", "sub/deep/keep.py"]
    assert skipped(tmp_path) == dict.fromkeys(("b.py", "gen/", "sub/a.py"), "ignored by git")


def test_rules_above_the_folder_hold_within_a_repository(tmp_path: Path) -> None:
    put(tmp_path, "src/a.py", "src/b.py", "out/c.py", ".git/info/exclude", text="src/b.py\n")
    put(tmp_path, ".git/HEAD", ".git/objects/info/x", ".git/refs/heads/x", text="ref: refs/heads/main\n")
    (tmp_path / ".gitignore").write_text("/src/a.py\nout/\n")
    assert taken(tmp_path / "src") == []
    assert taken(tmp_path / "out") == ["c.py"], "a folder that is named is meant"


def test_built_folders_without_a_gitignore(tmp_path: Path) -> None:
    put(tmp_path, "build/a.py", "b.py")
    assert taken(tmp_path) == ["b.py"]
    (tmp_path / ".gitignore").write_text("*.o\n")
    assert taken(tmp_path) == ["b.py", "build/a.py"]


@needs_posix
def test_links_are_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(tmp_path, "outside/secret.py", "root/a.py", "root/sub/b.py")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "file.py").symlink_to(tmp_path / "outside" / "secret.py")
    (root / "sub" / "loop").symlink_to(root)
    (root / "self.py").symlink_to(root / "self.py")
    (root / ".gitignore").symlink_to(tmp_path / "outside" / "secret.py")
    assert taken(root) == ["a.py", "sub/b.py"]
    assert skipped(root) == dict.fromkeys(("out", "file.py", "sub/loop", "self.py"), "a link")
    with pytest.raises(UnreadableError, match="cannot be read"):
        read_text(root, "file.py")


@needs_posix
def test_pipes_devices_and_sockets(tmp_path: Path) -> None:
    put(tmp_path, "a.py")
    os.mkfifo(tmp_path / "pipe.py")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.py")[-90:] if len(str(tmp_path)) > 90 else str(tmp_path / "s.py"))
        assert taken(tmp_path) == ["a.py"]
        assert skipped(tmp_path)["pipe.py"] == "no regular file"
    with pytest.raises(UnreadableError, match="no regular file"):
        read_text(tmp_path, "pipe.py")  # as if it had taken a file's place: must not wait for a writer


@needs_posix
@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser reads everything")
def test_what_may_not_be_read(tmp_path: Path) -> None:
    put(tmp_path, "a.py", "closed/b.py")
    (tmp_path / "a.py").chmod(0)
    (tmp_path / "closed").chmod(0)
    assert skipped(tmp_path) == {"closed": "cannot be read"}
    with pytest.raises(UnreadableError, match="cannot be read"):
        read_text(tmp_path, "a.py")
    (tmp_path / "closed").chmod(0o700)


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="cannot be read"):
        read_text(tmp_path, "gone.py")


@needs_posix
def test_odd_names(tmp_path: Path) -> None:
    names = ["new\nline.py", "tab\t.py", "-rf.py", "ünicode.py", "'q\".py"]
    put(tmp_path, *names)
    (tmp_path / os.fsdecode(b"\xff\xfe.py")).write_text("x = 1\n")
    assert set(taken(tmp_path)) == {*names, os.fsdecode(b"\xff\xfe.py")}
    assert all(read_text(tmp_path, path) == "x = 1\n" for path in taken(tmp_path))


def test_deep_folders(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
        folder.mkdir()
    (folder / "a.py").write_text("x = 1\n")
    assert taken(tmp_path) == ["d/" * 300 + "a.py"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"x = '\xe4'\n", "not UTF-8"),
        ("x = 1\n".encode("utf-16"), "not UTF-8"),
        (b"x = '\0'\n", "binary"),
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"x" * 6_000 + b"\n" * 6_000, "minified"),
        (b"x = 1\n" * 200_000, "larger than 1 MB"),
        (b"# Generated by a tool. DO NOT EDIT.\nx = 1\n", "generated"),
    ],
    ids=["latin-1", "utf-16", "nul", "empty", "blank", "long line", "huge", "generated"],
)
def test_texts_that_cannot_be_used(tmp_path: Path, raw: bytes, reason: str) -> None:
    (tmp_path / "a.py").write_bytes(raw)
    with pytest.raises(UnreadableError, match=reason):
        read_text(tmp_path, "a.py")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"\xef\xbb\xbfx = 1\n")
    assert read_text(tmp_path, "a.py") == "x = 1\n"
