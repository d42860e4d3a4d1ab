"""The syntactic probe's data: pairs of code and a syntax tree, its own or another's.

Trees are flattened by structure-based traversal (Hu et al. 2018, "Deep code comment generation", section 3.2), with the
values of their leaves removed, so that names and constants give nothing away.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from telly.analysis.probes.grammar import python_tree, tree_sitter_nodes
from telly.analysis.probes.skipped import SkippedTexts, UnusableTextError, usable
from telly.errors import DataError

NEAREST = 10  # different trees among which a hard negative is drawn
_ELSE_BLOCKS = ("orelse", "finalbody")


@dataclass(frozen=True)
class SyntacticPairs:
    """Pairs of code and flattened tree; each code comes once with its own tree and once with another's.

    Attributes:
        asts: flattened trees of the usable texts, [usable].
        indices: indices of the usable texts in the input, [usable].
        code: index into `indices` of every pair's code, [2 * usable].
        ast: index into `asts` of every pair's tree, [2 * usable].
        labels: 1 if the tree is the code's own, else 0, [2 * usable]; both pairs of a code are adjacent.
        skipped: the other texts.
    """

    asts: list[str]
    indices: npt.NDArray[np.int64]
    code: npt.NDArray[np.int64]
    ast: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    skipped: list[SkippedTexts]


def syntactic_pairs(texts: Sequence[str], seed: int, *, hard: bool = False, language: str = "python") -> SyntacticPairs:
    """Pair code with syntax trees, half of the pairs with their own.

    By default every tree occurs as often in a wrong pair as in a right one, so that a tree alone reveals nothing about
    the label. Many wrong pairs can then be recognised by their sizes alone; with `hard` fewer can.

    Args:
        texts: source code.
        seed: seed of the draw.
        hard: draw the wrong tree among the 10 different ones nearest in number of nodes.
        language: `python`, or the name of a tree-sitter grammar.

    Raises:
        DataError: there is no other tree to draw, or more than half of the trees are equal.
        ConfigError: a grammar is not installed.
    """
    asts, indices, skipped = usable(texts, partial(ast_text, language=language))
    groups = np.unique(asts, return_inverse=True)[1].reshape(-1) if asts else np.zeros(0, dtype=np.int64)
    largest = int(np.bincount(groups).max()) if asts else 0
    if len(asts) < 2 or largest == len(asts) or (2 * largest > len(asts) and not hard):
        raise DataError(
            "wrong pairs need trees that differ: expected no tree in more than half of the texts, found one in "
            f"{largest} of {len(asts)} ({len(skipped)} skipped); remove duplicates, or give more texts"
        )
    rng = np.random.default_rng(seed)
    wrong = _nearest(asts, groups, rng) if hard else _rotated(groups, largest, rng)
    codes = np.arange(len(asts), dtype=np.int64)
    return SyntacticPairs(
        asts,
        indices,
        code=np.repeat(codes, 2),
        ast=np.stack([codes, wrong], axis=1).reshape(-1),
        labels=np.tile(np.array([1, 0], dtype=np.int64), len(asts)),
        skipped=skipped,
    )


def _rotated(groups: npt.NDArray[np.int64], largest: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw a permutation that moves every member of a group to another group, [n].

    With the members of each group side by side, and no group above `largest` (at most half of all), the element
    `largest` positions further is in another group.
    """
    order = rng.permutation(len(groups))
    rank = rng.permutation(int(groups.max()) + 1)
    order = order[np.argsort(rank[groups[order]], kind="stable")]
    other = np.empty(len(groups), dtype=np.int64)
    other[order] = np.roll(order, -largest)
    return other


def _nearest(asts: list[str], groups: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Find for every text one with a different tree of about the same number of nodes, [n]."""
    members: list[list[int]] = [[] for _ in range(int(groups.max()) + 1)]
    for i, group in enumerate(groups):
        members[group].append(i)
    sizes = np.array([asts[group[0]].count("(") for group in members])
    order = np.lexsort((rng.permutation(len(sizes)), sizes))  # equal sizes in random order
    other = np.empty(len(groups), dtype=np.int64)
    for place, group in enumerate(order):
        low = max(0, place - NEAREST)
        around = np.delete(order[low : place + NEAREST + 1], place - low)
        near = around[np.argsort(np.abs(sizes[around] - sizes[group]), kind="stable")[:NEAREST]]
        for i in members[group]:
            other[i] = rng.choice(members[rng.choice(near)])
    return other


def ast_text(code: str, language: str = "python") -> str:
    """Flatten the syntax tree of a text by structure-based traversal: `( Type children ) Type`, only node types.

    Kept are node types, among them the operators'. Python's expression contexts (`Load`, `Store`, `Del`) are left out,
    which follow from a node's place, and the file's root, which all texts have. `orelse` and `finalbody` are nodes
    where they are not empty, since Python's trees have none that parts them from the body before. Of tree-sitter's
    trees the named nodes are kept, without comments.

    Raises:
        UnusableTextError: the text does not parse, or there is nothing in it.
        ConfigError: a grammar is not installed.
    """
    words = list(_python_words(code) if language == "python" else _tree_sitter_words(code, language))
    if not words:
        raise UnusableTextError("has no syntax tree")
    return " ".join(words)


def _python_words(code: str) -> Iterator[str]:
    # Not recursive: a long chain of operators is a deep tree. Closing words wait among the nodes.
    waiting: list[ast.AST | tuple[str, list[ast.AST]] | str] = [*reversed(python_tree(code).body)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            yield node
            continue
        name, children = node if isinstance(node, tuple) else (type(node).__name__, list(_python_children(node)))
        yield from ("(", name)
        waiting.extend([name, ")"])
        waiting.extend(reversed(children))


def _python_children(node: ast.AST) -> Iterator[Any]:
    for field, value in ast.iter_fields(node):
        if isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
            yield value
        elif isinstance(value, list):
            nodes = [child for child in value if isinstance(child, ast.AST)]
            if field in _ELSE_BLOCKS and nodes:
                yield field, nodes
            else:
                yield from nodes


def _tree_sitter_words(code: str, language: str) -> Iterator[str]:
    try:
        waiting: list[Any] = tree_sitter_nodes(code.encode(), language)[0]
    except UnicodeEncodeError:
        raise UnusableTextError("has half a surrogate pair") from None
    waiting.reverse()
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            yield node
        elif node.is_named and "comment" not in node.type:
            yield from ("(", node.type)
            waiting.extend([node.type, ")"])
            waiting.extend(reversed(node.children))
