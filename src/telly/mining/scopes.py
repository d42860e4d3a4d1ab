"""Names of a Python function by role: parameters, local variables, names that can be changed without effect.

All of it is read from the syntax tree; the function is not run.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
INTROSPECTION = frozenset({"locals", "vars", "eval", "exec", "dir", "_getframe", "currentframe", "f_locals"})
"""Functions and attributes through which code can look up variables by name, so that a renaming would show."""
SCOPES = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)
"""Nodes with a scope of their own for names."""
LATE_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.GeneratorExp)
"""Scopes with code that may run later than where it is written, and any number of times; of a class, its methods."""


def identifiers(function: Function, without: ast.AST | None = None) -> set[str]:
    """Every name that occurs in a function in any role, its own name and attributes included.

    Args:
        function: the function to search.
        without: a node within it that is left out, with everything below it.
    """
    names: set[str] = set()
    for node in _nodes(function, without):
        # All fields in which a node of `ast` keeps a name; `rest` is that of `**rest` in a pattern.
        values = (getattr(node, field, None) for field in ("id", "attr", "arg", "name", "asname", "rest"))
        names |= {value for value in values if isinstance(value, str)}
        if isinstance(node, ast.Global | ast.Nonlocal):
            names |= set(node.names)
        elif isinstance(node, ast.alias):
            names |= set(node.name.split("."))
    return names


def _nodes(function: Function, without: ast.AST | None) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = [function]
    while waiting:
        node = waiting.pop()
        if node is not without:
            yield node
            waiting += ast.iter_child_nodes(node)


def parameter_names(function: Function) -> set[str]:
    """The names of all parameters."""
    arguments = function.args
    all_arguments = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return {argument.arg for argument in all_arguments if argument is not None}


def bound_names(function: Function) -> set[str]:
    """Every name that a function or anything in it binds, its parameters included."""
    names = parameter_names(function) | {name for node in ast.walk(function) for name in _known_by_name(node)}
    return names | {name for node in ast.walk(function) for name in _stored_names(node)}


def private_variables(function: Function) -> set[str]:
    """Variables that only the function's own statements see, and that keep a value once they have one.

    These are the variables that can be renamed, that no inner function, class or generator expression mentions, and
    that are never deleted. (Python itself deletes the name of a caught error at the end of `except`.)
    """
    late = [node for node in ast.walk(function) if isinstance(node, LATE_SCOPES) and node is not function]
    shared = {part.id for node in late for part in ast.walk(node) if isinstance(part, ast.Name)}
    return renamable_variables(function) - shared - deleted_variables(function)


def deleted_variables(function: Function) -> set[str]:
    """Variables that may lose their value: by `del`, or at the end of `except`, as the name of a caught error."""
    names = set[str]()
    for node in ast.walk(function):
        match node:
            case ast.Name(name, ast.Del()) | ast.ExceptHandler(name=str() as name):
                names.add(name)
    return names


def uses_of(function: Function, name: str) -> list[ast.Name]:
    """Occurrences of a variable in the body, reads and writes.

    Only for the variables of `renamable_variables`: the same name in an inner scope is counted too.
    """
    inside = (node for statement in function.body for node in ast.walk(statement))
    return [node for node in inside if isinstance(node, ast.Name) and node.id == name]


def renamable_variables(function: Function) -> set[str]:
    """Local variables and positional parameters that can be renamed throughout the function without any effect.

    Names on which other code may rely are left out: keyword-only parameters, names of arguments in calls (the function
    may call itself), parameters of nested functions, names of imports and of nested functions, global and nonlocal
    names, targets of `:=` (a comprehension binds them in the function around it), names that begin with two
    underscores, and `self` and `cls`. A function that defines a class, matches patterns or looks up its variables by
    name has none.
    """
    inside = [node for statement in function.body for node in ast.walk(statement)]
    if any(isinstance(node, ast.ClassDef | ast.Match) for node in inside) or identifiers(function) & INTROSPECTION:
        return set()
    arguments = function.args
    parameters = [*arguments.posonlyargs, *arguments.args, arguments.vararg, arguments.kwarg]
    bound = {argument.arg for argument in parameters if argument is not None}
    for node in own_nodes(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name is not None:
            bound.add(node.name)
    fixed = {argument.arg for argument in arguments.kwonlyargs} | {"self", "cls"}
    for node in inside:
        fixed |= _known_by_name(node)
    return {name for name in bound - fixed if not name.startswith("__")}


def _known_by_name(node: ast.AST) -> set[str]:
    """Names in a node that must not be changed, since other code may rely on them."""
    match node:
        case ast.Global(names) | ast.Nonlocal(names):
            return set(names)
        case ast.arg(name) | ast.keyword(str() as name):
            return {name}
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return {node.name}
        case ast.alias():
            return {(node.asname or node.name).split(".")[0]}
        case ast.NamedExpr(ast.Name(name)):
            return {name}
    return set()


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """The nodes of a function's body, without the contents of nested scopes: functions, classes, comprehensions."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, SCOPES):
            waiting += ast.iter_child_nodes(node)


def int_names(function: Function) -> set[str]:
    """Local variables that can only be integers: int constants are assigned, added and subtracted, and nothing else."""
    # Stores in all scopes, since a nested function may use the name for something else.
    stores = Counter(
        name for statement in function.body for node in ast.walk(statement) for name in _stored_names(node)
    )
    # What is left are the stores of anything else.
    stores.subtract(name for node in own_nodes(function) for name in _int_targets(node))
    integers = {name for name, other_stores in stores.items() if other_stores == 0}
    return integers & renamable_variables(function) - parameter_names(function)


def _stored_names(node: ast.AST) -> list[str]:
    """The variable that a node itself binds or deletes, if any."""
    match node:
        case ast.Name(name, ast.Store() | ast.Del()) | ast.ExceptHandler(name=str() as name):
            return [name]
    return []


def _int_targets(node: ast.AST) -> list[str]:
    """Variables to which a statement assigns, adds or subtracts an int constant."""
    match node:
        case ast.Assign(targets, ast.Constant(int() as value)) if not isinstance(value, bool):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.Assign([ast.Name(name)], ast.BinOp(ast.Name(same), ast.Add() | ast.Sub(), ast.Constant(int()))):
            return [name] if name == same else []
        case ast.AugAssign(ast.Name(name), ast.Add() | ast.Sub(), ast.Constant(int())):
            return [name]
    return []
