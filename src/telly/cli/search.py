"""`telly search`: find functions by description."""

from __future__ import annotations

import json
import logging
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telly.cli.using import IndexFolder, Json, Model, file_and_line

if TYPE_CHECKING:
    from telly.using.search import SearchHit

EPILOG = """Examples:

  telly search "how do I parse a date"

Searches the current folder; if there is no index, it is created first, as by `telly index`.

  telly search "retry a request" ~/src/shop --top 3 --json

Prints the best three as one JSON object.

  telly search "parse_date tzinfo" ~/src/shop --by bm25

Ranks by words only, which needs no model; --by dense ranks by the model only. By default the two rankings are fused.
"""
SNIPPET_LINES = 6
logger = logging.getLogger(__name__)


class By(StrEnum):
    """Rankings of search hits."""

    FUSED = "fused"
    DENSE = "dense"
    BM25 = "bm25"


def search(
    query: Annotated[str, typer.Argument(help="What the function does, in words.")],
    path: Annotated[Path, typer.Argument(help="Source folder to search.")] = Path(),
    top: Annotated[int, typer.Option(min=1, help="Number of functions to show.")] = 10,
    by: Annotated[
        By, typer.Option(metavar="|".join(By), help="Rank by embeddings (dense), by words (bm25), or by both.")
    ] = By.FUSED,
    update: Annotated[bool, typer.Option("--update", help="Update the index first.")] = False,
    lines: Annotated[int, typer.Option(min=0, help="Lines of code to show per function.")] = SNIPPET_LINES,
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
        logger.info("no hits: no function contains a word of %r", query)
    for hit in hits:
        typer.echo(_text(hit, path, lines))


def _text(hit: SearchHit, root: Path, lines: int) -> str:
    from telly.using.answers import snippet

    function = hit.location.function
    text = [f"{file_and_line(hit.location, root)}  {hit.score:.4f}  {function.signature}"]
    if function.description:
        text.append(f"    {function.description}")
    body = snippet(hit.location, lines)
    more = len(function.code.split("\n")) - len(body)
    text += [f"    | {line}" for line in body] + ([f"    | ... {more} more lines"] if body and more > 0 else [])
    return "\n".join([*text, ""])
