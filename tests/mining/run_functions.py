"""Runs functions on arguments in a process of its own: `python -I run_functions.py < job.json > outcomes.json`.

A job is a list of `{"setup": source, "name": name, "texts": [source], "calls": [literal of a list of arguments]}`; its
outcomes are, for each text, what each call showed: result or type of the error, and the arguments afterwards.
"""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

MEMORY = 1 << 30
LINES = 20_000
"""A mutant may never end; after so many lines a call is stopped."""
MOST = 200
"""Of what an iterator gives: it may be endless."""


class TooLong(BaseException):
    pass


def outcome(function: Callable[..., object], arguments: list[Any]) -> str:
    left = LINES

    def trace(_frame: object, event: str, _argument: object) -> Callable[..., Any]:
        nonlocal left
        left -= event == "line"
        if left < 0:
            raise TooLong
        return trace

    sys.settrace(trace)
    try:
        result = shown(function(*arguments))
    except (Exception, TooLong) as error:  # noqa: BLE001 - whatever it raises is its behaviour
        result = f"raises {type(error).__name__}"
    finally:
        sys.settrace(None)
    return f"{result}; arguments {shown(arguments)}"


def shown(value: object) -> str:
    """What a value holds; sets in one order, iterators to their end."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__} {sorted(map(shown, value))}"
    if isinstance(value, dict):
        return f"dict {[(shown(key), shown(part)) for key, part in value.items()]}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} {[shown(part) for part in value]}"
    if isinstance(value, Iterator):
        return f"iterator {[shown(part) for part in itertools.islice(value, MOST)]}"
    return repr(value)


def function_from(setup: str, text: str, name: str) -> Callable[..., object]:
    names: dict[str, Any] = {}
    exec(setup, names)
    exec(text, names)
    function: Callable[..., object] = names[name]
    return function


def main() -> None:
    with contextlib.suppress(ImportError):
        import resource  # not on every platform

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    outcomes = []
    for task in json.load(sys.stdin):
        functions = [function_from(task["setup"], text, task["name"]) for text in task["texts"]]
        outcomes.append([[outcome(f, ast.literal_eval(call)) for call in task["calls"]] for f in functions])
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main()
