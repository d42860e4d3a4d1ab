"""Loops and the steps they count by in another form."""

from __future__ import annotations

import ast
import random

from telly.mining.rewrites.branches import negated
from telly.mining.rewrites.common import SITE_CHANCE, body_nodes, edit_blocks, fresh, sites
from telly.mining.scopes import Function, int_names, renamable_variables


def step_assignment(function: Function, rng: random.Random) -> None:
    """`x += 1` to `x = x + 1` and back, for variables that can only be integers (others may change in place)."""
    integers = int_names(function)

    def edit(block: list[ast.stmt]) -> list[ast.stmt]:
        return [_other_step(statement, integers) if rng.random() < SITE_CHANCE else statement for statement in block]

    edit_blocks(function, edit)


def _other_step(statement: ast.stmt, integers: set[str]) -> ast.stmt:
    match statement:
        case ast.AugAssign(ast.Name(name), ast.Add() | ast.Sub() as op, ast.Constant() as step) if name in integers:
            return ast.Assign([ast.Name(name, ast.Store())], ast.BinOp(ast.Name(name, ast.Load()), op, step))
        case ast.Assign(
            [ast.Name(name)], ast.BinOp(ast.Name(same), ast.Add() | ast.Sub() as op, ast.Constant() as step)
        ) if name == same and name in integers:
            return ast.AugAssign(ast.Name(name, ast.Store()), op, step)
    return statement


def break_while(function: Function, rng: random.Random) -> None:
    """`while c: A` to `while True:` that breaks unless c; an else would not run any more."""
    for node in sites(function, ast.While, rng):
        if not node.orelse and not isinstance(node.test, ast.Constant):
            node.body = [ast.If(negated(node.test), [ast.Break()], []), *node.body]
            node.test = ast.Constant(value=True)


def range_to_while(function: Function, rng: random.Random) -> None:
    """`for i in range(len(x)): A` to a while loop that counts, if only A uses i and A only reads it."""

    def edit(block: list[ast.stmt]) -> list[ast.stmt]:
        edited: list[ast.stmt] = []
        for node in block:
            match node:
                case ast.For(ast.Name(name), ast.Call(ast.Name("range"), [stop], []), body, orelse) if (
                    _is_length(stop) and _counts_alone(name, body, function) and rng.random() < SITE_CHANCE
                ):
                    (limit,) = fresh(function, rng, 1)
                    step = ast.AugAssign(ast.Name(name, ast.Store()), ast.Add(), ast.Constant(value=1))
                    test = ast.Compare(ast.Name(name, ast.Load()), [ast.Lt()], [ast.Name(limit, ast.Load())])
                    edited += [
                        ast.Assign([ast.Name(limit, ast.Store())], stop),
                        ast.Assign([ast.Name(name, ast.Store())], ast.Constant(value=0)),
                        ast.While(test, [*body, step], orelse),
                    ]
                case _:
                    edited.append(node)
        return edited

    edit_blocks(function, edit)


def _is_length(stop: ast.expr) -> bool:
    match stop:
        case ast.Constant(int()) | ast.Call(ast.Name("len")):
            return True
    return False


def _counts_alone(name: str, body: list[ast.stmt], function: Function) -> bool:
    """Return whether the loop over `body` may count `name` itself: it runs to its end, and nothing else reads it."""
    inside = [part for statement in body for part in ast.walk(statement)]
    # Code that runs later would see the counter one step beyond its last value; `continue` would skip the step.
    lazy = (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.GeneratorExp, ast.ClassDef)
    if any(isinstance(part, (*lazy, ast.Continue)) for part in inside):
        return False
    if any(isinstance(part, ast.ExceptHandler) and part.name == name for part in inside):
        return False
    uses = [part for part in inside if isinstance(part, ast.Name) and part.id == name]
    everywhere = [part for part in body_nodes(function) if isinstance(part, ast.Name) and part.id == name]
    only_read = all(isinstance(part.ctx, ast.Load) for part in uses)
    local = renamable_variables(function)
    return only_read and len(everywhere) == len(uses) + 1 and name in local and not {"len", "range"} & local
