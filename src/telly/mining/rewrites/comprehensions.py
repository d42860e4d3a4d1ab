"""Comprehensions for loops and loops for comprehensions.

Their code must run at the same place in both forms: nothing in it may run later (a lambda would see other variables),
bind a name, or yield control. A variable of the function that it reads must have a value, since a missing one raises a
different error in each form.
"""

from __future__ import annotations

import ast
import random
from collections import Counter
from dataclasses import dataclass

from telly.mining.rewrites.common import SITE_CHANCE, RewriteSite, edit_own_blocks, fresh, is_original, target_names
from telly.mining.scopes import (
    INTROSPECTION,
    SCOPES,
    Function,
    bound_names,
    deleted_variables,
    identifiers,
    parameter_names,
    private_variables,
    uses_of,
)

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp
UNMOVABLE = (*SCOPES, ast.NamedExpr, ast.Yield, ast.YieldFrom, ast.Await)
NAME_PARTS = (ast.Name, ast.Tuple, ast.List, ast.Starred, ast.expr_context)
NEEDS_ITS_SCOPE = INTROSPECTION | {"super"}


@dataclass(frozen=True)
class Facts:
    """Facts about a function that the rewrites of this module need."""

    function: Function
    private_names: set[str]
    bound: set[str]
    deleted: set[str]

    @classmethod
    def of(cls, function: Function) -> Facts:
        """The facts about a function as it is now."""
        return cls(function, private_variables(function), bound_names(function), deleted_variables(function))

    def may_move(self, value: Comprehension, site: RewriteSite) -> bool:
        """Return whether a comprehension and a loop are interchangeable, given the variables known at `site`."""
        # In the order of evaluation: every part may read the variables of the clauses before it.
        seen = set[str]()
        for index, clause in enumerate(value.generators):
            targets = set(target_names(clause.target))
            plain = all(isinstance(node, NAME_PARTS) for node in ast.walk(clause.target))
            first = [] if index == 0 else [clause.iter]  # the first is evaluated at the same point in both forms
            if clause.is_async or not plain or not self._known(first, seen, site):
                return False
            seen |= targets
            if not self._known(clause.ifs, seen, site):
                return False
        return self._known(_elements(value), seen, site)

    def _known(self, parts: list[ast.expr], targets: set[str], site: RewriteSite) -> bool:
        """Return whether parts may move, and read only variables of the loop so far and those with a value."""
        nodes = [node for part in parts for node in ast.walk(part)]
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        known = targets | (site.bound - self.deleted)
        return not any(isinstance(node, UNMOVABLE) for node in nodes) and names & self.bound <= known


def comprehension_to_loop(function: Function, rng: random.Random) -> None:
    """`x = [f(a) for a in b if c]` to `x = []` and a loop that appends, likewise for sets, dicts and `return`."""
    if identifiers(function) & NEEDS_ITS_SCOPE:
        return
    facts = Facts.of(function)

    def edit(block: list[ast.stmt], site: RewriteSite) -> list[ast.stmt]:
        edited: list[ast.stmt] = []
        for statement in block:
            value = statement.value if isinstance(statement, ast.Assign | ast.Return) else None
            possible = isinstance(value, Comprehension) and is_original(value) and facts.may_move(value, site)
            if isinstance(value, ast.SetComp) and "set" in facts.bound:
                possible = False
            if isinstance(value, Comprehension) and possible and rng.random() < SITE_CHANCE:
                edited += _as_loop(statement, value, facts, site, rng)
            else:
                edited.append(statement)
            site = site.after(statement)
        return edited

    edit_own_blocks(function, edit)


def _as_loop(
    statement: ast.stmt, value: Comprehension, facts: Facts, site: RewriteSite, rng: random.Random
) -> list[ast.stmt]:
    """The statements that replace one whose value is a comprehension."""
    spare, key, *names = fresh(facts.function, rng, 2 + _targets_in(value).total())
    reused = _reusable_target(statement, value, facts, site)
    target = spare if reused is None else reused
    _rename_targets(value, facts.function, names)
    body = _step(value, target, key)
    # From the inside out, since the last clause is the innermost loop.
    for clause in reversed(value.generators):
        for test in reversed(clause.ifs):
            body = [ast.If(test, body, [])]
        body = [ast.For(clause.target, clause.iter, body, [])]
    empty: ast.expr = ast.List([], ast.Load())
    if isinstance(value, ast.SetComp):
        empty = ast.Call(ast.Name("set", ast.Load()), [], [])
    elif isinstance(value, ast.DictComp):
        empty = ast.Dict([], [])
    filled: list[ast.stmt] = [ast.Assign([ast.Name(target, ast.Store())], empty), *body]
    if reused is not None:
        return filled
    assert isinstance(statement, ast.Assign | ast.Return)
    statement.value = ast.Name(target, ast.Load())
    return [*filled, statement]


def _reusable_target(statement: ast.stmt, value: Comprehension, facts: Facts, site: RewriteSite) -> str | None:
    """The variable that is assigned, if nothing can see that it is filled step by step."""
    match statement:
        case ast.Assign([ast.Name(name)]) if name in facts.private_names and not site.guarded:
            return None if name in _names_in(value) else name
    return None


