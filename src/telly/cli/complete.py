"""`telly complete`: write a line of a file."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from telly.cli.using import Json, Model

EPILOG = """Examples:

  telly complete shop/dates.py:42

writes line 42 from the lines before it; what stands there is not looked at.
"""


def complete(
    location: Annotated[str, typer.Argument(metavar="FILE:LINE", help="A source file and the line to write, from 2.")],
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Write a line of a file from what stands before it, by the newest run of `telly tune complete`."""
    from telly.using.answers import completion_answer
    from telly.using.writing import complete as write

    found = write(location, model=model)
    typer.echo(json.dumps(completion_answer(found), indent=1) if as_json else f"{found.indent}{found.text}")
