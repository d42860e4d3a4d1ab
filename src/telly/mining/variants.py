"""Variants of a Python function that behave like it: positives for clone detection and clone retrieval.

Functions are rewritten as syntax trees and never run. A rewrite is applied only where the tree alone shows that it
keeps the behaviour, given that `len`, `range` and `set` are the built-ins where the function does not bind these names.
These may differ: the names of positional parameters (so a variant is to be called by position), comments, layout, the
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

ATTEMPTS = 8  # per variant
REWRITE_CHANCE = 0.6
RENAME_CHANCE = 0.9


def variants_of(code: str, count: int, rng: random.Random) -> list[str]:
    """Variants of a function that differ from it, and from each other, in more than layout.

    Args:
        code: the source of one function, not indented. Any other source has no variants.
        count: maximum number of variants; a short function may have fewer, or none.
        rng: source of all random choices. The same state gives the same variants under the same Python version.
    """
    normalised = _normalised(code)
    if normalised is None:
        return []
    variants: list[str] = []
    seen = {_squeezed(normalised)}
    for _ in range(ATTEMPTS * count):
        if len(variants) == count:
            break
        chances = {name: RENAME_CHANCE if name == "rename" else REWRITE_CHANCE for name in REWRITES}
        text = variant_of(code, [name for name, chance in chances.items() if rng.random() < chance], rng)
        if text is not None and _squeezed(text) not in seen:
            seen.add(_squeezed(text))
            variants.append(text)
    return variants


def variant_of(code: str, rewrites: list[str], rng: random.Random) -> str | None:
    """The function after some of the `REWRITES`, in the order of that table; None if it cannot be unparsed."""
    function = parse_function(code)
    if function is None:
        return None
    try:
        for name, rewrite in REWRITES.items():
            if name in rewrites:
                rewrite(function, rng)
    except RecursionError:
        return None
    return to_source(function)


def to_source(function: Function) -> str | None:
    """The source of a tree; None if it cannot be unparsed, as some f-strings cannot without a backslash."""
    # Parsed again, since `ast.unparse` may also return a source of another tree.
    try:
        text = ast.unparse(ast.fix_missing_locations(function))
        same = ast.dump(ast.parse(text).body[0]) == ast.dump(function)
    except (ValueError, SyntaxError, RecursionError):
        return None
    return text if same else None


def parse_function(code: str) -> Function | None:
    """The tree of a source that is one function and nothing else; None for any other source."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's code are not our user's business
            body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    function = body[0] if len(body) == 1 else None
    return function if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) else None


def _normalised(code: str) -> str | None:
    return variant_of(code, [], random.Random(0))


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


__all__ = ["REWRITES", "parse_function", "to_source", "variant_of", "variants_of"]
