from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from telly.mining.scopes import int_names, renamable_variables
from telly.mining.variants import REWRITES, parse_function, variant_of, variants_of

SIGN = """
def sign(number):
    if number < 0:
        return -1
    elif number == 0:
        return 0
    else:
        return 1
"""
TOTAL = """
def total(numbers, *, start=0):
    result = start
    for i in range(len(numbers)):
        if numbers[i] is not None and numbers[i] > 0:
            result = result + numbers[i]
    return result if result != 0 else None
"""
COUNT = """
def count(words, wanted):
    found = missed = 0
    for word in words:
        if word not in wanted:
            missed = missed + 1
            continue
        found += 1
    while missed > 10:
        missed -= 1
    return found, missed
"""
NESTED = """
def nested(values, scale=2):
    seen = []
    def add(value):
        nonlocal seen
        seen = seen + [value * scale]
        return value
    try:
        total = sum(add(value) for value in values)
    except TypeError as error:
        return f"{type(error).__name__}: {scale=}"
    return total, seen, {name: name for name in 'ab'}, (lambda scale: scale + 1)(5)
"""
RECURSIVE = """
def depth(tree, level=1):
    deepest = level
    for child in tree:
        below = depth(child, level=level + 1)
        deepest = below if below > deepest else deepest
    return deepest
"""
SCOPES = """
def scopes(list: list, base=len('abc')):
    global LAST
    LAST = base
    import os.path as place
    items = [base for base in list]
    (lambda *rest, key=1: rest)(*items, key=2)
    return place.basename('a/b'), items, base, LAST
"""
COLLECTED = """
def collected(rows, limit=3):
    names = []
    for row in rows:
        if len(row) < limit:
            names.append(row * 2)
    pairs = {key + 'x': key for name in names for key in name}
    first = None
    size = len(names) + len(pairs)
    text = ''.join(sorted(names)) + str(first)
    whole = text + str(size)
    return whole, pairs, [limit for limit in names], limit
"""
CASES: list[tuple[str, list[tuple[Any, ...]]]] = [
    (SIGN, [(-3,), (0,), (8,), (0.5,)]),
    (TOTAL, [([],), ([1, None, 3],), ([0, -1],), ((2.5, 4),)]),
    (COUNT, [(["a", "b", "a"], {"a"}), (["x"] * 14, ""), ([], ())]),
    (NESTED, [([1, 2],), ([1, "b"],), ((3,), 7), ([],)]),
    (RECURSIVE, [([],), ([[[]], []],)]),
    (SCOPES, [([3, 1],), ([], 9)]),
    (COLLECTED, [(["ab", "c", "defg"],), ([], 1), (["", "q"], 2), (5,), ([3],)]),
]


def run(code: str, arguments: tuple[Any, ...]) -> object:
    """The result of a function written in this file, or the type of its error."""
    names: dict[str, Any] = {}
    exec(code, names)
    function: Callable[..., object] = next(value for name, value in reversed(names.items()) if callable(value))
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever the function raises is its behaviour
        return type(error)


@pytest.mark.parametrize(("code", "calls"), CASES)
def test_variants_behave_like_the_function(code: str, calls: list[tuple[Any, ...]]) -> None:
    variants = variants_of(code, 25, random.Random(1))
    assert len(variants) >= 10
    for arguments in calls:
        expected = run(code, arguments)
        for variant in variants:
            assert run(variant, arguments) == expected, variant


@pytest.mark.parametrize(("code", "calls"), CASES)
@pytest.mark.parametrize("rewrite", REWRITES)
def test_every_rewrite_alone_keeps_behaviour(rewrite: str, code: str, calls: list[tuple[Any, ...]]) -> None:
    for seed in range(5):
        variant = variant_of(code, [rewrite], random.Random(seed))
        assert variant is not None
        assert [run(variant, arguments) for arguments in calls] == [run(code, arguments) for arguments in calls]


