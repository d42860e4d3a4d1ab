"""Syntax trees of source text: Python's from its own parser, other languages' from tree-sitter. No code is run."""

from __future__ import annotations

import ast
import warnings
from functools import cache
from typing import Any

from telly.analysis.probes.skipped import UnusableTextError
from telly.mining.grammars import grammar

# A function alone need not be a program: a method occurs in a class only, an arrow function in an expression.
_WRAPPERS = (("", ""), ("(", "\n)"), ("class A {", "\n}"))


def python_tree(code: str) -> ast.Module:
    """Parse Python source.

    Raises:
        UnusableTextError: it does not parse.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's code are not our user's business
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UnusableTextError("does not parse as python") from None


def tree_sitter_nodes(code: bytes, language: str) -> tuple[list[Any], int]:
    """Parse a text with tree-sitter; returns its outermost nodes and the offset in bytes of their positions.

    Code that is not a program is parsed as an expression or as the body of a class; the wrapper's
    own nodes are left out.

    Raises:
        UnusableTextError: the code does not parse.
        ConfigError: tree-sitter or the language's grammar is not installed.
    """
    parser = _parser(language)
    for before, after in _WRAPPERS:
        root = parser.parse(before.encode() + code + after.encode()).root_node
        if not root.has_error:
            return _within(root, len(before), len(before) + len(code)), len(before)
    raise UnusableTextError(f"does not parse as {language}")


def _within(root: Any, start: int, end: int) -> list[Any]:
    """The outermost nodes between two byte positions, in order, without the root of the file."""
    nodes = []
    waiting = list(reversed(root.children))
    while waiting:
        node = waiting.pop()
        if start <= node.start_byte and node.end_byte <= end:
            nodes.append(node)
        else:
            waiting.extend(reversed(node.children))
    return nodes


@cache
def _parser(language: str) -> Any:
    language_grammar = grammar(language)
    import tree_sitter

    return tree_sitter.Parser(language_grammar)
