"""Patterns of ignore files, by hand and compared with git."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telly.mining.repository import ignored
from telly.mining.repository.gitdir import repository_at
from telly.mining.repository.ignore import IgnoreFile, patterns_of
from telly.mining.repository.walk import SourceFile, walk

needs_git = pytest.mark.skipif(
    shutil.which("git") is None or os.name == "nt", reason="compares with git, by names that Windows does not allow"
)


def ignores(content: bytes, path: bytes, *, fold: bool = False) -> bool:
    """Whether an ignore file at the top ignores a file, itself or by a folder that it is in."""
    file = IgnoreFile(b"", patterns_of(content, fold=fold))
    parts = path.split(b"/")
    folders = (b"/".join(parts[:number]) for number in range(1, len(parts)))
    return any(file.ignores(folder, folder=True) for folder in folders) or bool(file.ignores(path, folder=False))


BY_HAND = [
    (b"a.py", [b"a.py", b"x/a.py", b"a.py/b"], [b"aa.py", b"a.pyc"]),
    (b"/a.py", [b"a.py"], [b"x/a.py"]),
    (b"x/a.py", [b"x/a.py"], [b"y/x/a.py"]),
    (b"x/", [b"x/a", b"y/x/a"], [b"x", b"y/x"]),
    (b"/x/", [b"x/a"], [b"y/x/a", b"x"]),
    (b"*.py", [b".py", b"x/a.py"], [b"a.py.txt", b"py"]),
    (b"x/*.py", [b"x/a.py"], [b"x/y/a.py", b"a.py"]),
    (b"x/**", [b"x/a", b"x/y/a", b"x/a\nb"], [b"x", b"y/x/a"]),
    (b"**/a", [b"a", b"x/a", b"x/y/a"], [b"xa"]),
    (b"x/**/a", [b"x/a", b"x/y/a", b"x/y/z/a"], [b"xa", b"x/ya", b"a"]),
    (b"x**/a", [b"x/a", b"xy/a", b"xa", b"xy/z/a"], [b"y/x/a"]),  # git compares the literal `x` beforehand
    (b"x**a", [b"xa", b"xya", b"y/xa"], [b"x/a"]),
    (b"/x**a", [b"xa", b"xya"], [b"x/a", b"y/xa"]),
    (b"**\\/a", [b"x/a", b"x/y/a"], [b"a"]),
    (b"*/a", [b"x/a"], [b"a", b"x/y/a"]),
    (b"***/a", [b"a", b"x/y/a"], []),
    (b"a?c", [b"abc", b"a\xffc", b"a\nc"], [b"ac", b"a/c", "aéc".encode()]),
    (b"\\*", [b"*"], [b"a"]),
    (b"\\#a", [b"#a"], []),
    (b"#a", [], [b"#a", b"a"]),
    (b"\\!a", [b"!a"], [b"a"]),
    (b"!a", [], [b"!a", b"a"]),
    (b" a", [b" a"], [b"a"]),
    (b"a  ", [b"a"], [b"a  "]),
    (b"a\\  ", [b"a "], [b"a", b"a  "]),
    (b"a\t", [b"a\t"], [b"a"]),
    (b"a \\", [], [b"a", b"a ", b"a \\"]),
    (b"a\\", [], [b"a", b"a\\"]),
    (b"a\r\nb\r\n", [b"a", b"b"], [b"a\r"]),
    (b"a\r", [b"a"], [b"a\r"]),
    (b"a\r\r\n", [b"a\r"], [b"a", b"a\r\r"]),
    (b"\xef\xbb\xbfa\nb", [b"a", b"b"], [b"\xef\xbb\xbfa"]),
    (b"b\n\xef\xbb\xbfa", [b"\xef\xbb\xbfa"], [b"a"]),
    (b"a\0b", [b"a"], [b"a\0b", b"b"]),
    (b"\xff\n\xc3\xa9", [b"\xff", "é".encode()], [b"\xef\xbf\xbd"]),
    (b"\n/\n//\n!\n!/\n \n", [], [b"a", b"a/b", b" "]),
    (b"a\n!a\n", [], [b"a"]),
    (b"!a\na\n", [b"a"], []),
    (b"x\n!x/a\n", [b"x/a"], []),
    (b"x/*\n!x/a\n", [b"x/b"], [b"x/a"]),
    (b"*\n!*/\n!*.py\n", [b"a", b"x/b"], [b"a.py", b"x/y/b.py"]),
    (b"[ab].py", [b"a.py", b"b.py"], [b"c.py", b"[ab].py"]),
    (b"[!a]", [b"b"], [b"a"]),
    (b"[^a]", [b"b", b"\xff"], [b"a"]),
    (b"[a-c]", [b"b"], [b"d", b"-"]),
    (b"[c-a]", [b"c"], [b"a", b"b", b"-"]),
    (b"[]a]", [b"]", b"a"], [b"b"]),
    (b"[!]a]", [b"b"], [b"]", b"a"]),
    (b"[a-]", [b"a", b"-"], [b"b"]),
    (b"[\\]a]", [b"]", b"a"], [b"\\"]),
    (b"[a\\-c]", [b"a", b"-", b"c"], [b"b"]),
    (b"[a-\\c]", [b"b"], [b"\\"]),
    (b"[[:digit:]x]", [b"7", b"x"], [b"d", b":"]),
    (b"[[:upper:]]", [b"A"], [b"a"]),
    (b"[[:none:]]", [], [b"n", b":"]),
    (b"[[:a]", [b"[", b":", b"a"], [b"b"]),
    (b"[a", [], [b"[a", b"a"]),
    (b"x[/]a", [], [b"x/a", b"x"]),
    (b"x/[!b]a", [b"x/aa"], [b"x/ba", b"x//a"]),
]


@pytest.mark.parametrize(("content", "ignored", "kept"), BY_HAND, ids=[ascii(case[0])[2:-1] for case in BY_HAND])
def test_patterns(content: bytes, ignored: list[bytes], kept: list[bytes]) -> None:
    assert [path for path in ignored if not ignores(content, path)] == []
    assert [path for path in kept if ignores(content, path)] == []


@pytest.mark.parametrize(
    ("content", "ignored", "kept"),
    [
        (b"README", [b"readme", b"Readme"], []),
        (b"*.PY", [b"a.py"], [b"a.pyc"]),
        (b"/X/y*.PY", [b"x/Yz.py"], [b"z/x/y.py"]),
        (b"x?[a-c]", [b"XyB"], []),
        (b"[A-C]1", [b"a1", b"B1"], []),
        (b"[A]1", [], [b"a1", b"A1"]),  # git folds what is compared, but not single letters in brackets
        (b"\\A*", [], [b"a1", b"A1"]),
        (b"[[:upper:]]1", [b"a1"], []),
        (b"\xc3\x89", [], ["é".encode()]),
    ],
    ids=["name", "suffix", "path", "bracket", "range", "letter", "escaped", "class", "beyond ASCII"],
)
def test_patterns_where_case_does_not_count(content: bytes, ignored: list[bytes], kept: list[bytes]) -> None:
    assert [path for path in ignored if not ignores(content, path, fold=True)] == []
    assert [path for path in kept if ignores(content, path, fold=True)] == []


@needs_git
def test_git_agrees_on_what_is_written_here(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    asked: dict[bytes, bool] = {}
    for number, (content, matched, unmatched) in enumerate(BY_HAND):
        (tmp_path / f"t{number}").mkdir()
        (tmp_path / f"t{number}" / ".gitignore").write_bytes(content)
        answers = {path: path in matched for path in [*matched, *unmatched] if b"\0" not in path and b"//" not in path}
        asked |= {b"t%d/%s" % (number, path): answer for path, answer in answers.items()}
    said = git(tmp_path, "check-ignore", "--no-index", "-z", "--stdin", stdin=b"\0".join(asked) + b"\0", also=1)
    assert [path for path, answer in asked.items() if answer] == said


# Properties: whatever the patterns and the tree, git agrees


def git(root: Path, *arguments: str, stdin: bytes = b"", also: int = 0) -> list[bytes]:
    done = subprocess.run(["git", "-C", str(root), *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode in (0, also), done.stderr
    return done.stdout.split(b"\0")[:-1]


NAMES = [
    b"a",
    b"b",
    b"ab",
    b"aab",
    b"B",
    b"Ab",
    b"a.py",
    b"b.py",
    b"a b",
    b"a ",
    b" a",
    b"]",
    b"[a]",
    b"-",
    b"!a",
    b"#a",
]
NAMES += [b"\\a", b"\xff", "é".encode(), b"a\nb", b"^", b"*", b"a*", b"?", b":", b"a\r", b"a\t"]
names = st.sampled_from(NAMES)
paths = st.lists(names, min_size=1, max_size=4).map(b"/".join)
brackets = st.sampled_from(
    [
        *(b"[ab]", b"[!a]", b"[^a]", b"[a-c]", b"[c-a]", b"[]a]", b"[!]a]", b"[a", b"[", b"[[:alpha:]]", b"[[:foo:]]"),
        *(b"[[:upper:]a]", b"[\\]a]", b"[a-]", b"[-a]", b"[a\\-c]", b"[[:alpha:]-z]", b"[A-Z]", b"[[:]", b"[[:a]"),
        *(b"[a-c-e]", b"[\x80-\xff]", b"[[:space:]]", b"[/]", b"[a/b]", b"[+-0]", b"[!-]", b"[[:punct:][:digit:]]"),
    ]
)
wildcards = st.sampled_from([b"*", b"*", b"**", b"***", b"?", b"\\*", b"\\a", b"\\A", b"\\ ", b"\\/", b"\\"])
segments = st.one_of(
    names, st.just(b"**"), st.just(b"*"), st.lists(st.one_of(names, wildcards, brackets), max_size=4).map(b"".join)
)
lines = st.builds(
    lambda negated, start, parts, end: negated + start + b"/".join(parts) + end,
    st.sampled_from([b"", b"", b"", b"!"]),
    st.sampled_from([b"", b"", b"", b"/"]),
    st.lists(segments, min_size=1, max_size=3),
    st.sampled_from([b"", b"", b"", b"/", b" ", b"\\ ", b"\\", b"\t", b" \r"]),
)
contents = st.builds(
    lambda bom, found, end: bom + end.join(found) + end,
    st.sampled_from([b"", b"", b"", b"", b"\xef\xbb\xbf"]),
    st.lists(lines, min_size=1, max_size=4),
    st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"]),
)


@needs_git
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    cases=st.lists(st.tuples(contents, st.lists(paths, min_size=8, max_size=8)), min_size=40, max_size=60),
    fold=st.booleans(),
)
def test_git_agrees_on_patterns(cases: list[tuple[bytes, list[bytes]]], fold: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        git(root, "init", "-q")
        git(root, "config", "core.ignorecase", str(fold).lower())
        for number, (content, _) in enumerate(cases):
            (root / f"t{number}").mkdir()
            (root / f"t{number}" / ".gitignore").write_bytes(content)
        asked = {
            b"t%d/" % n + path: ignores(c, path, fold=fold) for n, (c, found) in enumerate(cases) for path in found
        }
        said = git(root, "check-ignore", "--no-index", "-z", "--stdin", stdin=b"\0".join(asked) + b"\0", also=1)
        assert {path for path, ignored in asked.items() if ignored} == set(said)


Tree = dict[bytes, "Tree | bytes"]
trees = st.recursive(
    st.just(b""),
    lambda below: st.builds(
        lambda entries, ignore: {**entries, **({b".gitignore": ignore} if ignore is not None else {})},
        st.dictionaries(names, below, min_size=1, max_size=4),
        st.none() | contents,
    ),
    max_leaves=12,
)


def make(root: bytes, tree: Tree, *, fold: bool) -> None:
    """Write a tree; of names that differ in case alone only one, where a file system that folds case has but one."""
    os.makedirs(root, exist_ok=True)  # noqa: PTH103 - pathlib knows no bytes
    entries = {name.lower(): (name, entry) for name, entry in tree.items()}.values() if fold else tree.items()
    for name, entry in entries:
        path = root + b"/" + name
        if isinstance(entry, dict):
            make(path, entry, fold=fold)
        else:
            with open(path, "wb") as stream:  # noqa: PTH123 - pathlib knows no bytes
                stream.write(entry)


@needs_git
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    forest=st.lists(trees, min_size=25, max_size=40),
    exclude=contents,
    users=contents,
    tracked=st.integers(2, 9),
    fold=st.booleans(),
)
def test_git_agrees_on_trees(
    forest: list[Tree | bytes], exclude: bytes, users: bytes, tracked: int, fold: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "r"
        root.mkdir()
        git(root, "init", "-q")
        git(root, "config", "core.ignorecase", str(fold).lower())
        git(root, "config", "core.excludesFile", f"{folder}/users")
        (root / ".git" / "info" / "exclude").write_bytes(exclude)
        (root.parent / "users").write_bytes(users)
        for number, tree in enumerate(forest):
            make(os.fsencode(root) + b"/t%d" % number, tree if isinstance(tree, dict) else {b"a": tree}, fold=fold)
        others = git(root, "ls-files", "-z", "--others")
        git(root, "update-index", "-z", "--add", "--stdin", stdin=b"\0".join(others[::tracked]) + b"\0")
        expected = set(git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"))
        found = repository_at(root)
        assert found is not None
        assert kept(root, ignored._Rules.beginning(root, found)) == expected
        listing = ignored._Listing.of(root, found, 0)
        assert listing is not None
        assert kept(root, listing) == expected
        sources = {os.fsencode(item.path) for item in walk(root, tests=True) if isinstance(item, SourceFile)}
        assert sources == {path for path in expected if path.endswith(b".py")}


def kept(root: Path, scope: ignored.Scope) -> set[bytes]:
    """All files of a folder that are not ignored, whatever their language."""
    found: set[bytes] = set()
    stack = [("", scope)]
    while stack:
        folder, scope = stack.pop()
        for entry in os.scandir(root / folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir():
                if entry.name != ".git" and scope.leaves_out(path) is None:
                    stack.append((path, scope.enter(path)))
            elif not scope.ignores(path):
                found.add(os.fsencode(path))
    return found
