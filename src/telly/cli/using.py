"""Options and formatting shared by the commands that use a tuned model."""

from __future__ import annotations

import shlex
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
    Path | None, typer.Option("--index", help="Folder of the index. [default: in the user's cache folder]")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Languages = Annotated[
    list[str] | None, typer.Option("--language", help="Language to include; repeatable. [default: all]")
]
Tests = Annotated[bool, typer.Option("--with-tests", help="Include test files.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Number of parsing processes. [default: one per core]")]


def collect_options_of(languages: list[str] | None, tests: bool) -> CollectOptions | None:
    """The options for collecting functions, or None if no option is given, so that an index keeps its own."""
    from telly.using.reading import collect_options

    return collect_options(tuple(languages or ()), tests=tests) if languages or tests else None


def file_and_line(location: CodeLocation, root: Path) -> str:
    """A function's location as `FILE:LINE`, which editors understand, relative to the current folder."""
    from telly.mining.repository.collect import printable

    return f"{printable(str(root / location.path))}:{location.function.line}"


def shell_command(*words: object) -> str:
    """A command line, quoted for the shell."""
    return shlex.join(map(str, words))
