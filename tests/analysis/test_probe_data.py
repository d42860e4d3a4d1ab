from __future__ import annotations

import ast
import json
import sys
import tokenize
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import telly.data
from telly.analysis.probes import grammar, lexical
from telly.analysis.probes.lexical import CLASSES, Span, align, lexical_examples, token_spans
from telly.analysis.probes.skipped import SkippedTexts, UnusableTextError, require
from telly.analysis.probes.structural import CLASSES as COMPLEXITIES
from telly.analysis.probes.structural import complexity, complexity_class, structural_examples
from telly.analysis.probes.syntactic import NEAREST, SyntacticPairs, ast_text, syntactic_pairs
from telly.errors import ConfigError, DataError
from telly.models.modes import encode_texts
from telly.pretraining.tokenizer import train_tokenizer

LETTERS = {"i": "identifier", "k": "keyword", "o": "operator", "n": "number", "s": "string"}


def named(code: str, language: str = "python") -> list[tuple[str, str]]:
    """Code tokens with the first letters of their classes."""
    return [(code[start:end], CLASSES[label][0]) for start, end, label in token_spans(code, language)]


def by_hand(text: str) -> list[tuple[str, str]]:
    """`word/class word/class` as `named` gives it."""
    return [(pair[:-2], pair[-1]) for pair in text.split("  ")]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(
        ["def add(first, n=1):\n    return first + 'a b'  # sum", "x = café if 日本 else 2.5"] * 3, 330
    )


# ---------------------------------------------------------------- lexical


def test_classes_of_python_by_hand() -> None:
    code = "def add(é, n=1_000):\n    return 'a b' + é if n is None else rb'x' @ 0x1F  # sum\n"
    assert named(code) == by_hand(
        "def/k  add/i  (/o  é/i  ,/o  n/i  =/o  1_000/n  )/o  :/o  return/k  'a b'/s  +/o  é/i  if/k  n/i  is/k  "
        "None/k  else/k  rb'x'/s  @/o  0x1F/n"
    )


def test_soft_keywords_are_identifiers_and_strings_may_span_lines() -> None:
    code = "match = type\nx = '''a\r\n  b''' ; y = 1.5j"
    start, rest = by_hand("match/i  =/o  type/i  x/i  =/o"), by_hand(";/o  y/i  =/o  1.5j/n")
    assert named(code) == [*start, ("'''a\r\n  b'''", "s"), *rest]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_tabs_form_feeds_and_characters_of_several_bytes(end: str) -> None:
    code = f"def f(日本):{end}\t\x0cx = '𝒳é' + \\{end}\t  日本{end}\treturn x{end}"
    assert named(code) == by_hand("def/k  f/i  (/o  日本/i  )/o  :/o  x/i  =/o  '𝒳é'/s  +/o  日本/i  return/k  x/i")


def test_a_formatted_string_is_one_token() -> None:
    assert named("x = f'a {b + 1!r:>{w}} c' f(y)") == by_hand("x/i  =/o  f'a {b + 1!r:>{w}} c'/s  f/i  (/o  y/i  )/o")


