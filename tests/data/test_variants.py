from __future__ import annotations

import ast
import random
from collections.abc import Callable
from typing import Any

import pytest

from telly.data.scopes import int_names, renamable
from telly.data.variants import REWRITES, parse_function, variant_of, variants_of

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
CASES: list[tuple[str, list[tuple[Any, ...]]]] = [
    (SIGN, [(-3,), (0,), (8,), (0.5,)]),
    (TOTAL, [([],), ([1, None, 3],), ([0, -1],), ((2.5, 4),)]),
    (COUNT, [(["a", "b", "a"], {"a"}), (["x"] * 14, ""), ([], ())]),
    (NESTED, [([1, 2],), ([1, "b"],), ((3,), 7), ([],)]),
    (RECURSIVE, [([],), ([[[]], []],)]),
    (SCOPES, [([3, 1],), ([], 9)]),
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


def test_names_that_others_know_are_kept() -> None:
    function = parse_function(NESTED)
    assert function is not None
    assert renamable(function) == {"values", "total", "error"}
    function = parse_function(SCOPES)
    assert function is not None
    assert renamable(function) == {"list", "base", "items"}
    for looking in ("locals()", "eval('x')", "sys._getframe().f_locals"):
        function = parse_function(f"def f(x):\n    return {looking}")
        assert function is not None
        assert renamable(function) == set()


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
