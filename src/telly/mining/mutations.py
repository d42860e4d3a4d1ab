"""Mutants of a Python function: nearly the same text, another behaviour. Bags of tokens cannot tell them apart.

The classical operators of mutation testing (DeMillo et al. 1978) on the syntax tree; nothing is run. A mutant
probably behaves differently, but need not: a changed line may have no effect.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator

from telly.mining.scopes import Function
from telly.mining.variants import parse_function, to_source

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
"""Comparisons and their negations."""
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
}
CHANGES = 2
"""Maximum number of changes in a mutant: one alone often makes no difference."""

Change = Callable[[], None]


def mutant_of(code: str, rng: random.Random) -> str | None:
    """The function with some operators or constants changed; None if there is nothing to change.

    Args:
        code: the source of one function, not indented.
        rng: source of all random choices.
    """
    function = parse_function(code)
    if function is None:
        return None
    changes = list(_changes(function))
    if not changes:
        return None
    for change in rng.sample(changes, min(CHANGES, len(changes))):
        change()
    return to_source(function)


def _changes(function: Function) -> Iterator[Change]:
    """All single changes of a tree, which are made in place; each leaves the others possible."""
    for statement in function.body:
        for node in ast.walk(statement):
            match node:
                case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
                    yield _setting(node, "ops", [COMPARISONS[type(op)]()])
                case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in ARITHMETIC and not _is_text(node):
                    yield _setting(node, "op", ARITHMETIC[type(op)]())
                case ast.BoolOp(op=ast.And()):
                    yield _setting(node, "op", ast.Or())
                case ast.BoolOp(op=ast.Or()):
                    yield _setting(node, "op", ast.And())
                case ast.If(test=ast.Name() | ast.Call() | ast.Attribute() as test):
                    yield _setting(node, "test", ast.UnaryOp(ast.Not(), test))
                case ast.If(test=ast.UnaryOp(ast.Not(), operand)):
                    yield _setting(node, "test", operand)
                case ast.Constant(value=bool() as value):  # before int, since a bool is one as well
                    yield _setting(node, "value", not value)
                case ast.Constant(value=int() as value):
                    yield _setting(node, "value", value + 1)


def _setting(node: ast.AST, field: str, value: object) -> Change:
    return lambda: setattr(node, field, value)


def _is_text(node: ast.AST) -> bool:
    """Return whether an operator joins or repeats text, for which the changed operator is undefined."""
    sides = (getattr(node, name, None) for name in ("left", "right", "value"))
    return any(isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
               for side in sides)  # fmt: skip
