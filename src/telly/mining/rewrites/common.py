"""Helpers of rewrites: free names, sites to rewrite, blocks of statements and variables known at their start."""

from __future__ import annotations

import ast
import builtins
import keyword
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from telly.mining.scopes import SCOPES, Function, identifiers, parameter_names

Node = TypeVar("Node", bound=ast.AST)
Rewrite = Callable[[Function, random.Random], None]
SITE_CHANCE = 0.75
NAMES = (
    *("item", "value", "data", "result", "entry", "node", "part", "count", "current", "other", "content", "source"),
    *("target", "element", "buffer", "index", "position", "offset", "size", "total", "name", "text", "key", "first"),
    *("last", "left", "right", "parent", "child", "group", "record", "field", "flag", "mode", "kind", "state", "info"),
    *("option", "limit", "number", "place", "chunk", "piece", "token", "word", "line", "row", "col", "obj", "arg"),
    *("tmp", "ret", "res", "val", "elem", "cur", "prev", "acc", "found", "given", "reply", "handler", "helper"),
)
CATCHING = ast.Try | ast.TryStar | ast.With | ast.AsyncWith


def fresh(function: Function, rng: random.Random, count: int) -> list[str]:
    """Names that the function does not use yet."""
    used = identifiers(function) | set(keyword.kwlist) | set(dir(builtins))
    free = [name for name in NAMES if name not in used]
    numbered = (f"{name}_{suffix}" for suffix in range(2, 1000) for name in NAMES)
    while len(free) < count:
        name = next(numbered)
        free += [name] * (name not in used)
    return rng.sample(free, count)


def is_original(node: ast.AST) -> bool:
    """Return whether a node is from the source. One that a rewrite made has no line; others should not undo it."""
    return hasattr(node, "lineno")


def sites(function: Function, kind: type[Node], rng: random.Random) -> list[Node]:
    """Nodes of a kind in the function's body, some of them left out."""
    return [node for node in body_nodes(function) if isinstance(node, kind) and rng.random() < SITE_CHANCE]


def body_nodes(function: Function) -> Iterator[ast.AST]:
    """All nodes of a function's body, those of inner scopes included."""
    return (node for statement in function.body for node in ast.walk(statement))


def edit_blocks(function: Function, edit: Callable[[list[ast.stmt]], list[ast.stmt]]) -> None:
    """Replace every block of statements by `edit(block)`."""
    for node in [function, *body_nodes(function)]:
        for part in ("body", "orelse", "finalbody"):
            block = getattr(node, part, None)
            if isinstance(block, list) and block:
                setattr(node, part, edit(block))


@dataclass(frozen=True)
class RewriteSite:
    """Variables known at the start of a block.

    Attributes:
        bound: variables that have a value there on every path.
        guarded: whether the function may continue after an error in the block, and see its partial effects.
    """

    bound: frozenset[str]
    guarded: bool = False

    def after(self, statement: ast.stmt) -> RewriteSite:
        """Variables known after a statement of the block."""
        return RewriteSite(self.bound | _assigned(statement), self.guarded)


def edit_own_blocks(function: Function, edit: Callable[[list[ast.stmt], RewriteSite], list[ast.stmt]]) -> None:
    """Replace every block in the function's own scope by `edit(block, site)`, inner blocks first."""
    function.body = _edited(function.body, RewriteSite(frozenset(parameter_names(function))), edit)


def _edited(
    block: list[ast.stmt], site: RewriteSite, edit: Callable[[list[ast.stmt], RewriteSite], list[ast.stmt]]
) -> list[ast.stmt]:
    current = site
    for statement in block:
        if not isinstance(statement, SCOPES):
            guarded = current.guarded or isinstance(statement, CATCHING)
            inner: list[ast.AST] = [statement, *getattr(statement, "handlers", []), *getattr(statement, "cases", [])]
            for node in inner:
                for part in ("body", "orelse", "finalbody"):
                    if getattr(node, part, None):
                        # A loop's variable has a value in the body, but not in `else` or later: the loop may never run.
                        bound = current.bound | (_entered(node) if part == "body" else frozenset())
                        setattr(node, part, _edited(getattr(node, part), RewriteSite(bound, guarded), edit))
        current = current.after(statement)
    return edit(block, site)


def _assigned(statement: ast.stmt) -> frozenset[str]:
    """Variables that have a value after a statement in any case; those of branches and loops may not."""
    match statement:
        case ast.Assign(targets):
            return frozenset(name for target in targets for name in target_names(target))
        case ast.AugAssign(ast.Name(name)) | ast.AnnAssign(ast.Name(name), value=ast.expr()):
            return frozenset({name})
        case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
            return frozenset({name})
        case ast.Import(names) | ast.ImportFrom(names=names):
            return frozenset((alias.asname or alias.name).split(".")[0] for alias in names)
    return frozenset()


def _entered(statement: ast.AST) -> frozenset[str]:
    """Names that a loop or `with` assigns before its body starts."""
    match statement:
        case ast.For(target) | ast.AsyncFor(target):
            return frozenset(target_names(target))
        case ast.With(items) | ast.AsyncWith(items):
            return frozenset(name for item in items if item.optional_vars for name in target_names(item.optional_vars))
    return frozenset()


def target_names(target: ast.expr) -> list[str]:
    """The variables that an assignment to a target binds."""
    names = (node for node in ast.walk(target) if isinstance(node, ast.Name))
    return [node.id for node in names if isinstance(node.ctx, ast.Store)]
