"""`telly summarize`: describe functions in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from telly.cli.using import Json, Model, where

EPILOG = """Examples:

  telly summarize shop/dates.py:parse_date

one function; Class.method or a line within the function does as well.

  telly summarize shop/dates.py --json

all functions of the file, as one JSON object.
"""


def summarize(
    file: Annotated[str, typer.Argument(metavar="FILE[:FUNCTION]", help="A source file, or a function of it.")],
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Describe the functions of a file, by the newest run of `telly tune summarize`."""
    from telly.using.answers import summaries_answer
    from telly.using.writing import summarize as write

    found = write(file, model=model)
    if as_json:
        typer.echo(json.dumps(summaries_answer(found), indent=1))
        return
    for one in found:
        typer.echo(f"{where(one.location, Path())}  {one.location.function.name}\n    {one.text}")
