"""`telly complete`: complete a line of code."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from telly.cli.using import Json, Model

EPILOG = """Examples:

  telly complete shop/dates.py:42

Predicts line 42 from the lines before it; the current line 42 is ignored.
"""


def complete(
    location: Annotated[
        str, typer.Argument(metavar="FILE:LINE", help="A source file and the line to predict (2 or later).")
    ],
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Predict a line of a file from the lines before it, with the newest run of `telly tune complete`."""
    from telly.using.answers import completion_answer
    from telly.using.writing import complete as run

    completion = run(location, model=model)
    typer.echo(
        json.dumps(completion_answer(completion), indent=1) if as_json else f"{completion.indent}{completion.text}"
    )
