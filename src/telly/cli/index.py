"""`telly index`: index the functions of a source tree for search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telly.cli.using import IndexFolder, Json, Languages, Model, Tests, Workers, collect_options_of, shell_command

if TYPE_CHECKING:
    from telly.using.update import Update

EPILOG = """Examples:

  telly index ~/src/shop

Creates or updates the index; an update parses only changed files and encodes only new functions.

  telly index ~/src/shop --model runs/search-telly-mini-k9-s0 --language python --language go

Uses this model and these languages; a change of model encodes everything again.

An interrupted update leaves the index unchanged; the next one reuses what was already encoded.
"""


def index(
    path: Annotated[Path, typer.Argument(help="Source folder.")] = Path(),
    model: Model = None,
    index_folder: IndexFolder = None,
    language: Languages = None,
    tests: Tests = False,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Index the functions of a source tree for `telly search`, in eleven languages; no code is executed."""
    from telly.using.search import build_index

    options = collect_options_of(language, tests)
    update = build_index(path, model=model, index=index_folder, options=options, workers=workers)
    if as_json:
        typer.echo(json.dumps(_as_dict(update), indent=1))
        return
    typer.echo(_summary(update))
    typer.echo(f"next: {shell_command('telly', 'search', 'how do I ...', path)}")


def _as_dict(update: Update) -> dict[str, object]:
    return {
        "index": str(update.folder),
        "changed": update.changed,
        "files": dict(update.files),
        "functions": update.functions,
        "encoded": update.encoded,
        "skipped": dict(update.skipped.most_common()),
        "former_model": update.former_model,
    }


def _summary(update: Update) -> str:
    files = ", ".join(f"{count:,} {kind}" for kind, count in update.files.items() if count)
    lines = [f"{update.functions:,} functions; files: {files}; encoded {update.encoded:,} functions"]
    if update.former_model:
        lines.append(f"all functions were encoded again: the index had been made with {update.former_model}")
    if update.skipped:
        lines.append("left out: " + ", ".join(f"{n:,} {reason}" for reason, n in update.skipped.most_common()))
    lines.append(f"index: {update.folder}{'' if update.changed else ' (already up to date)'}")
    return "\n".join(lines)
