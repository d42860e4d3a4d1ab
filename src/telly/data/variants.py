"""Variants of a Python function that behave like it: positives for clone detection and clone retrieval.

Functions are rewritten as syntax trees and never run. A rewrite is applied only where the tree alone shows that it
keeps the behaviour, given that `len` and `range` are the built-in functions. What may differ: the names of positional
parameters (so a variant is to be called by position), comments, layout, the interpreter's own messages, and what
`inspect` and line numbers show.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import random
import re
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

from telly.data.scopes import Function, identifiers, int_names, renamable

ATTEMPTS = 8  # for each variant that is wanted
SITE_CHANCE = 0.75
REWRITE_CHANCE = 0.6
RENAME_CHANCE = 0.9
NAMES = (
    *("item", "value", "data", "result", "entry", "node", "part", "count", "current", "other", "content", "source"),
    *("target", "element", "buffer", "index", "position", "offset", "size", "total", "name", "text", "key", "first"),
    *("last", "left", "right", "parent", "child", "group", "record", "field", "flag", "mode", "kind", "state", "info"),
    *("option", "limit", "number", "place", "chunk", "piece", "token", "word", "line", "row", "col", "obj", "arg"),
    *("tmp", "ret", "res", "val", "elem", "cur", "prev", "acc", "found", "given", "reply", "handler", "helper"),
)
Node = TypeVar("Node", bound=ast.AST)
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


def variants_of(code: str, count: int, rng: random.Random) -> list[str]:
    """Variants of a function that differ from it, and from each other, in more than layout.

    Args:
        code: the source of one function, not indented. Source that is no single function has no variants.
        count: how many are wanted; a short function may give fewer, or none.
        rng: decides what is rewritten. The same state gives the same variants under the same Python version.
    """
    plain = _reformatted(code)
    if plain is None:
        return []
    found: list[str] = []
    seen = {_squeezed(plain)}
    for _ in range(ATTEMPTS * count):
        if len(found) == count:
            break
        chances = {name: RENAME_CHANCE if name == "rename" else REWRITE_CHANCE for name in REWRITES}
        text = variant_of(code, [name for name, chance in chances.items() if rng.random() < chance], rng)
        if text is not None and _squeezed(text) not in seen:
            seen.add(_squeezed(text))
            found.append(text)
    return found


def variant_of(code: str, rewrites: list[str], rng: random.Random) -> str | None:
    """The function after some of the `REWRITES`, in the order of that table; None where it cannot be written down."""
    function = parse_function(code)
    if function is None:
        return None
    try:
        for name, rewrite in REWRITES.items():
            if name in rewrites:
                rewrite(function, rng)
    except RecursionError:
        return None
    return written(function)


def written(function: Function) -> str | None:
    """A tree as source; None where it cannot be written down, as some f-strings cannot without a backslash."""
    try:
        text = ast.unparse(ast.fix_missing_locations(function))
        same = ast.dump(ast.parse(text).body[0]) == ast.dump(function)
    except (ValueError, SyntaxError, RecursionError):
        return None
    return text if same else None


def parse_function(code: str) -> Function | None:
    """The tree of a source that is one function and nothing else; None for any other."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's code are not our user's business
            body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    function = body[0] if len(body) == 1 else None
    return function if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) else None


def _reformatted(code: str) -> str | None:
    return variant_of(code, [], random.Random(0))


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _fresh(function: Function, rng: random.Random, count: int) -> list[str]:
    """Names that mean nothing in the function yet."""
    used = identifiers(function) | set(keyword.kwlist) | set(dir(builtins))
    free = [name for name in NAMES if name not in used]
    numbered = (f"{name}_{number}" for number in range(2, 1000) for name in NAMES)
    while len(free) < count:
        name = next(numbered)
        free += [name] * (name not in used)
    return rng.sample(free, count)


def _sites(function: Function, kind: type[Node], rng: random.Random) -> list[Node]:
    """Nodes of a kind in the function's body, some of them left out."""
    return [node for node in _body_nodes(function) if isinstance(node, kind) and rng.random() < SITE_CHANCE]


