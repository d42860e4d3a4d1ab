"""Other names."""

from __future__ import annotations

import ast
import random

from telly.mining.rewrites.common import SITE_CHANCE, body_nodes, fresh
from telly.mining.scopes import Function, renamable_variables


def rename(function: Function, rng: random.Random) -> None:
    """Other names for local variables and positional parameters."""
    old = [name for name in sorted(renamable_variables(function)) if rng.random() < SITE_CHANCE]
    names = dict(zip(old, fresh(function, rng, len(old)), strict=True))
    arguments = function.args
    for argument in [*arguments.posonlyargs, *arguments.args, arguments.vararg, arguments.kwarg]:
        if argument is not None:
            argument.arg = names.get(argument.arg, argument.arg)
    for node in body_nodes(function):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name is not None:
            node.name = names.get(node.name, node.name)
