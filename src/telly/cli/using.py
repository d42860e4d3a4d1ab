"""What the commands that use a tuned model share: options, and how a function is shown."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from telly.mining.repository.collect import CollectOptions
    from telly.using.index import CodeLocation

Model = Annotated[
    str | None,
    typer.Option("--model", help="A run's folder, a model folder, or telly-mini. [default: the task's newest run]"),
]
IndexFolder = Annotated[
    Path | None, typer.Option("--index", help="The index's folder. [default: in your cache folder]")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Languages = Annotated[
    list[str] | None, typer.Option("--language", help="Only this language; repeatable. [default: all]")
]
Tests = Annotated[bool, typer.Option("--with-tests", help="Test files as well.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes that read. [default: one a processor]")]


def say(line: str) -> None:
    """A line for the person at the terminal, apart from what is printed."""
    print(line, file=sys.stderr)


def asked_for(languages: list[str] | None, tests: bool) -> CollectOptions | None:
    """What the options say is to be read; None where none is given, and an index keeps to what it was made of."""
    from telly.using.reading import collect_options

    return collect_options(tuple(languages or ()), tests=tests) if languages or tests else None


def where(location: CodeLocation, root: Path) -> str:
    """A function's file and line, as editors read them, from the folder that the user stands in."""
    from telly.mining.repository.collect import printable

    return f"{printable(str(root / location.path))}:{location.function.line}"


def quoted(*words: object) -> str:
    """Words of a command as a shell reads them."""
    return shlex.join(map(str, words))
