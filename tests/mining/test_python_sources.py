from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telly.mining.python_sources import first_paragraph, functions_in, mine, source_files

SOURCE = '''\
import os

class Shelf:
    """Not a function."""

    def add(self, book):
        """Add a book to the shelf.

        Nothing is returned.
        """
        # the heaviest goes below

        self.books.append(book)
        return None

if os.name:
    async def fetch(url,
                    timeout=1):
        "Fetch a page over the network."
        page = await get(url)
        return page
'''


def test_docstring_is_the_query_and_not_in_the_code() -> None:
    add, fetch = functions_in(SOURCE, "shelf.py")
    assert (add.path, add.name, add.line, add.docstring) == ("shelf.py", "Shelf.add", 6, "Add a book to the shelf.")
    assert add.code == (
        "def add(self, book):\n    # the heaviest goes below\n    self.books.append(book)\n    return None"
    )
    assert (fetch.name, fetch.line, fetch.docstring) == ("fetch", 17, "Fetch a page over the network.")
    assert fetch.code.startswith("async def fetch(url,\n") and "over the network" not in fetch.code


@pytest.mark.parametrize(
    "source",
    [
        "def f(:",
        "x = '\0'",
        "def f(a):\n    b = a\n    return b",
        'def f(a):\n    """Only words and nothing else."""',
        'def f(a):\n    """Too short."""\n    b = a\n    return b',
        'def f(a):\n    """Naïve words are left out."""\n    b = a\n    return b',
        'def f(a):\n    """Return what was given."""\n    return a',
        'def f(a): """Return what was given."""; return (\na\n)',
        'def f(a):\n    """Return what was given."""; b = a\n    return b\n',
    ],
    ids=[
        "syntax",
        "null byte",
        "undocumented",
        "only docstring",
        "few words",
        "not ascii",
        "short",
        "one line",
        "glued",
    ],
)
def test_what_is_left_out(source: str) -> None:
    assert list(functions_in(source, "a.py")) == []


@pytest.mark.parametrize("mark", ["\x0c", "\x1c", "\x0b", "\x85", "\u2028"])
def test_marks_that_python_does_not_take_for_line_ends(mark: str) -> None:
    plain = list(functions_in(SOURCE, "a.py"))
    assert list(functions_in(SOURCE.replace("import os", f"import os  # {mark} page"), "a.py")) == plain


def test_windows_line_ends() -> None:
    assert list(functions_in(SOURCE.replace("\n", "\r\n"), "a.py")) == list(functions_in(SOURCE, "a.py"))


def test_mine_gives_each_body_once_and_leaves_tests_out(tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "tests/c.py", "_vendor/d.py", "test_e.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(SOURCE)
    (tmp_path / "latin.py").write_bytes(b"# \xe9\n" + SOURCE.encode())
    (tmp_path / "link.py").symlink_to(tmp_path / "a.py")
    assert [file.name for file in source_files(tmp_path)] == ["a.py", "b.py", "latin.py"]
    assert [(function.path, function.name) for function in mine(tmp_path)] == [("a.py", "Shelf.add"), ("a.py", "fetch")]


def test_first_paragraph() -> None:
    assert first_paragraph("  One\n   two. \n\nThree.") == "One two."
    assert first_paragraph("One.\n:param x: it") == "One."
    assert first_paragraph(">>> f()\n1") == ""


words = st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=3, max_size=8).map(" ".join)


@given(words, st.integers(0, 3), st.booleans())
def test_what_is_mined_still_parses(docstring: str, depth: int, several_lines: bool) -> None:
    quoted = f'"""{docstring}\n\n    More.\n    """' if several_lines else f'"{docstring}"'
    source = f"def f(a):\n    {quoted}\n    b = a\n    return b\n"
    for level in range(depth):
        source = f"class C{level}:\n" + textwrap.indent(source, "    ")
    (function,) = functions_in(source, "a.py")
    assert function.docstring == docstring
    assert ast.unparse(ast.parse(function.code)) == "def f(a):\n    b = a\n    return b"


def test_functions_without_docstring_where_they_are_wanted() -> None:
    source = (
        "def known(x):\n    'Has a docstring here.'\n    x += 1\n    return x\n"
        "def bare(x):\n\n    x += 1\n    return x\n"
        "def short(x):\n    'Too short.'\n    x += 1\n    return x\n"
    )
    assert [function.name for function in functions_in(source, "a.py")] == ["known"]
    known, bare = functions_in(source, "a.py", documented=False)
    assert (known.name, bare.name, bare.docstring) == ("known", "bare", "")
    assert bare.code == "def bare(x):\n    x += 1\n    return x"
