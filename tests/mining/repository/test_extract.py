from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repository_sources import PYTHON, SOURCES

from telly.mining.repository.extract import MAX_CODE_CHARACTERS, UnparsableError, extract
from telly.mining.repository.languages import LANGUAGES, Language, language_of, refined


def named(file: str) -> Language:
    language = language_of(file)
    assert language is not None
    return language


@pytest.mark.parametrize("file", SOURCES)
def test_functions_with_their_comments(file: str) -> None:
    source, expected = SOURCES[file]
    found = extract(source, named(file)).functions
    assert [(f.name, f.line, f.description) for f in found] == [(e.name, e.line, e.description) for e in expected]
    for function, wanted in zip(found, expected, strict=True):
        assert function.code.startswith(wanted.begins), function.code
        assert function.code.endswith(wanted.ends), function.code
        assert function.description not in function.code
        assert "\n\n" not in function.code


def test_every_language_has_a_source() -> None:
    assert {language_of(file) for file in SOURCES} == set(LANGUAGES)


@pytest.mark.parametrize("file", SOURCES)
def test_windows_line_ends(file: str) -> None:
    source, _ = SOURCES[file]
    assert extract(source.replace("\n", "\r\n"), named(file)) == extract(source, named(file))


def test_what_is_left_out_is_counted() -> None:
    found = extract(PYTHON, named("a.py"))
    assert found.left_out == {"no description": 1, "docstring on a line with code": 1}
    assert [f.name for f in extract(PYTHON, named("a.py"), documented=False).functions][2] == "undocumented"


def test_the_outer_of_two_functions_is_taken_or_else_the_inner() -> None:
    inner = '    def inner(a):\n        """Double what is given."""\n        b = a\n        return b + b\n'
    outer = f"def outer(a):\n{inner}    return inner\n"
    assert [f.name for f in extract(outer, named("a.py")).functions] == ["inner"]
    found = extract(outer, named("a.py"), documented=False)
    assert [f.name for f in found.functions] == ["outer"]
    assert found.left_out == {"within another function": 1}


def test_every_function_is_taken_where_that_is_wanted() -> None:
    long = f"def long(a):\n    def inner(b):\n        return b\n    a = {'1 + ' * 3000}1\n    return a\n"
    source = f'def short(a):\n    return a\n\n\ndef told(a):\n    """Only told."""\n\n\n{long}'
    assert extract(source, named("a.py"), documented=False).functions == []
    found = extract(source, named("a.py"), documented=False, every=True).functions
    assert [(f.name, f.line, f.last) for f in found] == [
        ("short", 1, 2),
        ("told", 5, 6),
        ("long", 9, 13),
        ("inner", 10, 11),
    ]
    assert found[1].code == 'def told(a):\n    """Only told."""', "a docstring that is all there is stays"


@pytest.mark.parametrize(
    ("file", "source", "signature"),
    [
        (
            "a.py",
            "def f(\n    a: int,  # a comment\n    b=(1, 2),\n) -> int:\n    return a\n",
            "def f(a: int, b=(1, 2)) -> int",
        ),
        ("a.js", "const f = async (a, b) => {\n  return a + b;\n};\n", "const f = async (a, b) =>"),
        ("a.go", "package p\n\nfunc (s *T) F(a int) error {\n\treturn nil\n}\n", "func (s *T) F(a int) error"),
        ("a.java", "class A {\n  int f(int a) {\n    return a;\n  }\n}\n", "int f(int a)"),
        ("a.rs", "fn f<T>(a: T) -> T\nwhere\n    T: Copy,\n{\n    a\n}\n", "fn f<T>(a: T) -> T where T: Copy,"),
    ],
)
def test_signatures(file: str, source: str, signature: str) -> None:
    [function] = extract(source, named(file), documented=False, every=True).functions
    assert function.signature == signature


def test_functions_around_an_error_are_still_found() -> None:
    good = 'def f(a):\n    """Double what is given."""\n    b = a\n    return b + b\n'
    found = extract(f"{good}\n\ndef g(:\n    return ]\n", named("a.py"))
    assert [f.name for f in found.functions] == ["f"]


@pytest.mark.parametrize("name", ["a.java", "a.cs"])
def test_many_open_angles_do_not_eat_the_memory(name: str) -> None:
    with pytest.raises(UnparsableError, match="nested too deeply"):
        extract("a<\n" * 60_000, named(name))
    extract("a(b<c);\n" * 5_000, named(name))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def f(:\n  ]]]\n", "does not parse as python"),
        ("(" * 10_000, "nested too deeply"),
        ("x = " + "[{(" * 4_000 + ")}]" * 4_000, "nested too deeply"),
    ],
    ids=["broken", "open", "closed"],
)
def test_sources_without_a_usable_tree(source: str, reason: str) -> None:
    with pytest.raises(UnparsableError, match=reason):
        extract(source, named("a.py"))


def test_many_brackets_one_after_the_other_are_not_deep() -> None:
    assert extract("x = [(1), (2)]\n" * 2_000, named("a.py")).functions == []


def test_very_long_functions_are_left_out() -> None:
    body = "    a = a + 1\n" * (MAX_CODE_CHARACTERS // 10)
    found = extract(f'def f(a):\n    """Count up for long."""\n{body}    return a\n', named("a.py"))
    assert found.left_out == {"longer than 10,000 characters": 1}


def test_headers_are_c_or_cpp_by_their_content() -> None:
    header = named("a.h")
    assert header.name == "c"
    assert refined(header, "a.h", b"int f(void);\n").name == "c"
    assert refined(header, "a.h", b"namespace a {\n}\n").name == "cpp"
    assert refined(named("a.c"), "a.c", b"class x;\n").name == "c"


def test_lines_to_complete_are_code_of_the_body() -> None:
    source = (
        "def f(a,\n      b):\n    # a comment with words\n    text = '''\n    x = y + z\n    '''\n"
        "    total = a + b\n    ok\n    return total * 2\n"
    )
    (function,) = extract(source, named("a.py"), documented=False, cuts=True).functions
    lines = function.code.split("\n")
    assert [lines[at].strip() for at in function.cuts] == ["total = a + b", "return total * 2"]
    (arrow,) = extract(SOURCES["name.tsx"][0], named("a.tsx"), cuts=True).functions
    assert arrow.code.split("\n")[arrow.cuts[0]].strip() == "const name = user.name;"


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(LANGUAGES), st.binary(max_size=400), st.booleans())
def test_any_text_is_mined_or_refused(language: Language, raw: bytes, documented: bool) -> None:
    with suppress(UnparsableError):
        extract(raw.decode(errors="replace"), language, documented=documented, cuts=True)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(SOURCES)), st.data())
def test_sources_with_a_piece_cut_out_are_mined_or_refused(file: str, data: st.DataObject) -> None:
    source, _ = SOURCES[file]
    start = data.draw(st.integers(0, len(source)))
    end = data.draw(st.integers(start, len(source)))
    try:
        found = extract(source[:start] + source[end:], named(file), documented=False, cuts=True)
    except UnparsableError:
        return
    for function in found.functions:
        assert all(0 < at < len(function.code.split("\n")) for at in function.cuts)