def test_every_rewrite_changes_something() -> None:
    """Otherwise the tests above would say nothing about it."""
    for rewrite in REWRITES:
        changed = {
            variant_of(code, [rewrite], random.Random(seed)) != variant_of(code, [], random.Random(0))
            for code, _ in CASES
            for seed in range(5)
        }
        assert True in changed, rewrite


@pytest.mark.parametrize(
    ("rewrite", "code", "expected"),
    [
        ("flip-comparisons", "def f(x):\n    return x <= 0", "def f(x):\n    return 0 >= x"),
        ("flip-comparisons", "def f(x, y):\n    return x <= y", "def f(x, y):\n    return x <= y"),
        ("step-assignment", "def f():\n    i = 0\n    i += 1", "def f():\n    i = 0\n    i = i + 1"),
        ("step-assignment", "def f():\n    i = 0\n    i = i - 2", "def f():\n    i = 0\n    i -= 2"),
        ("step-assignment", "def f(i):\n    i += 1", "def f(i):\n    i += 1"),
        ("step-assignment", "def f(g):\n    i = g()\n    i += 1", "def f(g):\n    i = g()\n    i += 1"),
        (
            "invert-if",
            "def f(x, y):\n    if x in y:\n        a()\n    else:\n        b()",
            "def f(x, y):\n    if x not in y:\n        b()\n    else:\n        a()",
        ),
        (
            "range-to-while",
            "def f(x):\n    for i in range(3):\n        x(i)\n    return i",
            "def f(x):\n    for i in range(3):\n        x(i)\n    return i",
        ),
        (
            "range-to-while",
            "def f(x):\n    for i in range(len(x)):\n        i = x",
            "def f(x):\n    for i in range(len(x)):\n        i = x",
        ),
        (
            "range-to-while",
            "def f(x):\n    for i in range(3):\n        x(lambda: i)",
            "def f(x):\n    for i in range(3):\n        x(lambda: i)",
        ),
    ],
)
def test_what_is_rewritten_and_what_is_left(rewrite: str, code: str, expected: str) -> None:
    texts = {variant_of(code, [rewrite], random.Random(seed)) for seed in range(20)}
    assert expected in texts
    assert texts <= {code, expected}


@pytest.mark.parametrize(
    ("rewrite", "body", "expected"),
    [
        ("reorder-statements", "i = 0\nx = g(b)\nreturn (i, x)", "x = g(b)\ni = 0\nreturn (i, x)"),
        ("inline-temporary", "x = g(b)\nreturn x + h(b)", "return g(b) + h(b)"),
        ("inline-temporary", "x = g(b)\nreturn b + x", "return b + g(b)"),
        ("inline-temporary", "x = g(b)\nfor y in x:\n    h(y)", "for y in g(b):\n    h(y)"),
        (
            "loop-to-comprehension",
            "x = []\nfor a in b:\n    if a:\n        x.append(g(a))\nreturn x",
            "x = [g(a) for a in b if a]\nreturn x",
        ),
        (
            "loop-to-comprehension",
            "x = set()\nfor a in b:\n    for c in a:\n        x.add(c)\nreturn x",
            "x = {c for a in b for c in a}\nreturn x",
        ),
        (
            "loop-to-comprehension",
            "x = {}\nfor a in b:\n    x[a] = g(a)\nreturn x",
            "x = {a: g(a) for a in b}\nreturn x",
        ),
        (
            "comprehension-to-loop",
            "x = [g(a) for a in b if a]\nreturn x",
            "x = []\nfor a in b:\n    if a:\n        x.append(g(a))\nreturn x",
        ),
        (
            "comprehension-to-loop",
            "x = {a: g(a) for a in b}\nreturn x",
            "x = {}\nfor a in b:\n    x[a] = g(a)\nreturn x",
        ),
    ],
)
def test_rewrites_by_hand(rewrite: str, body: str, expected: str) -> None:
    code, wanted = function_of(body), function_of(expected)
    assert {variant_of(code, [rewrite], random.Random(seed)) for seed in range(20)} == {code, wanted}