def _rename_targets(value: Comprehension, function: Function, names: list[str]) -> None:
    """Rename variables of the comprehension that the function uses as well, since they become the function's."""
    # The iterable of the first clause is evaluated in the function's scope, so its names stay.
    outer = value.generators[0].iter
    used = identifiers(function, without=value) | {node.id for node in ast.walk(outer) if isinstance(node, ast.Name)}
    new_names = {old: name for old, name in zip(_targets_in(value), names, strict=False) if old in used}
    outer_nodes = {id(node) for node in ast.walk(outer)}
    for node in ast.walk(value):
        if isinstance(node, ast.Name) and id(node) not in outer_nodes:
            node.id = new_names.get(node.id, node.id)


def _step(value: Comprehension, target: str, key: str) -> list[ast.stmt]:
    """Statements that put one element into the list, set or dict `target`."""
    filled = ast.Name(target, ast.Load())
    if not isinstance(value, ast.DictComp):
        method = "append" if isinstance(value, ast.ListComp) else "add"
        return [ast.Expr(ast.Call(ast.Attribute(filled, method, ast.Load()), [value.elt], []))]
    if _any_order(value):
        return [ast.Assign([ast.Subscript(filled, value.key, ast.Store())], value.value)]
    return [
        ast.Assign([ast.Name(key, ast.Store())], value.key),
        ast.Assign([ast.Subscript(filled, ast.Name(key, ast.Load()), ast.Store())], value.value),
    ]


def loop_to_comprehension(function: Function, rng: random.Random) -> None:
    """`x = []` and a loop that only appends to it to `x = [f(a) for a in b if c]`, likewise for sets and dicts.

    The loop's variables must be read nowhere else, and the appended value must not read `x`.
    """
    if identifiers(function) & NEEDS_ITS_SCOPE:
        return
    facts = Facts.of(function)

    def edit(block: list[ast.stmt], site: RewriteSite) -> list[ast.stmt]:
        edited: list[ast.stmt] = []
        for statement in block:
            value = None
            if edited and isinstance(statement, ast.For) and not site.guarded:
                value = _as_comprehension(edited[-1], statement, facts, site)
            if value is not None and rng.random() < SITE_CHANCE:
                assignment = edited[-1]
                assert isinstance(assignment, ast.Assign)
                assignment.value = value
            else:
                edited.append(statement)
            site = site.after(statement)
        return edited

    edit_own_blocks(function, edit)


def _as_comprehension(assignment: ast.stmt, loop: ast.For, facts: Facts, site: RewriteSite) -> Comprehension | None:
    match assignment:
        case ast.Assign([ast.Name(name)], empty) if name in facts.private_names and _names_in(loop)[name] == 1:
            value = _collected(name, empty, loop)
        case _:
            return None
    if value is None or not facts.may_move(value, site):
        return None
    if isinstance(value, ast.SetComp) and "set" in facts.bound:
        return None
    inside, first = _names_in(loop), _names_in(loop.iter)
    for target in _targets_in(value):
        alone = len(uses_of(facts.function, target)) == inside[target] and not first[target]
        if not alone or target not in facts.private_names - parameter_names(facts.function):
            return None
    return value


def _collected(name: str, empty: ast.expr, loop: ast.For) -> Comprehension | None:
    """Comprehension equal to a loop that fills the empty list, set or dict `name` and does nothing else, or None."""
    clauses: list[ast.comprehension] = []
    last: ast.stmt = loop
    while True:
        match last:
            case ast.For(target, iterable, [inner], []):
                clauses.append(ast.comprehension(target, iterable, [], 0))
            case ast.If(test, [inner], []):
                clauses[-1].ifs.append(test)
            case _:
                break
        last = inner
    value: Comprehension | None = None
    match empty, last:
        case ast.List([]), ast.Expr(ast.Call(ast.Attribute(ast.Name(same), "append"), [element], [])):
            value = ast.ListComp(element, clauses)
        case (
            ast.Call(ast.Name("set"), [], []),
            ast.Expr(ast.Call(ast.Attribute(ast.Name(same), "add"), [element], [])),
        ):
            value = ast.SetComp(element, clauses)
        case ast.Dict([]), ast.Assign([ast.Subscript(ast.Name(same), key)], element):
            value = ast.DictComp(key, element, clauses)
        case _:
            return None
    odd = (isinstance(part, ast.Starred | ast.Slice) for element in _elements(value) for part in ast.walk(element))
    if same != name or any(odd):
        return None
    return value if not isinstance(value, ast.DictComp) or _any_order(value) else None


def _elements(value: Comprehension) -> list[ast.expr]:
    return [value.key, value.value] if isinstance(value, ast.DictComp) else [value.elt]


def _any_order(value: ast.DictComp) -> bool:
    """Return whether key and value can be evaluated in either order: a loop starts with the value."""
    targets = _targets_in(value)
    return any(
        isinstance(part, ast.Constant) or (isinstance(part, ast.Name) and part.id in targets)
        for part in _elements(value)
    )


def _targets_in(value: Comprehension) -> Counter[str]:
    return Counter(name for clause in value.generators for name in target_names(clause.target))


def _names_in(node: ast.AST) -> Counter[str]:
    return Counter(part.id for part in ast.walk(node) if isinstance(part, ast.Name))
