"""Conditions and branches in another form."""

from __future__ import annotations

import ast
import random

from telly.mining.rewrites.common import SITE_CHANCE, edit_blocks, sites
from telly.mining.scopes import Function

JUMPS = ast.Return | ast.Raise | ast.Continue | ast.Break
FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.Eq,
    ast.NotEq: ast.NotEq,
    ast.Lt: ast.Gt,
    ast.Gt: ast.Lt,
    ast.LtE: ast.GtE,
    ast.GtE: ast.LtE,
}
OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


def invert_if(function: Function, rng: random.Random) -> None:
    """`if c: A else: B` to `if not c: B else: A`, likewise for expressions."""
    for node in sites(function, ast.If, rng):
        if node.orelse:
            node.test, node.body, node.orelse = negated(node.test), node.orelse, node.body
    for choice in sites(function, ast.IfExp, rng):
        choice.test, choice.body, choice.orelse = negated(choice.test), choice.orelse, choice.body


def negated(test: ast.expr) -> ast.expr:
    """`not test`, for use as a condition. `==` is not turned into `!=`, which a class may define differently."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in OPPOSITES:
        return ast.Compare(test.left, [OPPOSITES[type(test.ops[0])]()], test.comparators)
    return ast.UnaryOp(ast.Not(), test)


def flip_comparisons(function: Function, rng: random.Random) -> None:
    """`x < 0` to `0 > x`, if one side is a constant.

    A constant has no effects, so the order of evaluation does not matter, and the same method decides: a constant's
    type returns `NotImplemented` for other types.
    """
    for node in sites(function, ast.Compare, rng):
        constant = isinstance(node.left, ast.Constant) or isinstance(node.comparators[0], ast.Constant)
        if len(node.ops) == 1 and constant and type(node.ops[0]) in FLIPPED:
            node.left, node.comparators = node.comparators[0], [node.left]
            node.ops = [FLIPPED[type(node.ops[0])]()]


def else_after_jump(function: Function, rng: random.Random) -> None:
    """`if c: return a else: B` to `if c: return a` and B after it, and back."""

    # After the jump nothing else of the block runs, so its rest may be the `else`.
    def edit(block: list[ast.stmt]) -> list[ast.stmt]:
        for at, node in enumerate(block):
            if isinstance(node, ast.If) and isinstance(node.body[-1], JUMPS) and rng.random() < SITE_CHANCE:
                if node.orelse:
                    rest, node.orelse = node.orelse, []
                    return [*block[: at + 1], *rest, *block[at + 1 :]]
                node.orelse = block[at + 1 :]
                return block[: at + 1]
        return block

    edit_blocks(function, edit)


def split_condition(function: Function, rng: random.Random) -> None:
    """`if a and b: A` to `if a:` with `if b: A` in it, where there is no else."""
    for node in sites(function, ast.If, rng):
        if not node.orelse and isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And):
            first, *rest = node.test.values
            test = rest[0] if len(rest) == 1 else ast.BoolOp(ast.And(), rest)
            node.test, node.body = first, [ast.If(test, node.body, [])]


def return_choice(function: Function, rng: random.Random) -> None:
    """`return a if c else b` to `if c: return a` and `else: return b`."""

    def edit(block: list[ast.stmt]) -> list[ast.stmt]:
        match block[-1]:
            case ast.Return(ast.IfExp(test, first, second)) if rng.random() < SITE_CHANCE:
                return [*block[:-1], ast.If(test, [ast.Return(first)], [ast.Return(second)])]
        return block

    edit_blocks(function, edit)
