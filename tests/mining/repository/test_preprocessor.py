"""C, C++ and C# with one branch of what the preprocessor cuts; the text keeps its length and its lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telly.mining.repository.preprocessor import without_branches, without_class_macros

PIECES = [
    *(
        "#if A\n",
        "#ifdef A\n",
        "#if 0\n",
        "#elif B\n",
        "#else\n",
        "#endif\n",
        "#define F(a) \\\n  a\n",
        "# else \\\n x\n",
    ),
    *("int f(int a)", "{\n", "}\n", "(", ")", "a;\n", "/* #if\n", "*/\n", "// '\n", '"#else', "'\"'", "\\\n", "\n"),
    *("STATIC int g(void) {}\n", "class API A {", "é\n"),
]


@given(st.lists(st.sampled_from(PIECES)))
def test_length_and_lines_stay(pieces: list[str]) -> None:
    raw = "".join(pieces).encode()
    for plainer in (without_branches(raw), without_branches(raw, macros=False), without_class_macros(raw)):
        assert [len(line) for line in plainer.split(b"\n")] == [len(line) for line in raw.split(b"\n")]
        assert all(new in {old, ord(" ")} for old, new in zip(raw, plainer, strict=True))


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ("#if A\nf();\n#else\ng();\n#endif\n", None),
        ("#if A\n#define B {\n#endif\n", None),
        ("#if A\n/* { */\nchar a = '{';\n#endif\n", None),
        ("#if A\nif (a) {\n#else\nif (b) {\n#endif\n}\n", "if (a) { }"),
        ("#if 0\nif (a) {\n#else\nif (b) {\n#endif\n}\n", "if (b) { }"),
        ("#if A\n#elif B\nint f(int a)\n#else\nint f(void)\n#endif\n{}\n", "int f(int a) {}"),
        ("#if A\nf(a,\n#if B\nb,\n#endif\n#else\nf(\n#endif\nc);\n", "f(a, b, c);"),
        ("#if A\n}\n#endif\n", "}"),
        ("f(a\n#if A \\\n  && B\n, b\n#endif\n);\n", "f(a , b );"),
        ("#if A\nelse if (a) { b(); }\n#endif\n", "else if (a) { b(); }"),
        ("#endif\n#else\n#if A\nint f(\n", None),
        ("static INLINE int f(void) {}\n", "static int f(void) {}"),
        ("int __init f(void) {}\n", "int f(void) {}"),
        ("struct API f(void) {}\nreturn MAX (a);\nunsigned LONG f(void) {}\n", None),
        ("DECL(x) static int f(void) {}\n", "static int f(void) {}"),
        ("#if A\nSTATIC\n#endif\nvoid f(void) {}\n", "void f(void) {}"),
        ("int f(void) {\n#ifdef PYPY\n  if (a) b();\n#endif\n}\n", None),
        ("JNIEXPORT A JNICALL f(B b) {}\n", "A f(B b) {}"),
        ("A f() REQUIRES(b) {}\nif (a) b = C {1};\n", "A f() {} if (a) b = C {1};"),
        ("f(a)\n#if A\n{\nb();\n}\n#else\n{\nc();\n}\n#endif\n", "f(a) { b(); }"),
        ("#if A\n{\nb();\n}\n#endif\n", None),
        ("FILE const *f(void) {}\nA::B c(D);\nint MAX (a);\n", None),
    ],
)
def test_one_branch_of_what_is_cut_is_left(source: str, left: str | None) -> None:
    plainer = without_branches(source.encode()).decode()
    assert plainer == source if left is None else " ".join(plainer.split()) == left


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ("class API A {};", "class A {};"),
        ("class API(x) A final : public B {};", "class A final : public B {};"),
        ("struct API A\n: a::B<C> {\n};", "struct A : a::B<C> { };"),
        ("class A {};", None),
        ("struct POINT p;", None),
        ("struct POINT f(int a) {}", None),
        ("class A; struct A b = {1};", None),
    ],
)
def test_macros_before_the_name_of_a_class(source: str, left: str | None) -> None:
    plainer = without_class_macros(source.encode()).decode()
    assert plainer == source if left is None else " ".join(plainer.split()) == left


def test_only_branches_are_left_out_where_there_are_no_macros() -> None:
    source = b"[A]\nAPI int F(B b) {\n#if X\nif (a) {\n#else\nif (b) {\n#endif\n}\n}\n"
    plainer = without_branches(source, macros=False).decode()
    assert " ".join(plainer.split()) == "[A] API int F(B b) { if (a) { } }"


def test_many_directives_and_open_comments_take_no_time() -> None:
    for piece in (
        "#if A\nx\n",
        "/*",
        "#if A\n{\n#else\n",
        "'",
        "AAA\n",
        "class A ",
        "AAA<",
        "A AAA\n",
        ") AAA ",
        "A<A ",
    ):
        without_branches(piece.encode() * 40_000)
        without_class_macros(piece.encode() * 40_000)
