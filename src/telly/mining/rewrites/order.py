"""Statements in another order."""

from __future__ import annotations

import ast
import random

from telly.mining.rewrites.common import SITE_CHANCE, RewriteSite, edit_own_blocks
from telly.mining.scopes import Function, private_variables

PLAIN = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr


def reorder_statements(function: Function, rng: random.Random) -> None:
    """`a = 0` and `b = f(c)` after it in the other order, if neither can notice.

    One of the two assigns a variable that only the function sees a value of nothing but constants and such variables,
    so it can neither fail nor have an effect. The other does not mention that variable and does not change those that
    are read; if it fails, so does the function, and nothing sees the variable.
    """
    private_names = private_variables(function)

    def edit(block: list[ast.stmt], site: RewriteSite) -> list[ast.stmt]:
        block, at = list(block), 0
        while at + 1 < len(block):
            known = set(site.bound & private_names)
            if (
                _independent(block[at], block[at + 1], private_names, known, site.guarded)
                and rng.random() < SITE_CHANCE
            ):
                block[at : at + 2] = block[at + 1], block[at]
                site, at = site.after(block[at]), at + 1  # past both, so that no statement moves twice
            site, at = site.after(block[at]), at + 1
        return block

    edit_own_blocks(function, edit)


def _independent(first: ast.stmt, second: ast.stmt, private_names: set[str], known: set[str], guarded: bool) -> bool:
    """Return whether two statements have the same effect in either order.

    Args:
        first: the first statement.
        second: the next one.
        private_names: variables that only the function's statements see.
        known: those of them that have a value before both.
        guarded: whether the function may continue after an error in one of them.
    """
    quiet = [_is_quiet(statement, private_names, known) for statement in (first, second)]
    if not any(quiet) or (guarded and not all(quiet)) or not (_is_plain(first) and _is_plain(second)):
        return False
    return not (_stored(first) & _named(second) or _stored(second) & _named(first))


def _is_plain(statement: ast.stmt) -> bool:
    """Return whether a statement passes control to the next one, and is not a docstring."""
    text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return isinstance(statement, PLAIN) and not text


def _is_quiet(statement: ast.stmt, private_names: set[str], known: set[str]) -> bool:
    match statement:
        case ast.Assign(targets, value):
            return all(isinstance(target, ast.Name) and target.id in private_names for target in targets) and _is_still(
                value, known
            )
    return False


def _is_still(value: ast.expr, known: set[str]) -> bool:
    """Return whether the evaluation of a value calls nothing, cannot fail and reads only `known` variables."""
    match value:
        case ast.Constant() | ast.UnaryOp(ast.USub(), ast.Constant(int() | float() | complex())):
            return True
        case ast.Name(name):
            return name in known
        case ast.List(parts) | ast.Tuple(parts):
            return all(_is_still(part, known) for part in parts)
        case ast.Dict(keys, values):
            return all(isinstance(key, ast.Constant) for key in keys) and all(_is_still(v, known) for v in values)
        case ast.Compare(left, [ast.Is() | ast.IsNot()], [right]):
            return _is_still(left, known) and _is_still(right, known)
    return False


def _stored(statement: ast.stmt) -> set[str]:
    names = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {node.id for node in names if not isinstance(node.ctx, ast.Load)}


def _named(statement: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