def test_a_formatted_string_is_one_token_as_python_3_12_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens that 3.12 gives for `f'a{b}' f'{f"c"}'` and a name, so that 3.11 can test it."""
    kinds = {100: "FSTRING_START", 101: "FSTRING_MIDDLE", 102: "FSTRING_END"}
    monkeypatch.setattr(tokenize, "tok_name", {**tokenize.tok_name, **kinds})
    op, name = tokenize.OP, tokenize.NAME
    parts = [
        *((100, "f'"), (101, "a"), (op, "{"), (name, "b"), (op, "}"), (102, "'")),
        *((100, "f'"), (op, "{"), (100, 'f"'), (101, "c"), (102, '"'), (op, "}"), (102, "'"), (name, "x")),
    ]
    tokens, at = [], 0
    for kind, text in parts:
        tokens.append(tokenize.TokenInfo(kind, text, (1, at), (1, at + len(text)), ""))
        at += len(text)
    found = [(first.start[1], last.end[1], CLASSES[label]) for first, last, label in lexical._labelled(tokens)]
    assert found == [(0, 7, "string"), (7, 16, "string"), (16, 17, "identifier")]


@pytest.mark.parametrize("code", ["f(a,\n", "x = 'abc\n", "x = '''abc", "a ? b", "  x\n y", "`x`", "\ufeffx", "a ! b"])
def test_what_is_not_python(code: str) -> None:
    with pytest.raises(UnusableTextError) as caught:
        token_spans(code)
    assert caught.value.reason == "cannot be tokenised as python"
    assert str(caught.value) == (
        "expected a text that the probe can use, found one that cannot be tokenised as python; mend it or leave it out"
    )


def test_classes_of_java_by_hand() -> None:
    code = "/* é */ @Override\r\npublic int f(Café a) { char c = 'é'; "
    code += 'return a == null ? "ü\\n" : this.x >>> .5e3 + 0x1FL; }'
    assert named(code, "java") == by_hand(
        "@/o  Override/i  public/k  int/k  f/i  (/o  Café/i  a/i  )/o  {/o  char/k  c/i  =/o  'é'/s  ;/o  return/k  "
        'a/i  ==/o  null/k  ?/o  "ü\\n"/s  :/o  this/k  ./o  x/i  >>>/o  .5e3/n  +/o  0x1FL/n  ;/o  }/o'
    )


def test_classes_of_javascript_by_hand() -> None:
    code = "async foo(é, ...b) { // no\n\tlet s = `日${é + 1}y`; return /ab+/g.test(s) || this.#p[2]; }"
    assert named(code, "javascript") == by_hand(
        "async/k  foo/i  (/o  é/i  ,/o  .../o  b/i  )/o  {/o  let/k  s/i  =/o  `日${é + 1}y`/s  ;/o  return/k  "
        "/ab+/g/s  ./o  test/i  (/o  s/i  )/o  ||/o  this/k  ./o  #p/i  [/o  2/n  ]/o  ;/o  }/o"
    )


def test_a_method_or_an_expression_needs_no_program_around_it() -> None:
    assert named("a => a", "javascript") == by_hand("a/i  =>/o  a/i")
    assert named("protected A(int b) { super(b); } // end", "java") == by_hand(
        "protected/k  A/i  (/o  int/k  b/i  )/o  {/o  super/k  (/o  b/i  )/o  ;/o  }/o"
    )


def test_other_languages_can_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match=r"^kotlin code needs its tree-sitter grammar: pip install tree-sitter-kotlin$"
    ):
        token_spans("int x;", "kotlin")
    with pytest.raises(ConfigError, match=r"^a language must be named as its tree-sitter wheel is, .* found 'C\+\+'$"):
        token_spans("int x;", "C++")
    grammar._parser.cache_clear()
    monkeypatch.setitem(sys.modules, "tree_sitter", None)
    with pytest.raises(
        ConfigError, match=r"^code other than Python's needs tree-sitter: pip install 'telly\[probing\]'$"
    ):
        token_spans("int x;", "java")


def test_pieces_take_the_class_of_their_first_character_that_is_not_blank() -> None:
    text = "x = 'a b' #c"
    spans = [Span(0, 1, 0), Span(2, 3, 2), Span(4, 9, 4)]
    offsets = [(0, 0), (0, 1), (1, 3), (3, 6), (6, 7), (6, 8), (8, 11), (9, 11), (11, 12), (9, 10), (0, 0)]
    #           special  x       ' ='    " 'a"    ' '     ' b'    "' #"    ' #'     'c'      ' '     special
    assert align(text, spans, offsets).tolist() == [-1, 0, 2, 4, -1, 4, 4, -1, -1, -1, -1]


def test_labels_of_an_encoding_by_hand(tokenizer: Any) -> None:
    """Ġ, č, Ċ and ĉ stand for blank, carriage return, line feed and tab; the bytes of 日 are more than one piece."""
    examples = lexical_examples(["def add(n):\r\n\treturn n + '日'  # sum"], tokenizer, 64)
    pieces = tokenizer.convert_ids_to_tokens(examples.encodings[0])
    labels = ["-" if label < 0 else CLASSES[label][0] for label in examples.labels[0]]
    assert list(zip(pieces, labels, strict=True)) == by_hand(
        "<s>/-  <encoder-only>/-  </s>/-  def/k  Ġadd/i  (/o  n/i  ):/o  č/-  Ċ/-  ĉ/-  ret/k  urn/k  Ġn/i  Ġ+/o  "
        "Ġ'/s  æĹ/s  ¥/s  '/s  Ġ/-  Ġ#/-  Ġsum/-  </s>/-"
    )
    assert examples.labels[0].dtype == np.int64


@pytest.mark.parametrize("modes", [True, False])
def test_encodings_are_those_of_all_other_tasks(tokenizer: Any, modes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not modes:
        monkeypatch.setattr("telly.models.modes.supports_modes", lambda _: False)
    texts = ["def f(x):\n    return x", "x = 'a b' + 2.5", "é = 1", "x"]
    for limit in (5, 8, 64):
        examples = lexical_examples(texts, tokenizer, limit)
        assert examples.encodings == encode_texts(tokenizer, texts, limit)
        assert [len(labels) for labels in examples.labels] == [len(ids) for ids in examples.encodings]
        assert [labels[0] for labels in examples.labels] == [labels[-1] for labels in examples.labels] == [-1] * 4
        assert examples.labels[3].tolist() == ([-1, -1, -1, 0, -1] if modes else [-1, 0, -1])
        assert examples.skipped == [] and examples.indices.tolist() == [0, 1, 2, 3]


def test_skipped_texts_are_reported(tokenizer: Any) -> None:
    texts = ["", "x = 1", "x = 'a", "# only words", "# a comment that is long\nx", "y", "'\ud800'"]
    examples = lexical_examples(texts, tokenizer, 8)
    assert examples.indices.tolist() == [1, 5] and len(examples.encodings) == len(examples.labels) == 2
    assert examples.skipped == [
        SkippedTexts(0, "has no code token"),
        SkippedTexts(2, "cannot be tokenised as python"),
        SkippedTexts(3, "has no code token"),
        SkippedTexts(4, "has no code token among its first 8"),
        SkippedTexts(6, "has half a surrogate pair"),
    ]
    java = lexical_examples(["int f() { return 1; }", "int f( {", "// c"], tokenizer, 64, "java")
    assert java.indices.tolist() == [0]
    assert java.skipped == [SkippedTexts(1, "does not parse as java"), SkippedTexts(2, "has no code token")]
    nothing = lexical_examples([""], tokenizer, 8)
    assert (nothing.encodings, nothing.indices.tolist(), len(nothing.skipped)) == ([], [], 1)


def test_a_slow_tokenizer_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(ConfigError, match=r"needs a fast tokenizer, .* found Slow; give the model a tokenizer\.json$"):
        lexical_examples(["x"], Slow(), 8)


WORDS = {
    "i": ["x", "add", "first", "é", "日本", "𐐀", "match"],
    "k": ["def", "return", "None", "is", "lambda"],
    "o": ["+", "==", "@", "->", ";", "**="],
    "n": ["1", "2.5", "0x1F", "3j", "1_000"],
    "s": ["'a b'", "'é 日'", 'rb"x#"', "'''a\r\n\t b'''", "f'{x + 1} y'"],
}
GAPS = [" ", "  ", "\t", " \\\n ", " \\\r\n", " # no + 1\n", "\n", "\r\n", "\r\n\n"]
classified = st.lists(
    st.sampled_from([(word, kind) for kind, words in WORDS.items() for word in words]).flatmap(
        lambda pair: st.sampled_from(GAPS).map(lambda gap: (*pair, gap))
    ),
    min_size=1,
    max_size=20,
)


@given(classified)
def test_every_piece_has_the_class_of_the_character_it_begins_with(
    tokenizer: Any, tokens: list[tuple[str, str, str]]
) -> None:
    text = "".join(word + gap for word, _, gap in tokens) + "end"  # a text must not end in a continued line
    truth = "".join(kind * len(word) + "-" * len(gap) for word, kind, gap in tokens) + "iii"
    examples = lexical_examples([text], tokenizer, 512)
    pieces = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    expected = []
    for start, end in pieces:
        blanks = len(text[start:end]) - len(text[start:end].lstrip())
        expected.append("-" if start + blanks == end else truth[start + blanks])
    labels = ["-" if label < 0 else CLASSES[label][0] for label in examples.labels[0].tolist()]
    assert labels == ["-", "-", "-", *expected, "-"]


# ---------------------------------------------------------------- syntactic


def sbt(text: str) -> str:
    """`(A (B) (C))` as structure-based traversal writes it."""
    words: list[str] = []
    names: list[str] = []
    for word in text.replace("(", " ( ").replace(")", " ) ").split():
        words.append(word)
        if word == ")":
            words.append(names.pop())
        elif word != "(":
            names.append(word)
    return " ".join(words)


def test_trees_by_hand() -> None:
    assert ast_text("x") == "( Expr ( Name ) Name ) Expr"
    code = "def f(a, b=1):\n    # no\n    return a + b"
    assert ast_text(code) == sbt(
        "(FunctionDef (arguments (arg) (arg) (Constant)) (Return (BinOp (Name) (Add) (Name))))"
    )
    assert ast_text("if a < 1: b.c = -d\nelse: pass") == sbt(
        "(If (Compare (Name) (Lt) (Constant)) (Assign (Attribute (Name)) (UnaryOp (USub) (Name))) (orelse (Pass)))"
    )


def test_trees_of_other_languages_by_hand() -> None:
    code = "int f(int a) { /* no */ return a + 1; }"
    assert ast_text(code, "java") == sbt(
        "(method_declaration (integral_type) (identifier)"
        " (formal_parameters (formal_parameter (integral_type) (identifier)))"
        " (block (return_statement (binary_expression (identifier) (decimal_integer_literal)))))"
    )
    assert ast_text("a => 'é'", "javascript") == sbt(
        "(expression_statement (arrow_function (identifier) (string (string_fragment))))"
    )


def test_a_tree_is_whole() -> None:
    """As many nodes as the parser's, with `else` blocks, less contexts; every bracket closes what was opened last."""
    code = Path(grammar.__file__).read_text()
    words = ast_text(code).split()
    nodes = [n for n in ast.walk(ast.parse(code)) if not isinstance(n, ast.expr_context | ast.Module)]
    blocks = words.count("orelse") // 2
    assert blocks > 0 and words.count("(") == words.count(")") == len(nodes) + blocks
    opened = []
    for i in range(0, len(words), 2):
        if words[i] == "(":
            opened.append(words[i + 1])
        else:
            assert opened.pop() == words[i + 1]
    assert not opened


