"""`telly clones`: groups of functions of a source tree that do the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telly.cli.using import IndexFolder, Json, Languages, Model, Tests, Workers, asked_for, place_dict, say, where

if TYPE_CHECKING:
    from telly.using.clones import Clones, Group

EPILOG = """Examples:

  telly clones ~/src/shop

groups of functions that are clones by the newest run of `telly tune clone --head cosine`, and its threshold.

  telly clones ~/src/shop --min-similarity 0.97 --sarif clones.sarif --html clones.html

also for review tools, and as a page with the code side by side.

copy: equal but for names and white space; near-duplicate: most of the text is shared; similar: by the model alone.
"""


def clones(
    path: Annotated[Path, typer.Argument(help="A folder of sources.")] = Path(),
    min_similarity: Annotated[
        float | None, typer.Option(help="Least cosine. [default: the run's threshold, else 0.95]")
    ] = None,
    min_lines: Annotated[int, typer.Option(min=1, help="Leave out shorter functions.")] = 5,
    sarif: Annotated[Path | None, typer.Option(help="Write SARIF 2.1.0 into this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page into this file.")] = None,
    model: Model = None,
    index_folder: IndexFolder = None,
    language: Languages = None,
    tests: Tests = False,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Find clones across and within files, near-duplicates marked."""
    from telly.using.clones import find_clones

    found = find_clones(
        path,
        min_similarity=min_similarity,
        min_lines=min_lines,
        model=model,
        index=index_folder,
        what=asked_for(language, tests),
        workers=workers,
        say=say,
    )
    if sarif is not None:
        from telly.using.sarif import sarif as log

        _write(sarif, json.dumps(log(found), indent=1))
    if html is not None:
        from telly.using.page import render_clones

        _write(html, render_clones(found))
    typer.echo(json.dumps(_as_dict(found), indent=1) if as_json else _text(found, path))


def _write(file: Path, text: str) -> None:
    from telly.errors import ConfigError

    try:
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror or error}; give another file") from None
    say(f"wrote {file}")


def _as_dict(found: Clones) -> dict[str, Any]:
    return {
        "model": found.model,
        "min_similarity": found.min_similarity,
        "min_lines": found.min_lines,
        "functions": found.functions,
        "groups": [_group_dict(group) for group in found.groups],
    }


def _group_dict(group: Group) -> dict[str, Any]:
    pairs = [{"left": p.left, "right": p.right, "similarity": round(p.similarity, 6), "kind": p.kind}
             for p in group.pairs]  # fmt: skip
    return {
        "kind": group.kind,
        "repeated_lines": group.repeated_lines,
        "functions": [place_dict(place) for place in group.places],
        "pairs": pairs,
    }


def _text(found: Clones, root: Path) -> str:
    cloned = sum(len(group.places) for group in found.groups)
    lines = []
    for number, group in enumerate(found.groups, start=1):
        least, most = group.similarity
        lines.append(f"{number}. {group.kind}: {len(group.places)} functions, similarity {least:.3f} to {most:.3f}")
        lines += [f"   {where(place, root)}  {place.function.name}" for place in group.places]
    return "\n".join(
        [
            *lines,
            f"{len(found.groups)} groups of {cloned:,} among {found.functions:,} functions of at least "
            f"{found.min_lines} lines; similarity at least {found.min_similarity:.3f}",
        ]
    )
