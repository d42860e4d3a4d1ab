"""Names for parts of expressions, and expressions for such names."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from telly.mining.rewrites.common import SITE_CHANCE, RewriteSite, edit_blocks, edit_own_blocks, fresh
from telly.mining.scopes import (
    INTROSPECTION,
    Function,
    bound_names,
    identifiers,
    parameter_names,
    private_variables,
    uses_of,
)

BUILT_IN = frozenset({"len", "range", "set"})
WORTH_A_NAME = (
    *(ast.Call, ast.BinOp, ast.Subscript, ast.Attribute, ast.Compare, ast.BoolOp, ast.IfExp),
    *(ast.ListComp, ast.SetComp, ast.DictComp),
)
FIRST_PARTS: dict[type[ast.expr], tuple[str, ...]] = {
    ast.BinOp: ("left", "right"),
    ast.UnaryOp: ("operand",),
    ast.BoolOp: ("values",),
    ast.Attribute: ("value",),
    ast.IfExp: ("test",),
}
BINDING = ast.NamedExpr | ast.Yield | ast.YieldFrom | ast.Await
IsStill = Callable[[ast.expr], bool]


@dataclass(frozen=True)
class Slot:
    """A place in the tree that holds an expression."""

    owner: ast.AST
    part: str
    at: int | None = None

    @property
    def value(self) -> ast.expr:
        """The expression that is there now."""
        expression: ast.expr = (
            getattr(self.owner, self.part) if self.at is None else getattr(self.owner, self.part)[self.at]
        )
        return expression

    def put(self, value: ast.expr) -> None:
        """Replace the expression."""
        if self.at is None:
            setattr(self.owner, self.part, value)
        else:
            getattr(self.owner, self.part)[self.at] = value


def name_result(function: Function, rng: random.Random) -> None:
    """`return expression` to `result = expression` and `return result`."""
    (name,) = fresh(function, rng, 1)

    def edit(block: list[ast.stmt]) -> list[ast.stmt]:
        match block[-1]:
            case ast.Return(None | ast.Name() | ast.Constant()):
                pass
            case ast.Return(ast.expr() as value) if rng.random() < SITE_CHANCE:
                assignment = ast.Assign([ast.Name(name, ast.Store())], value)
                return [*block[:-1], assignment, ast.Return(ast.Name(name, ast.Load()))]
        return block

    edit_blocks(function, edit)


def extract_temporary(function: Function, rng: random.Random) -> None:
    """`return f(x) + g(y)` to `value = f(x)` and `return value + g(y)`.

    The extracted expression is evaluated before everything else in its statement but constants and variables that have
    a value and keep it, so the order of evaluation stays.
    """
    if identifiers(function) & INTROSPECTION:
        return
    names = fresh(function, rng, 3)
    private_names, known = private_variables(function), BUILT_IN - bound_names(function)

    def edit(block: list[ast.stmt], site: RewriteSite) -> list[ast.stmt]:
        edited: list[ast.stmt] = []
        for statement in block:
            # A whole value of an assignment or return gains nothing from a name; that of a condition or loop does.
            slots = [
                slot
                for slot in _early_slots(statement, _is_still(site.bound & private_names | known))
                if (_is_worth_a_name(slot) and not isinstance(slot.owner, ast.stmt))
                or (isinstance(slot.owner, ast.For | ast.If) and isinstance(slot.value, WORTH_A_NAME))
            ]
            if slots and rng.random() < SITE_CHANCE:
                slot, name = rng.choice(slots), rng.choice(names)
                edited.append(ast.Assign([ast.Name(name, ast.Store())], slot.value))
                slot.put(ast.Name(name, ast.Load()))
            edited.append(statement)
            site = site.after(statement)
        return edited

    edit_own_blocks(function, edit)


def inline_temporary(function: Function, rng: random.Random) -> None:
    """`value = f(x)` and `return value + g(y)` to `return f(x) + g(y)`, where nothing else reads the variable.

    The inlined expression is evaluated at the same point as before: after nothing but constants and variables
    that have a value and keep it.
    """
    private_names, known = private_variables(function), BUILT_IN - bound_names(function)
    once = {name for name in private_names - parameter_names(function) if len(uses_of(function, name)) == 2}

    def edit(block: list[ast.stmt], site: RewriteSite) -> list[ast.stmt]:
        edited: list[ast.stmt] = []
        for statement in block:
            slot = (
                _reading_slot(edited[-1], statement, once, _is_still(site.bound & private_names | known))
                if edited
                else None
            )
            if slot is not None and rng.random() < SITE_CHANCE:
                previous = edited.pop()
                assert isinstance(previous, ast.Assign)
                slot.put(previous.value)
            edited.append(statement)
            site = site.after(statement)
        return edited

    edit_own_blocks(function, edit)


def _is_still(names: frozenset[str]) -> IsStill:
    """A predicate that tells constants and these names from other expressions."""
    return lambda value: isinstance(value, ast.Constant) or (isinstance(value, ast.Name) and value.id in names)


def _is_worth_a_name(slot: Slot) -> bool:
    """Return whether an expression is an operand or argument that computes something; a method alone does not."""
    return isinstance(slot.value, WORTH_A_NAME) and slot.part != "func"


def _reading_slot(assignment: ast.stmt, statement: ast.stmt, once: set[str], is_still: IsStill) -> Slot | None:
    """The place where a statement reads the variable that the one before assigned, if the value may move there."""
    match assignment:
        case ast.Assign([ast.Name(name)], value) if name in once:
            if not any(isinstance(node, BINDING) for node in ast.walk(value)):
                slots = _early_slots(statement, lambda part: is_still(part) and getattr(part, "id", None) != name)
                return next(
                    (slot for slot in slots if isinstance(slot.value, ast.Name) and slot.value.id == name), None
                )
    return None


def _early_slots(statement: ast.stmt, is_still: IsStill) -> Iterator[Slot]:
    """Parts of a statement that are evaluated once, and before everything else in it but still expressions."""
    match statement:
        case ast.Assign() | ast.Return(ast.expr()) | ast.Expr():
            yield from _early(Slot(statement, "value"), is_still)
        case ast.AugAssign(ast.Name() as target) if is_still(target):
            yield from _early(Slot(statement, "value"), is_still)
        case ast.If():
            yield from _early(Slot(statement, "test"), is_still)
        case ast.For():
            yield from _early(Slot(statement, "iter"), is_still)
        case ast.Raise(ast.expr()):
            yield from _early(Slot(statement, "exc"), is_still)


def _early(slot: Slot, is_still: IsStill) -> Iterator[Slot]:
    """An expression and its early parts; after the first part that is not still, nothing is early."""
    yield slot
    for part in _parts(slot.value):
        yield from _early(part, is_still)
        if not is_still(part.value):
            return


def _parts(value: ast.expr) -> list[Slot]:
    """The first parts of an expression in the order of their evaluation, as far as all of them are evaluated."""
    match value:
        case ast.Compare():
            return [Slot(value, "left"), Slot(value, "comparators", 0)]
        case ast.Call():
            arguments = _unstarred(value, "args")
            all_positional = len(arguments) == len(value.args)
            keywords = [Slot(word, "value") for word in value.keywords[:1] if all_positional and word.arg is not None]
            return [Slot(value, "func"), *arguments, *keywords]
        case ast.Subscript(slice=index):
            plain = not any(isinstance(part, ast.Slice | ast.Starred) for part in ast.walk(index))
            return [Slot(value, "value"), *([Slot(value, "slice")] if plain else [])]
        case ast.Tuple() | ast.List() | ast.Set():
            return _unstarred(value, "elts")
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return [] if value.generators[0].is_async else [Slot(value.generators[0], "iter")]
    at = 0 if isinstance(value, ast.BoolOp) else None  # `and` and `or` always evaluate their first operand alone
    return [Slot(value, part, at) for part in FIRST_PARTS.get(type(value), ())]


def _unstarred(owner: ast.expr, part: str) -> list[Slot]:
    values: list[ast.expr] = getattr(owner, part)
    starred = [at for at, value in enumerate(values) if isinstance(value, ast.Starred)]
    return [Slot(owner, part, at) for at in range(starred[0] if starred else len(values))]