def test_a_deep_tree_needs_no_deep_stack() -> None:
    assert ast_text("a" + ".b" * 1500 + " + c" * 600).count("( Attribute") == 1500


names = st.sampled_from(["x", "y", "other", "é", "add"])
constants = st.sampled_from(["1", "2.5", "'a b'", "None", "b'x'", "10"])
STATEMENTS = [
    "{a} = {c}",
    "{a} += {b}",
    "{a} -= {b}",
    "return {a}({b}, {c})",
    "if {a} < {c}:\n        {b} = {c}\n        {a} = {b}",
    "if {a} < {c}:\n        {b} = {c}\n    else:\n        {a} = {b}",
    "if {a} <= {c}:\n        {b} = {c}\n        {a} = {b}",
    "for {a} in {b}: {a}.{b}()",
    "for {a} in {b}: pass\n    else: {a}.{b}()",
    "try: {a} = {c}\n    finally: {b} = {c}",
    "global {a}",
    "del {a}[{c}]",
]


@st.composite
def functions(draw: st.DrawFn, kinds: list[int]) -> str:
    lines = [STATEMENTS[k].format(a=draw(names), b=draw(names), c=draw(constants)) for k in kinds]
    return f"def {draw(names)}({draw(names)}):  # {draw(names)}\n    " + "\n    ".join(lines)


