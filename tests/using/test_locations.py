"""Functions that a user names, as they are shown and as they are written in code."""

from __future__ import annotations

from pathlib import Path

import pytest

from telly.errors import DataError
from telly.using.locations import functions_named, split_name

SHELF = """\
struct Shelf {
  int& at(int i) { return a; }
  explicit operator bool() const { return 1; }
  friend std::ostream& operator<<(std::ostream& o, const Shelf& s) { return o; }
};
int Shelf::count() { return 1; }
"""
FILES = {
    "a.cpp": SHELF,
    "a.cs": "class M { static M operator +(M a) => a; int this[int i] => 1; static explicit operator int(M m) => 1; }",
    "a.js": "export default (a) => a; class A { #b() {} [Symbol.iterator]() {} } class B { b() {} }",
    "a.php": "<?php $handle = fn() => 1; class A { function f() {} }",
    "a.rb": "class A\n  def name=(v); end\n  def name; end\n  def <=>(o); end\nend",
}


@pytest.mark.parametrize(
    ("file", "asked", "names"),
    [
        ("a.cpp", "Shelf.operator<<", ["Shelf.operator<<"]),
        ("a.cpp", "operator <<", ["Shelf.operator<<"]),
        ("a.cpp", "operator bool", ["Shelf.operator bool"]),
        ("a.cpp", "Shelf::count", ["Shelf.count"]),
        ("a.cpp", "at", ["Shelf.at"]),
        ("a.cpp", "2", ["Shelf.at"]),
        ("a.cs", "operator +", ["M.operator +"]),
        ("a.cs", "M.operator+", ["M.operator +"]),
        ("a.cs", "this[]", ["M.this[]"]),
        ("a.cs", "explicit operator int", ["M.explicit operator int"]),
        ("a.js", "default", ["default"]),
        ("a.js", "#b", ["A.#b"]),
        ("a.js", "b", ["B.b"]),
        ("a.js", "A.b", ["A.#b"]),
        ("a.js", "[Symbol.iterator]", ["A.[Symbol.iterator]"]),
        ("a.php", "$handle", ["$handle"]),
        ("a.php", "handle", ["$handle"]),
        ("a.php", "A::f", ["A.f"]),
        ("a.php", "A->f", ["A.f"]),
        ("a.rb", "A#name", ["A.name"]),
        ("a.rb", "name=", ["A.name="]),
        ("a.rb", "<=>", ["A.<=>"]),
    ],
)
def test_functions_are_found_by_their_names(tmp_path: Path, file: str, asked: str, names: list[str]) -> None:
    path = tmp_path / file
    path.write_text(FILES[file])
    assert [location.function.name for location in functions_named(f"{path}:{asked}")] == names


def test_a_name_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "a.cpp"
    path.write_text(SHELF)
    with pytest.raises(DataError, match=r"no function 'Shelf::none'; known: Shelf.at, Shelf.operator bool"):
        functions_named(f"{path}:Shelf::none")


def test_file_names_with_colons(tmp_path: Path) -> None:
    path = tmp_path / "a:b.cpp"
    path.write_text(SHELF)
    assert split_name(str(path), "FILE") == (path, "")
    assert split_name(f"{path}:Shelf::at", "FILE") == (path, "Shelf::at")
    with pytest.raises(DataError, match="no such file"):
        split_name(f"{tmp_path / 'none.cpp'}:a::b", "FILE")
