"""`telly clones`: find groups of equivalent functions in a source tree."""

from __future__ import annotations

import json
import logging
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telly.cli.using import IndexFolder, Json, Languages, Model, Tests, Workers, collect_options_of, file_and_line

if TYPE_CHECKING:
    from telly.using.clones import Clones

CLONES_FOUND = 1
"""Exit code of `--fail-on`."""
logger = logging.getLogger(__name__)
EPILOG = """Examples:

  telly clones ~/src/shop

Groups the functions that are clones according to the newest run of `telly tune clone --head cosine` and its
threshold.

  telly clones ~/src/shop --min-similarity 0.97 --sarif clones.sarif --html clones.html

Also writes SARIF for review tools and an HTML page that shows the code side by side.

  telly clones ~/src/shop --fail-on near-duplicate

For CI: exits with code 1 if there are near-duplicates or copies, otherwise with 0.

Kinds of clones: copy (equal except for name, comments and layout), near-duplicate (most of the text is shared) and
similar (according to the model only).
"""


class CloneKind(StrEnum):
    """Kinds of clones, from identical to similar."""

    COPY = "copy"
    NEAR_DUPLICATE = "near-duplicate"
    SIMILAR = "similar"


def clones(
    path: Annotated[Path, typer.Argument(help="Source folder.")] = Path(),
    min_similarity: Annotated[
        float | None,
        typer.Option(
            help="Minimum similarity by the model's measure. [default: the run's threshold, else a cosine of 0.95]"
        ),
    ] = None,
    min_lines: Annotated[int, typer.Option(min=1, help="Minimum length of a function, in lines.")] = 5,
    sarif: Annotated[Path | None, typer.Option(help="Write the clones as SARIF 2.1.0.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the clones as an HTML page.")] = None,
    fail_on: Annotated[
        CloneKind | None,
        typer.Option(
            metavar="|".join(CloneKind),
            help="Exit with code 1 if there are clones of this or a closer kind (similar: any clone).",
        ),
    ] = None,
    model: Model = None,
    index_folder: IndexFolder = None,
    language: Languages = None,
    tests: Tests = False,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Find clones within and across files; near-duplicates and copies are marked."""
    from telly.using.answers import clones_answer
    from telly.using.clones import find_clones

    clone_groups = find_clones(
        path,
        min_similarity=min_similarity,
        min_lines=min_lines,
        model=model,
        index=index_folder,
        options=collect_options_of(language, tests),
        workers=workers,
    )
    if sarif is not None:
        from telly.using.sarif import sarif as log

        _write(sarif, json.dumps(log(clone_groups), indent=1))
    if html is not None:
        from telly.using.page import render_clones

        _write(html, render_clones(clone_groups))
    typer.echo(json.dumps(clones_answer(clone_groups), indent=1) if as_json else _text(clone_groups, path))
    if fail_on is not None and (failing := clone_groups.groups_with(fail_on.value)):
        logger.info(
            "exit code %d: %d groups have clones of kind %s or closer", CLONES_FOUND, len(failing), fail_on.value
        )
        raise typer.Exit(CLONES_FOUND)


def _write(file: Path, text: str) -> None:
    from telly.errors import ConfigError

    try:
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror or error}; give another file") from None
    logger.info("wrote %s", file)


def _text(clone_groups: Clones, root: Path) -> str:
    cloned = sum(len(group.locations) for group in clone_groups.groups)
    lines = []
    for index, group in enumerate(clone_groups.groups, start=1):
        low, high = group.similarity
        lines.append(f"{index}. {group.kind}: {len(group.locations)} functions, similarity {low:.3f} to {high:.3f}")
        lines += [f"   {file_and_line(location, root)}  {location.function.name}" for location in group.locations]
    return "\n".join(
        [
            *lines,
            f"{len(clone_groups.groups)} groups of {cloned:,} among {clone_groups.functions:,} functions of at least "
            f"{clone_groups.min_lines} lines; similarity at least {clone_groups.min_similarity:.3f}",
        ]
    )