kinds = st.lists(st.integers(0, len(STATEMENTS) - 1), min_size=1, max_size=4)


@given(st.data(), kinds)
def test_names_and_constants_leave_no_trace_in_a_tree(data: st.DataObject, chosen: list[int]) -> None:
    first, second = ast_text(data.draw(functions(chosen))), ast_text(data.draw(functions(chosen)))
    assert first == second
    assert not {"x", "y", "other", "é", "add", "1"} & set(first.split())


@given(st.data(), kinds, kinds)
def test_another_structure_is_another_tree(data: st.DataObject, one: list[int], two: list[int]) -> None:
    assert (ast_text(data.draw(functions(one))) == ast_text(data.draw(functions(two)))) == (one == two)


def test_every_kind_of_statement_is_another_tree() -> None:
    codes = [f"def f(x):\n    {kind.format(a='x', b='x', c='1')}" for kind in STATEMENTS]
    assert len({ast_text(code) for code in codes}) == len(STATEMENTS)


def numbered(count: int) -> list[str]:
    """Texts with different trees: text i has i + 1 statements."""
    return ["\n".join(["x = 1"] * (i + 1)) for i in range(count)]


def check(pairs: SyntacticPairs) -> None:
    """What holds of all pairs: balanced for every code, and labels that say the truth."""
    kept = len(pairs.asts)
    assert pairs.code.tolist() == [i for i in range(kept) for _ in range(2)]
    assert pairs.labels.tolist() == [1, 0] * kept
    for code, tree, label in zip(pairs.code, pairs.ast, pairs.labels, strict=True):
        assert (pairs.asts[code] == pairs.asts[tree]) == bool(label)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.integers(0, 3), st.booleans())
