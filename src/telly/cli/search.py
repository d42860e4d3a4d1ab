"""`telly search`: find the functions that a sentence describes."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telly.cli.using import IndexFolder, Json, Model, say, where

if TYPE_CHECKING:
    from telly.using.search import SearchHit

EPILOG = """Examples:

  telly search "how do I parse a date"

in the current folder; without an index it is made first, as `telly index` does.

  telly search "retry a request" ~/src/shop --top 3 --json

prints one JSON object.

  telly search "parse_date tzinfo" ~/src/shop --by bm25

by words alone, which needs no model. --by dense is the model alone; by default both are fused by their ranks.
"""
SNIPPET_LINES = 6


class By(StrEnum):
    """What the order follows."""

    FUSED = "fused"
    DENSE = "dense"
    BM25 = "bm25"


def search(
    query: Annotated[str, typer.Argument(help="What the function does, in words.")],
    path: Annotated[Path, typer.Argument(help="The folder that was indexed.")] = Path(),
    top: Annotated[int, typer.Option(min=1, help="How many functions.")] = 10,
    by: Annotated[By, typer.Option(help="The model's embeddings (dense), words (bm25), or both.")] = By.FUSED,
    update: Annotated[bool, typer.Option("--update", help="Bring the index up to date first.")] = False,
    lines: Annotated[int, typer.Option(min=0, help="Lines of code to show of each.")] = SNIPPET_LINES,
    model: Model = None,
    index_folder: IndexFolder = None,
    as_json: Json = False,
) -> None:
    """Find functions by what they do: file:line, score, signature and first lines."""
    from telly.using.answers import search_answer
    from telly.using.search import open_search

    searcher = open_search(path, model=model, index=index_folder, by=by.value, update=update)
    hits = searcher.search(query, top, by.value)
    if as_json:
        answer = search_answer(query, by.value, searcher.index.meta.model, hits, lines)
        typer.echo(json.dumps(answer, indent=1))
        return
    if not hits:
        say(f"nothing found: no function has a word of {query!r}")
    for hit in hits:
        typer.echo(_text(hit, path, lines))


def _text(hit: SearchHit, root: Path, lines: int) -> str:
    from telly.using.answers import snippet

    function = hit.location.function
    text = [f"{where(hit.location, root)}  {hit.score:.4f}  {function.signature}"]
    if function.description:
        text.append(f"    {function.description}")
    body = snippet(hit.location, lines)
    more = len(function.code.split("\n")) - len(body)
    text += [f"    | {line}" for line in body] + ([f"    | ... {more} more lines"] if body and more > 0 else [])
    return "\n".join([*text, ""])
