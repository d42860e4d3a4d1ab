from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telly.mining.repository.extract import UnparsableError, extract
from telly.mining.repository.languages import language_of

SAID = "Count the orders of a customer."
JAVA = "int count(int a) {\n  int b = a;\n  return b;\n}\n"
SCRIPT = "count(a) {\n  const b = a;\n  return b;\n}\n"
GO = "func count(a int) int {\n\tb := a\n\treturn b\n}\n"
RUBY = "def count(a)\n  b = a\n  b\nend\n"
PHP = "public function count($a) {\n  $b = $a;\n  return $b;\n}\n"
C = "int count(int a)\n{\n  int b = a;\n  return b;\n}\n"
SHARP = "public int Count(int a) {\n  var b = a;\n  return b;\n}\n"
RUST = "pub fn count(a: i32) -> i32 {\n  let b = a;\n  b\n}\n"


def said(file: str, source: str) -> list[str]:
    """The descriptions of the functions of a source."""
    language = language_of(file)
    assert language is not None
    return [function.description for function in extract(source, language, documented=False, every=True).functions]


BETWEEN = {
    "java-annotations": ("A.java", f'class A {{\n/** {SAID} */\n@Override\n@Named("x") // why\npublic {JAVA}}}'),
    "java-remarks": ("A.java", f"class A {{\n/** {SAID} */\n// NOPMD\n/* how it works inside */\n{JAVA}}}"),
    "java-blank-line": ("A.java", f"class A {{\n/** {SAID} */\n\n{JAVA}}}"),
    "java-markdown": ("A.java", f"class A {{\n/// {SAID}\n/// @param a one\n@Override\n{JAVA}}}"),
    "java-after-annotation": ("A.java", f"class A {{\n@Override\n/** {SAID} */\npublic {JAVA}}}"),
    "js-export": ("a.js", f"/** {SAID} */\n// eslint-disable-next-line\nexport default async function {SCRIPT}"),
    "js-type": ("a.js", f"/** {SAID} */\n/** @type {{Counter}} */\nfunction {SCRIPT}"),
    "js-member": ("a.js", f"const a = {{\n/** {SAID} */\ncount: function (a) {{\n  return a;\n}},\n}};"),
    "js-assigned": ("a.js", f"/** {SAID} */\nmodule.exports = exports.count = function {SCRIPT}"),
    "js-one-line": ("a.js", f"class A {{ /** {SAID} */ {SCRIPT} }}"),
    "js-beside-brace": ("a.js", f"class A {{ /** {SAID} */\n  {SCRIPT} }}"),
    "ts-overloads": ("a.ts", f"/** {SAID} */\nexport function count(a: string): void;\nexport function {SCRIPT}"),
    "ts-methods": ("a.ts", f"class A {{\n/** {SAID} */\ncount(a: 1): void;\ncount(a: 2): void;\n// all\n{SCRIPT}}}"),
    "ts-own": ("a.ts", f"class A {{\n/** Count what is given. */\ncount(a: string): void;\n/** {SAID} */\n{SCRIPT}}}"),
    "ts-marked": (
        "a.ts",
        f"class A {{\n/** {SAID} */\ncount(a: 1): void;\n/** @internal */\ncount(a: 2): void;\n{SCRIPT}}}",
    ),
    "ts-decorators": ("a.ts", f"class A {{\n/** {SAID} */\n@Input() // @ts-ignore\n@Log\nstatic async {SCRIPT}}}"),
    "ts-ambient": ("a.ts", f"/** {SAID} */\nexport declare function count(a: string): void;\nexport function {SCRIPT}"),
    "go-directives": ("a.go", f"package a\n\n// {SAID}\n//\n//nolint:errcheck\n//go:noinline\n{GO}"),
    "go-block": ("a.go", f"package a\n\n/* {SAID} */\n//go:noinline\n{GO}"),
    "go-export": ("a.go", f"package a\n\n// {SAID}\n//export count\n{GO}"),
    "ruby-sig": ("a.rb", f"class A\n# {SAID}\nsig {{ params(a: Integer).returns(Integer) }}\n{RUBY}end"),
    "ruby-long-sig": ("a.rb", f"class A\ninclude X\n\n# {SAID}\nsig do\n  void\nend\n# rubocop:disable\n{RUBY}end"),
    "ruby-other-sig": ("a.rb", f"class A\n# {SAID}\nT::Sig::WithoutRuntime.sig {{ void }}\nprivate {RUBY}end"),
    "ruby-private": ("a.rb", f"class A\n# {SAID}\nprivate\n{RUBY}end"),
    "ruby-thor": ("a.rb", f'class A\n# {SAID}\ndesc "count", "counts"\noption :all\n{RUBY}end'),
    "ruby-rbs": ("a.rb", f"# {SAID}\n#: (Integer) -> Integer\n{RUBY}"),
    "php-attributes": ("a.php", f"<?php\nclass A {{\n/** {SAID} */\n#[Pure]\n// phpcs:ignore\n#[B]\n{PHP}}}"),
    "php-after-attribute": ("a.php", f"<?php\nclass A {{\n#[Pure]\n/** {SAID} */\n{PHP}}}"),
    "c-macro": ("a.c", f"/* {SAID} */\nEXPORTED(int)\n{C.removeprefix('int ')}"),
    "c-attribute": ("a.c", f"/* {SAID} */\n// NOLINTNEXTLINE(x)\n__attribute__((noinline))\nstatic inline {C}"),
    "c-remark": ("a.c", f"/** {SAID} */\n// must stay in this file\n{C}"),
    "c-prototype": ("a.c", f"/* {SAID} */\nint count(int a);\n{C}"),
    "c-pragma": ("a.c", f"/* {SAID} */\n#pragma GCC optimize\nSOME_MACRO(x);\n{C}"),
    "cpp-template": ("a.cpp", f"/// {SAID}\n// fast\ntemplate <class T>\n// for numbers alone\n[[nodiscard]] {C}"),
    "cpp-access": ("a.cpp", f"class A {{\n/// {SAID}\npublic:\n{C}}};"),
    "cpp-friend": ("a.cpp", f"class A {{\n/// {SAID}\nfriend {C}}};"),
    "cpp-extern": ("a.cpp", f'// {SAID}\nextern "C" {C}'),
    "cs-attributes": (
        "A.cs",
        f"class A {{\n/// <summary>{SAID}</summary>\n[X]\n// note\n#pragma warning disable\n{SHARP}}}",
    ),
    "cs-condition": ("A.cs", f"class A {{\n/// <summary>{SAID}</summary>\n#if DEBUG\n[X]\n{SHARP}#endif\n}}"),
    "cs-region": ("A.cs", f"class A {{\n/// <summary>{SAID}</summary>\n#region Counting\n{SHARP}#endregion\n}}"),
    "rust-attributes": ("a.rs", f"/// {SAID}\n#[inline]\n// fast path\n#[cfg(test)]\n/* or not */\n{RUST}"),
    "rust-split": ("a.rs", f"/// Count the orders\n#[inline]\n/// of a customer.\n{RUST}"),
    "rust-doc": ("a.rs", f'#[doc = "{SAID}"]\n#[inline]\n{RUST}'),
}  # fmt: skip