def _body_nodes(function: Function) -> Iterator[ast.AST]:
    return (node for statement in function.body for node in ast.walk(statement))


def _edit_blocks(function: Function, edit: Callable[[list[ast.stmt]], list[ast.stmt]]) -> None:
    """Put `edit(block)` in the place of every block of statements."""
    for node in [function, *_body_nodes(function)]:
        for part in ("body", "orelse", "finalbody"):
            block = getattr(node, part, None)
            if isinstance(block, list) and block:
                setattr(node, part, edit(block))


def _rename(function: Function, rng: random.Random) -> None:
    """Other names for local variables and positional parameters."""
    old = [name for name in sorted(renamable(function)) if rng.random() < SITE_CHANCE]
    names = dict(zip(old, _fresh(function, rng, len(old)), strict=True))
    arguments = function.args
    for argument in [*arguments.posonlyargs, *arguments.args, arguments.vararg, arguments.kwarg]:
        if argument is not None:
            argument.arg = names.get(argument.arg, argument.arg)
    for node in _body_nodes(function):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name is not None:
            node.name = names.get(node.name, node.name)


def _invert_if(function: Function, rng: random.Random) -> None:
    """`if c: A else: B` to `if not c: B else: A`, likewise for expressions."""
    for node in _sites(function, ast.If, rng):
        if node.orelse:
            node.test, node.body, node.orelse = _negated(node.test), node.orelse, node.body
    for choice in _sites(function, ast.IfExp, rng):
        choice.test, choice.body, choice.orelse = _negated(choice.test), choice.orelse, choice.body