def function_of(body: str) -> str:
    return "def f(b):\n" + "\n".join(f"    {line}" for line in body.split("\n"))


def test_names_that_are_made_are_new() -> None:
    """A list that nobody may see half full, and a variable that means something else outside its comprehension."""
    texts = {variant_of(function_of("return [g(b) for b in b]"), ["comprehension-to-loop"], random.Random(seed))
             for seed in range(20)}  # fmt: skip
    shape = r"def f\(b\):\n    (\w+) = \[\]\n    for (\w+) in b:\n        \1.append\(g\(\2\)\)\n    return \1"
    found = [re.fullmatch(shape, text) for text in texts if text is not None]
    assert sum(match is not None for match in found) == len(found) - 1
    assert all(len({"b", "f", "g", *match.groups()}) == 5 for match in found if match)
    code = function_of("return g(b) + h(b)")
    extracted = {variant_of(code, ["extract-temporary"], random.Random(seed)) for seed in range(20)} - {code}
    assert extracted
    assert all(re.fullmatch(r"def f\(b\):\n    (\w+) = g\(b\)\n    return \1 \+ h\(b\)", str(e)) for e in extracted)


@pytest.mark.parametrize(
    ("rewrite", "body"),
    [
        # The other statement reads it, both may fail, a handler sees it, it may have no value, others see it.
        ("reorder-statements", "i = 0\nx = g(i)"),
        ("reorder-statements", "i = x\nx = g(b)"),
        ("reorder-statements", "i = b.c\nx = g(b)"),
        ("reorder-statements", "try:\n    i = 0\n    x = g(b)\nexcept E:\n    pass"),
        ("reorder-statements", "i = z\nx = g(b)"),
        ("reorder-statements", "global i\ni = 0\nx = g(b)"),
        ("reorder-statements", "i = 0\nx = g(b)\nreturn lambda: i"),
        ("reorder-statements", "'doc'\ni = 0"),
        ("reorder-statements", "i = 0\nx = locals()"),
        # It is read twice, after something else, in every turn, only maybe, later, or by others.
        ("inline-temporary", "x = g(b)\nreturn x + x"),
        ("inline-temporary", "x = g(b)\nreturn h(b) + x"),
        ("inline-temporary", "x = g(b)\nreturn h(x)"),
        ("inline-temporary", "x = g(b)\nwhile x:\n    h(b)"),
        ("inline-temporary", "x = g(b)\nreturn b and x"),
        ("inline-temporary", "x = g(b)\nreturn lambda: x"),
        ("inline-temporary", "x = g(b)\nassert x"),
        ("inline-temporary", "x = yield\nreturn [a for a in x]"),
        ("inline-temporary", "nonlocal x\nx = g(b)\nreturn x"),
        # Something before it may have an effect, or it may not be evaluated.
        ("extract-temporary", "return h(g(b))"),
        ("extract-temporary", "return b and g(b)"),
        ("extract-temporary", "return z + g(b)"),
        ("extract-temporary", "while g(b).c:\n    pass"),
        ("extract-temporary", "return lambda: g(b).c"),
        ("extract-temporary", "return locals()['b'] + 1"),
        # Code that runs later, binds names or gives up control; scopes that see their own variables.
        ("comprehension-to-loop", "return [lambda: a for a in b]"),
        ("comprehension-to-loop", "return [(a for c in a) for a in b]"),
        ("comprehension-to-loop", "return [(c := a) for a in b]"),
        ("comprehension-to-loop", "return [super(a).c for a in b]"),
        ("comprehension-to-loop", "return [locals() for a in b]"),
        ("comprehension-to-loop", "set = g\nreturn {a for a in b}"),
        ("comprehension-to-loop", "return [c for a in b for c in c]"),
        ("comprehension-to-loop", "x = [z for a in b]\nz = 1"),
        ("comprehension-to-loop", "class C:\n    x = [a for a in b]"),
        ("comprehension-to-loop", "return [a for a.c in b]"),
        # The list or the variable is seen by others, or the loop does more.
        ("loop-to-comprehension", "x = []\nfor a in b:\n    x.append(a)\nreturn (x, a)"),
        ("loop-to-comprehension", "x = []\nfor a in b:\n    x.append(len(x))\nreturn x"),
        ("loop-to-comprehension", "x = []\nfor a in g(x):\n    x.append(a)\nreturn x"),
        ("loop-to-comprehension", "x = []\nfor a in b:\n    x.append(a)\nelse:\n    g(b)\nreturn x"),
        ("loop-to-comprehension", "x = []\nfor a in b:\n    x.append(lambda: a)\nreturn x"),
        ("loop-to-comprehension", "x = []\nfor a in b:\n    x.append((yield a))\nreturn x"),
        ("loop-to-comprehension", "global x\nx = []\nfor a in b:\n    x.append(a)"),
        ("loop-to-comprehension", "try:\n    x = []\n    for a in b:\n        x.append(g(a))\nfinally:\n    h(x)"),
        ("loop-to-comprehension", "x = {}\nfor a in b:\n    x[g(a)] = h(a)\nreturn x"),
        ("loop-to-comprehension", "x = []\ny = lambda: x\nx = []\nfor a in b:\n    x.append(y())\nreturn x"),
        ("loop-to-comprehension", "x = [0]\nfor a in b:\n    x.append(a)\nreturn x"),
        ("loop-to-comprehension", "x = []\nfor b in b:\n    x.append(b)\nreturn x"),
    ],
)
def test_what_might_behave_otherwise_is_left(rewrite: str, body: str) -> None:
    code = function_of(body)
    plain = variant_of(code, [], random.Random(0))
    assert plain is not None
    assert {variant_of(code, [rewrite], random.Random(seed)) for seed in range(20)} == {plain}