def test_a_wrong_tree_is_never_the_codes_own(sizes: list[int], seed: int, hard: bool) -> None:
    texts = [numbered(6)[size] for size in sizes]
    most = max(sizes.count(size) for size in sizes)
    if most == len(sizes) or (2 * most > len(sizes) and not hard):
        with pytest.raises(DataError, match=f"found one in {most} of {len(sizes)} "):
            syntactic_pairs(texts, seed, hard=hard)
        return
    pairs = syntactic_pairs(texts, seed, hard=hard)
    check(pairs)
    if not hard:  # every tree is once right and once wrong
        assert sorted(pairs.ast[pairs.labels == 0]) == list(range(len(sizes)))


def test_pairs_are_seeded_and_say_what_was_skipped() -> None:
    texts = ["def f(", *numbered(20), "# nothing"]
    pairs = syntactic_pairs(texts, 1)
    check(pairs)
    assert pairs.indices.tolist() == list(range(1, 21))
    assert [ast_text(texts[index]) for index in pairs.indices] == pairs.asts
    assert pairs.skipped == [SkippedTexts(0, "does not parse as python"), SkippedTexts(21, "has no syntax tree")]
    assert pairs.ast.tolist() == syntactic_pairs(texts, 1).ast.tolist() != syntactic_pairs(texts, 2).ast.tolist()


def test_hard_pairs_are_of_about_the_same_size() -> None:
    texts = numbered(60)
    runs = {hard: [syntactic_pairs(texts, seed, hard=hard) for seed in range(20)] for hard in (False, True)}
    distances = {hard: np.stack([np.abs(p.ast - p.code)[p.labels == 0] for p in found]) for hard, found in runs.items()}
    assert distances[False].max() > 50
    assert distances[True][:, 20].max() == NEAREST // 2 and distances[True].min() == 1
    assert distances[True][:, 0].max() > NEAREST // 2  # at the ends all ten are on one side
    assert distances[True].max() <= NEAREST
    for pairs in runs[True]:
        check(pairs)


def test_pairs_without_another_tree() -> None:
    with pytest.raises(DataError) as caught:
        syntactic_pairs(["x = 1", "y = 2", "a +"], 0, hard=True)
    assert str(caught.value) == (
        "wrong pairs need trees that differ: expected no tree in more than half of the texts, found one in "
        "2 of 2 (1 skipped); remove duplicates, or give more texts"
    )
    with pytest.raises(DataError, match=r"found one in 0 of 0 \(1 skipped\)"):
        syntactic_pairs(["a +"], 0)


