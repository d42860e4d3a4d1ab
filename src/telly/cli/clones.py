"""`telly clones`: groups of functions of a source tree that do the same."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telly.cli.using import IndexFolder, Json, Languages, Model, Tests, Workers, asked_for, say, where

if TYPE_CHECKING:
    from telly.using.clones import Clones

FOUND = 1
EPILOG = """Examples:

  telly clones ~/src/shop

groups of functions that are clones by the newest run of `telly tune clone --head cosine`, and its threshold.

  telly clones ~/src/shop --min-similarity 0.97 --sarif clones.sarif --html clones.html

also for review tools, and as a page with the code side by side.

  telly clones ~/src/shop --fail-on near-duplicate

for CI: exit code 1 if functions are near-duplicates or copies, 0 if none are.

copy: equal but for their name, comments and layout; near-duplicate: most of the text is shared; similar:
by the model alone.
"""


class CloneKind(StrEnum):
    """How alike two texts are, the most alike first."""

    COPY = "copy"
    NEAR_DUPLICATE = "near-duplicate"
    SIMILAR = "similar"


def clones(
    path: Annotated[Path, typer.Argument(help="A folder of sources.")] = Path(),
    min_similarity: Annotated[
        float | None, typer.Option(help="Least cosine. [default: the run's threshold, else 0.95]")
    ] = None,
    min_lines: Annotated[int, typer.Option(min=1, help="Leave out shorter functions.")] = 5,
    sarif: Annotated[Path | None, typer.Option(help="Write SARIF 2.1.0 into this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page into this file.")] = None,
    fail_on: Annotated[
        CloneKind | None,
        typer.Option(help="Exit with 1 if there are clones of this kind or more alike; similar: if any."),
    ] = None,
    model: Model = None,
    index_folder: IndexFolder = None,
    language: Languages = None,
    tests: Tests = False,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Find clones across and within files, near-duplicates marked."""
    from telly.using.answers import clones_answer
    from telly.using.clones import find_clones

    found = find_clones(
        path,
        min_similarity=min_similarity,
        min_lines=min_lines,
        model=model,
        index=index_folder,
        options=asked_for(language, tests),
        workers=workers,
    )
    if sarif is not None:
        from telly.using.sarif import sarif as log

        _write(sarif, json.dumps(log(found), indent=1))
    if html is not None:
        from telly.using.page import render_clones

        _write(html, render_clones(found))
    typer.echo(json.dumps(clones_answer(found), indent=1) if as_json else _text(found, path))
    if fail_on is not None and (failing := found.groups_with(fail_on.value)):
        say(f"exit code {FOUND}: {len(failing)} groups have clones of kind {fail_on.value} or more alike")
        raise typer.Exit(FOUND)


def _write(file: Path, text: str) -> None:
    from telly.errors import ConfigError

    try:
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror or error}; give another file") from None
    say(f"wrote {file}")


def _text(found: Clones, root: Path) -> str:
    cloned = sum(len(group.locations) for group in found.groups)
    lines = []
    for number, group in enumerate(found.groups, start=1):
        least, most = group.similarity
        lines.append(f"{number}. {group.kind}: {len(group.locations)} functions, similarity {least:.3f} to {most:.3f}")
        lines += [f"   {where(location, root)}  {location.function.name}" for location in group.locations]
    return "\n".join(
        [
            *lines,
            f"{len(found.groups)} groups of {cloned:,} among {found.functions:,} functions of at least "
            f"{found.min_lines} lines; similarity at least {found.min_similarity:.3f}",
        ]
    )
