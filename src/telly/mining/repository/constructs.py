"""All nodes of a syntax tree with code of their own, in the order of the text, with the classes around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from telly.mining.grammars import grammar
from telly.mining.repository.languages import Language
from telly.mining.repository.naming import block_class, class_name, is_named_block

FUNCTION = "function"
NO_NAME = "no name"
BROKEN = "does not parse"
MACRO = "a macro"
IN_MACRO = "within a macro"
_ORDER = ("class", FUNCTION, "block", "macro", "invocation", "error")
_KEYWORDS = frozenset({"def", "function", "func", "fn"})
_HEADS = frozenset({"function_declarator", "formal_parameters", "parameter_list", "method_parameters", "parameters"})


@dataclass(frozen=True)
class Construct:
    """A node with code of its own.

    Args:
        kind: `FUNCTION` if it may be taken; otherwise the reason why not.
        node: the node.
        prefix: names of the classes around it, each with a dot after it.
        count: number of functions that it contains or is.
    """

    kind: str
    node: Any
    prefix: str
    count: int = 1


@cache
def parser_and_query(language: Language) -> tuple[Any, Any]:
    """The parser and the query of a language."""
    import tree_sitter

    tree_sitter_language = grammar(*language.grammar)
    return tree_sitter.Parser(tree_sitter_language), tree_sitter.Query(tree_sitter_language, language.query)


def constructs(root: Any, language: Language) -> Iterator[Construct]:
    """The constructs of a tree in the order of their beginnings, outer ones first."""
    import tree_sitter

    captures = tree_sitter.QueryCursor(parser_and_query(language)[1]).captures(root)
    # The key sorts nodes of the same start by length, the longest first, then by kind; it also removes duplicates.
    nodes = {
        (node.start_byte, -node.end_byte, _ORDER.index(kind)): node
        for kind in _ORDER
        for node in captures.get(kind, ())
    }
    classes: list[tuple[int, str]] = []
    function_end = -1
    for (start, end, order), node in sorted(nodes.items(), key=lambda item: item[0]):
        while classes and classes[-1][0] <= start:
            classes.pop()
        kind = _ORDER[order]
        if kind == "class":
            classes.append((-end, class_name(node, language)))
            continue
        prefix = "".join(f"{name}." for _, name in classes if name)
        if kind == FUNCTION:
            function_end = max(function_end, -end)
            yield Construct(FUNCTION, node, prefix)
        elif kind == "block":
            name = block_class(node, language)
            if name is not None:
                classes.append((-end, name))
            elif is_named_block(node):
                yield Construct(FUNCTION, node, prefix)
            elif start >= function_end:  # within a function it belongs to its code, as a loop does
                yield Construct(NO_NAME, node, prefix)
        elif kind == "macro":
            yield Construct(MACRO, node, prefix)
        elif kind == "invocation":
            if count := _functions_in_tokens(node):
                yield Construct(IN_MACRO, node, prefix, count)
        elif count := _heads(node):
            yield Construct(BROKEN, node, prefix, count)


def _functions_in_tokens(node: Any) -> int:
    """Functions among the arguments of a macro, which have no tree: each `fn` with a name after it."""
    if b"fn " not in (node.text or b""):
        return 0
    count = 0
    waiting = [node]
    while waiting:
        children = waiting.pop().children
        count += sum(token.type == "fn" and following.type == "identifier" for token, following in pairwise(children))
        waiting.extend(children)
    return count


def _heads(error: Any) -> int:
    """The number of functions that begin in a piece of text that does not parse."""
    kinds = [child.type for child in error.children]
    return max(sum(kind in _KEYWORDS for kind in kinds), sum(kind in _HEADS for kind in kinds))