@pytest.mark.parametrize("name", BETWEEN)
def test_what_stands_between_a_comment_and_its_function(name: str) -> None:
    assert said(*BETWEEN[name]) == [SAID]


def test_both_branches_of_a_condition_have_the_comment_before_it() -> None:
    branches = f"#ifdef FAST\n{C}#else\n{C}#endif\n"
    assert said("a.c", f"/* {SAID} */\n{branches}") == [SAID, SAID]
    assert said("a.c", f"/* {SAID} */\n#ifdef FAST\n{C}int other(void)\n{{\n  return 1;\n}}\n#endif\n") == ["", ""]


OTHERS = {
    "java-field": ("A.java", f"class A {{\n/** {SAID} */\nint a;\n{JAVA}}}"),
    "java-class": ("A.java", f"/** {SAID} */\nclass A {{\n{JAVA}}}"),
    "java-plain": ("A.java", f"class A {{\n// {SAID}\n{JAVA}}}"),
    "js-file": ("a.js", f"/**\n * @file {SAID}\n */\nfunction {SCRIPT}"),
    "js-head": ("a.js", f"/** {SAID} */\n\nfunction {SCRIPT}"),
    "js-second": ("a.js", f"/** {SAID} */\nconst x = 1, count = (a) => {{\n  return a;\n}};"),
    "js-typedef": ("a.js", f"/**\n * {SAID}\n * @typedef {{number}} Count\n */\nfunction {SCRIPT}"),
    "ts-other": ("a.ts", f"class A {{\n/** {SAID} */\nother(a: string): void;\n{SCRIPT}}}"),
    "php-file": ("a.php", f"<?php\n/** {SAID} */\n\nfunction count($a) {{\n  return $a;\n}}"),
    "go-apart": ("a.go", f"package a\n\n// {SAID}\n\n{GO}"),
    "go-banner": ("a.go", f"package a\n\n// ---- {SAID} ----\n{GO}"),
    "ruby-apart": ("a.rb", f"class A\n# {SAID}\n\n{RUBY}end"),
    "ruby-attribute": ("a.rb", f"class A\n# {SAID}\nattr_reader :a\n{RUBY}end"),
    "js-brace": ("a.js", f"class A {{ // {SAID}\n{SCRIPT}}}"),
    "ruby-method": ("a.rb", f"class A\n# {SAID}\nprivate def a; end\n{RUBY}end"),
    "c-licence": ("a.c", f"/* Copyright 2020 A. B.\n * Licensed under the MIT license. */\n{C}"),
    "c-apart": ("a.c", f"// {SAID}\n\n{C}"),
    "c-variable": ("a.c", f"int x; /**< {SAID} */\n{C}"),
    "c-prototype": ("a.c", f"/* {SAID} */\nint other(int a);\n{C}"),
    "c-define": ("a.c", f"/* {SAID} */\n#define ORDERS 1\n{C}"),
    "c-group": ("a.c", f"int x;\n/** @name {SAID} */\n{C}"),
    "cpp-section": ("a.cpp", f"class A {{\n// {SAID}\npublic:\n{C}}};"),
    "cs-parameter": ("A.cs", f'class A {{\n/// <param name="a">{SAID}</param>\n{SHARP}}}'),
    "rust-apart": ("a.rs", f"/// {SAID}\n\n{RUST}"),
    "java-apart": ("A.java", f"class A {{\n/** {SAID} */\n\n\n{JAVA}}}"),
    "rust-inner": ("a.rs", f"//! {SAID}\n{RUST}"),
    "rust-plain": ("a.rs", f"//// {SAID}\n// {SAID}\n{RUST}"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_comments_about_something_else(name: str) -> None:
    assert said(*OTHERS[name])[-1] == ""


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("a.py", 'def f(x, y):\n    """x : int\n        The width of it.\n    """\n    return x\n', ""),
        ("a.py", 'def f(x):\n    """x (int): the width of it"""\n    return x\n', ""),
        ("a.py", 'def f(x, y):\n    """- x: the width of it\n    - y: the height"""\n    return x\n', ""),
        ("a.py", 'def f(x):\n    """x -- the width of it"""\n    return x\n', ""),
        ("a.py", 'def f(x, y):\n    """x - y for each pair"""\n    return x\n', "x - y for each pair"),
        ("a.py", 'def f(x):\n    """y: the width of it"""\n    return x\n', "y: the width of it"),
        ("a.py", 'f = wrap(1)\ndef g():\n    """x: the width of it"""\n    return 1\n', "x: the width of it"),
        ("a.rs", "/// * `x` - the width of it\n/// * `y` - the height\nfn f(x: i32, y: i32) {}\n", ""),
        ("a.rb", "# x - The width of it\n# y - The height\ndef f(x, y)\n  x\nend\n", ""),
        ("a.c", "/* a: the width of it\n * b: the height */\nint f(int a, int b) { return a; }\n", ""),
        ("a.go", "package a\n\n// a: the width of it\nfunc f(a int) {}\n", ""),
        ("a.js", "/** a - the width of it */\nconst f = (a) => a;\n", ""),
        ("a.php", "<?php\n/** $a: the width of it */\nfunction f($a) { return $a; }\n", ""),
        ("a.ts", "/** a, b: the sides of it */\nfunction f(a: A, b: B) { return a; }\n", ""),
        ("A.java", "class A {\n/** a: the width of it */\nint f(int a) { return a; }\n}\n", ""),
        ("a.cpp", "/// a: the width of it\nauto f = [](int a) { return a; };\n", ""),
        ("a.cs", "class A {\n/// a: the width of it\nint F(int a) { return a; }\n}\n", ""),
    ],
)
def test_lists_of_parameters_without_a_title_are_no_descriptions(file: str, source: str, expected: str) -> None:
    assert said(file, source) == [expected]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (f'"""{SAID}"""', SAID),
        (f"# a note\n    '{SAID}'  # and another", SAID),
        ('("Count the orders "\n     "of a customer.")', SAID),
        ('"Count the orders " \\\n        "of a customer."', SAID),
        ('"""Count the orders \\\n    of a customer."""', SAID),
        ('r"""Split at \\n and \\d+ signs."""', r"Split at \n and \d+ signs."),
        ('"""Split at \\\\n of \\u00e4 signs."""', r"Split at \n of ä signs."),
        ('f"Count the orders of {a}."', ""),
        (f'b"{SAID}"', ""),
        ('"Count the orders of %s." % a', ""),
        (f'pass\n    "{SAID}"', ""),
    ],
)
def test_docstrings_of_functions(statement: str, expected: str) -> None:
    source = f"@cache\nasync def f(a):\n    {statement}\n    b = a\n    return b\n"
    assert said("a.py", source) == [expected]
    if expected:
        [function] = extract(source, language_of("a.py")).functions  # type: ignore[arg-type]
        assert [line.strip() for line in function.code.split("\n") if "#" not in line] == [
            "async def f(a):",
            "b = a",
            "return b",
        ]


def test_a_comment_within_the_code_is_taken_out_of_it() -> None:
    [function] = extract(BETWEEN["php-after-attribute"][1], language_of("a.php")).functions  # type: ignore[arg-type]
    assert function.code.startswith("#[Pure]\npublic function count"), function.code


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(BETWEEN)), st.data())
def test_sources_with_a_piece_cut_out_have_descriptions_of_one_line(name: str, data: st.DataObject) -> None:
    file, source = BETWEEN[name]
    start = data.draw(st.integers(0, len(source)))
    end = data.draw(st.integers(start, len(source)))
    with suppress(UnparsableError):
        assert all("\n" not in words and words == words.strip() for words in said(file, source[:start] + source[end:]))
