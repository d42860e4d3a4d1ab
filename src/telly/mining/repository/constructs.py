"""Everything in a syntax tree that holds code of its own, in the order of the text, with the classes around it."""

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
    """A node that holds code.

    Args:
        kind: `FUNCTION` where it may be taken, else why it is not.
        node: the node.
        prefix: the names of the classes around it, each with a dot after it.
        count: how many functions it stands for.
    """

    kind: str
    node: Any
    prefix: str
    count: int = 1


@cache
def tools(language: Language) -> tuple[Any, Any]:
    """The parser and the query of a language."""
    import tree_sitter

    made = grammar(*language.grammar)
    return tree_sitter.Parser(made), tree_sitter.Query(made, language.query)


def constructs(root: Any, language: Language) -> Iterator[Construct]:
    """All that holds code, in the order of their beginnings, outer ones first."""
    import tree_sitter

    captures = tree_sitter.QueryCursor(tools(language)[1]).captures(root)
    nodes = {
        (node.start_byte, -node.end_byte, _ORDER.index(kind)): node
        for kind in _ORDER
        for node in captures.get(kind, ())
    }
    around: list[tuple[int, str]] = []
    within = -1
    for (start, end, order), node in sorted(nodes.items(), key=lambda item: item[0]):
        while around and around[-1][0] <= start:
            around.pop()
        kind = _ORDER[order]
        if kind == "class":
            around.append((-end, class_name(node, language)))
            continue
        prefix = "".join(f"{name}." for _, name in around if name)
        if kind == FUNCTION:
            within = max(within, -end)
            yield Construct(FUNCTION, node, prefix)
        elif kind == "block":
            name = block_class(node, language)
            if name is not None:
                around.append((-end, name))
            elif is_named_block(node):
                yield Construct(FUNCTION, node, prefix)
            elif start >= within:  # within a function it belongs to its code, as a loop does
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
    found = 0
    waiting = [node]
    while waiting:
        children = waiting.pop().children
        found += sum(one.type == "fn" and two.type == "identifier" for one, two in pairwise(children))
        waiting.extend(children)
    return found


def _heads(error: Any) -> int:
    """The functions whose beginning stands in a piece of text that does not parse."""
    kinds = [child.type for child in error.children]
    return max(sum(kind in _KEYWORDS for kind in kinds), sum(kind in _HEADS for kind in kinds))