def _negated(test: ast.expr) -> ast.expr:
    """`not test`, in a place that asks for the truth alone. `==` stays: classes may define `!=` in another way."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in OPPOSITES:
        return ast.Compare(test.left, [OPPOSITES[type(test.ops[0])]()], test.comparators)
    return ast.UnaryOp(ast.Not(), test)


def _flip_comparisons(function: Function, rng: random.Random) -> None:
    """`x < 0` to `0 > x`, where one side is a constant.

    Then neither the order of evaluation changes nor the method that decides: a constant leaves other types to theirs.
    """
    for node in _sites(function, ast.Compare, rng):
        constant = isinstance(node.left, ast.Constant) or isinstance(node.comparators[0], ast.Constant)
        if len(node.ops) == 1 and constant and type(node.ops[0]) in FLIPPED:
            node.left, node.comparators = node.comparators[0], [node.left]
            node.ops = [FLIPPED[type(node.ops[0])]()]


def _step_assignment(function: Function, rng: random.Random) -> None:
    """`x += 1` to `x = x + 1` and back, for names that can only be whole numbers (others may change in place)."""
    integers = int_names(function)

    def edit(block: list[ast.stmt]) -> list[ast.stmt]:
        return [_other_step(statement, integers) if rng.random() < SITE_CHANCE else statement for statement in block]

    _edit_blocks(function, edit)


def _other_step(statement: ast.stmt, integers: set[str]) -> ast.stmt:
    match statement:
        case ast.AugAssign(ast.Name(name), ast.Add() | ast.Sub() as op, ast.Constant() as step) if name in integers:
            return ast.Assign([ast.Name(name, ast.Store())], ast.BinOp(ast.Name(name, ast.Load()), op, step))
        case ast.Assign(
            [ast.Name(name)], ast.BinOp(ast.Name(same), ast.Add() | ast.Sub() as op, ast.Constant() as step)
        ) if name == same and name in integers:
            return ast.AugAssign(ast.Name(name, ast.Store()), op, step)
    return statement


def _else_after_jump(function: Function, rng: random.Random) -> None:
    """`if c: return a else: B` to `if c: return a` and B after it, and back."""

    def edit(block: list[ast.stmt]) -> list[ast.stmt]:
        for at, node in enumerate(block):
            if isinstance(node, ast.If) and isinstance(node.body[-1], JUMPS) and rng.random() < SITE_CHANCE:
                if node.orelse:
                    rest, node.orelse = node.orelse, []
                    return [*block[: at + 1], *rest, *block[at + 1 :]]
                node.orelse = block[at + 1 :]
                return block[: at + 1]
        return block

    _edit_blocks(function, edit)


def _split_condition(function: Function, rng: random.Random) -> None:
    """`if a and b: A` to `if a:` with `if b: A` in it, where there is no else."""
    for node in _sites(function, ast.If, rng):
        if not node.orelse and isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And):
            first, *rest = node.test.values
            test = rest[0] if len(rest) == 1 else ast.BoolOp(ast.And(), rest)
            node.test, node.body = first, [ast.If(test, node.body, [])]


def _name_result(function: Function, rng: random.Random) -> None:
    """`return expression` to `result = expression` and `return result`."""
    (name,) = _fresh(function, rng, 1)

    def edit(block: list[ast.stmt]) -> list[ast.stmt]:
        match block[-1]:
            case ast.Return(None | ast.Name() | ast.Constant()):
                pass
            case ast.Return(ast.expr() as value) if rng.random() < SITE_CHANCE:
                keep = ast.Assign([ast.Name(name, ast.Store())], value)
                return [*block[:-1], keep, ast.Return(ast.Name(name, ast.Load()))]
        return block

    _edit_blocks(function, edit)


def _return_choice(function: Function, rng: random.Random) -> None:
    """`return a if c else b` to `if c: return a` and `else: return b`."""

    def edit(block: list[ast.stmt]) -> list[ast.stmt]:
        match block[-1]:
            case ast.Return(ast.IfExp(test, first, second)) if rng.random() < SITE_CHANCE:
                return [*block[:-1], ast.If(test, [ast.Return(first)], [ast.Return(second)])]
        return block

    _edit_blocks(function, edit)


def _break_while(function: Function, rng: random.Random) -> None:
    """`while c: A` to `while True:` that breaks unless c; an else would not run any more."""
    for node in _sites(function, ast.While, rng):
        if not node.orelse and not isinstance(node.test, ast.Constant):
            node.body = [ast.If(_negated(node.test), [ast.Break()], []), *node.body]
            node.test = ast.Constant(value=True)


def _range_to_while(function: Function, rng: random.Random) -> None:
    """`for i in range(len(x)): A` to a while loop that counts, where nothing but A looks at i and A only reads it."""

    def edit(block: list[ast.stmt]) -> list[ast.stmt]:
        edited: list[ast.stmt] = []
        for node in block:
            match node:
                case ast.For(ast.Name(name), ast.Call(ast.Name("range"), [stop], []), body, orelse) if (
                    _is_length(stop) and _counts_alone(name, body, function) and rng.random() < SITE_CHANCE
                ):
                    (limit,) = _fresh(function, rng, 1)
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

    _edit_blocks(function, edit)


def _is_length(stop: ast.expr) -> bool:
    match stop:
        case ast.Constant(int()) | ast.Call(ast.Name("len")):
            return True
    return False


def _counts_alone(name: str, body: list[ast.stmt], function: Function) -> bool:
    """Whether the loop over `body` may count `name` itself: it runs to its end, and no one else sees the name."""
    inside = [part for statement in body for part in ast.walk(statement)]
    lazy = (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.GeneratorExp, ast.ClassDef)
    if any(isinstance(part, (*lazy, ast.Continue)) for part in inside):
        return False
    if any(isinstance(part, ast.ExceptHandler) and part.name == name for part in inside):
        return False
    uses = [part for part in inside if isinstance(part, ast.Name) and part.id == name]
    everywhere = [part for part in _body_nodes(function) if isinstance(part, ast.Name) and part.id == name]
    only_read = all(isinstance(part.ctx, ast.Load) for part in uses)
    local = renamable(function)
    return only_read and len(everywhere) == len(uses) + 1 and name in local and not {"len", "range"} & local


Rewrite = Callable[[Function, random.Random], None]
REWRITES: dict[str, Rewrite] = {
    "range-to-while": _range_to_while,
    "break-while": _break_while,
    "step-assignment": _step_assignment,
    "split-condition": _split_condition,
    "return-choice": _return_choice,
    "name-result": _name_result,
    "else-after-jump": _else_after_jump,
    "invert-if": _invert_if,
    "flip-comparisons": _flip_comparisons,
    "rename": _rename,
}