# ---------------------------------------------------------------- structural


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f():\n    return 1", 1),
        ("async def f(a):\n    if a:\n        return 1", 2),
        ("def f(a, b):\n    if a and b:\n        return 1", 3),  # if, and
        ("@cache\ndef f(a):\n    return [x for x in a if x]", 3),  # for, if
        ("def f(a):\n  try:\n    a()\n  except E:\n    pass\n  except F:\n    pass\n  else:\n    a", 4),
        ("def f(a):\n    while a:\n        if a > 1:\n            a = 2\n        elif a or b:\n            a = 3", 5),
        ("def f(a):\n" + "    if a:\n        a = 1\n" * 5, 6),
        ("def f(a):\n    def g(b):\n        if b:\n            return 1\n    return g", 1),  # g is another function
        ("é = 1\r\ndef f(é):\r\n\tif é:\r\n\t\treturn '日'\r\n", 2),
    ],
)
def test_complexity_of_python_by_hand(code: str, expected: int) -> None:
    assert complexity(code) == expected


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("java", "int f() { return 1; }", 1),
        ("java", "int f(int a) {\r\n\tif (a > 0 && a < 3) return 1; // é\r\n\tfor (;;) { }\r\n}", 4),
        ("java", "void f() {\n R r = new R() {\n  void g() { if (a) b(); }\n };\n if (x) y();\n}", 2),
        ("javascript", "function (a) {\n return a.map(function (x) {\n  return x ? 1 : 2;\n });\n}", 1),
        ("javascript", "function f(a) { return a && 1; }", 2),
        ("javascript", "function f(a) { var g = function (x) { return x ? 1 : 2; }; return a && 1 && 2; }", 3),
        ("php", "public function f($a) { if ($a) { return 1; } return 2; }", 2),
        ("c_sharp", "int F(int a) { while (a > 0) { a--; } return a; }", 2),
    ],
)
def test_complexity_of_other_languages_by_hand(language: str, code: str, expected: int) -> None:
    assert complexity(code, language) == expected


def test_classes_of_complexity() -> None:
    assert [COMPLEXITIES[complexity_class(value)] for value in (1, 2, 5, 6, 7, 90)] == [
        "1",
        "2",
        "5",
        "more",
        "more",
        "more",
    ]
    texts = [
        "def f(",
        "def f(): pass",
        "x = 1",
        "def f(): pass\ndef g(): pass",
        "def f(a):\n" + "    if a: pass\n" * 9,
        "",
    ]
    examples = structural_examples(texts)
    assert examples.labels.tolist() == [0, 5] and examples.indices.tolist() == [1, 4]
    assert examples.labels.dtype == np.int64
    assert examples.skipped == [
        SkippedTexts(0, "does not parse as python"),
        SkippedTexts(2, "has no function"),
        SkippedTexts(3, "has more than one function"),
        SkippedTexts(5, "has no function"),
    ]
    two = "class A {\n int f() { return 1; }\n int g() { return 2; }\n}"
    assert structural_examples([two, ""], "java").skipped == [
        SkippedTexts(0, "has more than one function"),
        SkippedTexts(1, "has no function"),
    ]


def test_a_language_that_lizard_does_not_know() -> None:
    with pytest.raises(ConfigError, match=r"^expected a language that lizard reads, found 'cobol'; known are .*java"):
        complexity("x", "cobol")


# ---------------------------------------------------------------- all three


def test_too_few_texts_are_refused() -> None:
    skipped = [
        SkippedTexts(0, "is odd"),
        SkippedTexts(1, "does not parse as python"),
        SkippedTexts(2, "does not parse as python"),
    ]
    require(range(50), skipped, "lexical")
    with pytest.raises(DataError) as caught:
        require(range(49), skipped, "lexical")
    assert str(caught.value) == (
        "the lexical probe needs at least 50 usable texts, found 49: 52 were given and 3 skipped (2 because the text "
        "does not parse as python); give more texts, or check the language they are read as"
    )
    with pytest.raises(DataError, match=r"found 0: 0 were given and 0 skipped; give more"):
        require([], [], "lexical")


def test_real_functions_can_all_be_used(tokenizer: Any) -> None:
    path = Path(telly.data.__file__).parent / "sample" / "test.jsonl"
    texts = [json.loads(line)["code"] for line in path.read_text().splitlines()[:200]]
    assert len(texts) == 200
    examples, pairs, structural = (
        lexical_examples(texts, tokenizer, 512),
        syntactic_pairs(texts, 0),
        structural_examples(texts),
    )
    assert examples.skipped == pairs.skipped == structural.skipped == []
    assert set(np.concatenate(examples.labels)) == {-1, 0, 1, 2, 3, 4}
    check(pairs)
    assert set(structural.labels) == set(range(6))
    for text in texts:  # nothing between the tokens but white space, comments and continued lines
        end = 0
        for start, stop, _ in [*token_spans(text), (len(text), len(text), 0)]:
            gap = text[end:start].replace("\\\n", "").split("\n")
            assert all(not line.strip() or line.strip().startswith("#") for line in gap)
            end = stop