def test_names_that_others_know_are_kept() -> None:
    function = parse_function(NESTED)
    assert function is not None
    assert renamable_variables(function) == {"values", "total", "error"}
    function = parse_function(SCOPES)
    assert function is not None
    assert renamable_variables(function) == {"list", "base", "items"}
    for looking in ("locals()", "eval('x')", "sys._getframe().f_locals"):
        function = parse_function(f"def f(x):\n    return {looking}")
        assert function is not None
        assert renamable_variables(function) == set()


def test_a_nested_function_or_handler_may_use_the_name_for_something_else() -> None:
    for code in (
        "def f(g):\n    i = 0\n    def h():\n        i = g()\n        i += 1\n    i += 1",
        "def f(g):\n    i = 0\n    try:\n        g()\n    except E as i:\n        i += 1",
    ):
        function = parse_function(code)
        assert function is not None
        assert int_names(function) == set()


def test_variants_differ_in_more_than_layout_and_are_the_same_again() -> None:
    variants = variants_of(COUNT, 6, random.Random(3))
    plain = variant_of(COUNT, [], random.Random(0))
    assert plain is not None
    dumps = {ast.dump(ast.parse(text)) for text in [*variants, plain]}
    assert len(dumps) == 7
    assert variants == variants_of(COUNT, 6, random.Random(3))


@pytest.mark.parametrize(
    "code", ["", "x = 1", "def f(:", "def f():\n    pass\ndef g():\n    pass", "class A:\n    pass", "  def f(): pass"]
)
def test_what_is_no_function_has_no_variants(code: str) -> None:
    assert variants_of(code, 3, random.Random(0)) == []


def test_a_function_with_nothing_to_change_has_no_variants() -> None:
    assert variants_of("def f():\n    pass", 3, random.Random(0)) == []
