"""Mutants are other functions in nearly the same words."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable

import pytest
from test_variants import CASES, run

from telly.mining.mutations import mutant_of

MOST = 12
LINES = 5000
"""A mutant may never end; after so many lines it counts as one that behaves otherwise."""


class TooLong(BaseException):
    pass


def bounded(code: str, arguments: tuple) -> object:
    left = LINES

    def trace(_frame: object, event: str, _argument: object) -> Callable:
        nonlocal left
        left -= event == "line"
        if left < 0:
            raise TooLong
        return trace

    kept = sys.gettrace()
    sys.settrace(trace)
    try:
        return run(code, arguments)
    except TooLong:
        return TooLong
    finally:
        sys.settrace(kept)


@pytest.mark.parametrize(("code", "calls"), CASES[:5])
def test_mutants_behave_otherwise(code: str, calls: list) -> None:
    """Not every one, since a changed line may not matter to some arguments, but most."""
    other = 0
    for seed in range(MOST):
        mutant = mutant_of(code, random.Random(seed))
        assert mutant is not None and mutant != code
        other += any(bounded(mutant, arguments) != run(code, arguments) for arguments in calls)
    assert other >= MOST * 0.6


@pytest.mark.parametrize(("code", "expected"), [
    ("def f(x):\n    return x < 3", {"def f(x):\n    return x >= 4"}),
    ("def f(x):\n    return x == y", {"def f(x):\n    return x != y"}),
    ("def f(x):\n    return x and y", {"def f(x):\n    return x or y"}),
    ("def f(x):\n    if x:\n        return y", {"def f(x):\n    if not x:\n        return y"}),
    ("def f(x):\n    if not x:\n        return y", {"def f(x):\n    if x:\n        return y"}),
    ("def f(x):\n    x += y\n    return True", {"def f(x):\n    x -= y\n    return False"}),
])  # fmt: skip
def test_mutants_by_hand(code: str, expected: set[str]) -> None:
    assert {mutant_of(code, random.Random(seed)) for seed in range(10)} == expected


@pytest.mark.parametrize("code", [
    "def f(x):\n    return g(x)",
    "def f(x):\n    return 'a' + x",
    "def f(x):\n    return f'{x}' + y",
    "def f(:",
    "x = 1 + 1",
])  # fmt: skip
def test_nothing_to_change(code: str) -> None:
    assert mutant_of(code, random.Random(0)) is None


def test_a_mutant_has_the_words_of_its_function() -> None:
    code = CASES[0][0]
    words = set(re.findall(r"[A-Za-z_]\w*", code))
    mutant = mutant_of(code, random.Random(1))
    assert mutant is not None
    assert set(re.findall(r"[A-Za-z_]\w*", mutant)) - {"not", "in", "is", "and", "or", "True", "False"} <= words
