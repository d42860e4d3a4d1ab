"""Variants of a Python function that behave like it: positives for clone detection and clone retrieval.

Functions are rewritten as syntax trees and never run. A rewrite is applied only where the tree alone shows that it
keeps the behaviour, given that `len`, `range` and `set` are the built-ins where the function does not bind these names.
What may differ: the names of positional parameters (so a variant is to be called by position), comments, layout, the
interpreter's own messages, what `inspect` and line numbers show, and how long an object lives that nothing but a
variable of the function holds. The rewrites are in `telly.mining.rewrites`.
"""

from __future__ import annotations

import ast
import random
import re
import warnings

from telly.mining.rewrites import REWRITES
from telly.mining.scopes import Function

ATTEMPTS = 8  # for each variant that is wanted
REWRITE_CHANCE = 0.6
RENAME_CHANCE = 0.9


def variants_of(code: str, count: int, rng: random.Random) -> list[str]:
    """Variants of a function that differ from it, and from each other, in more than layout.

    Args:
        code: the source of one function, not indented. Source that is no single function has no variants.
        count: how many are wanted; a short function may give fewer, or none.
        rng: decides what is rewritten. The same state gives the same variants under the same Python version.
    """
    plain = _reformatted(code)
    if plain is None:
        return []
    found: list[str] = []
    seen = {_squeezed(plain)}
    for _ in range(ATTEMPTS * count):
        if len(found) == count:
            break
        chances = {name: RENAME_CHANCE if name == "rename" else REWRITE_CHANCE for name in REWRITES}
        text = variant_of(code, [name for name, chance in chances.items() if rng.random() < chance], rng)
        if text is not None and _squeezed(text) not in seen:
            seen.add(_squeezed(text))
            found.append(text)
    return found


def variant_of(code: str, rewrites: list[str], rng: random.Random) -> str | None:
    """The function after some of the `REWRITES`, in the order of that table; None where it cannot be written down."""
    function = parse_function(code)
    if function is None:
        return None
    try:
        for name, rewrite in REWRITES.items():
            if name in rewrites:
                rewrite(function, rng)
    except RecursionError:
        return None
    return written(function)


def written(function: Function) -> str | None:
    """A tree as source; None where it cannot be written down, as some f-strings cannot without a backslash."""
    try:
        text = ast.unparse(ast.fix_missing_locations(function))
        same = ast.dump(ast.parse(text).body[0]) == ast.dump(function)
    except (ValueError, SyntaxError, RecursionError):
        return None
    return text if same else None


def parse_function(code: str) -> Function | None:
    """The tree of a source that is one function and nothing else; None for any other."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's code are not our user's business
            body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    function = body[0] if len(body) == 1 else None
    return function if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) else None


def _reformatted(code: str) -> str | None:
    return variant_of(code, [], random.Random(0))


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


__all__ = ["REWRITES", "parse_function", "variant_of", "variants_of", "written"]
