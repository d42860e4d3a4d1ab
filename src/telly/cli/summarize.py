"""`telly summarize`: describe functions in one sentence each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from telly.cli.using import Json, Model, file_and_line

EPILOG = """Examples:

  telly summarize shop/dates.py:parse_date

Describes one function, named as FUNCTION, Class.method or a line number within it.

  telly summarize shop/dates.py --json

Describes all functions of the file, as one JSON object.
"""


def summarize(
    file: Annotated[str, typer.Argument(metavar="FILE[:FUNCTION]", help="A source file, or one function in it.")],
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Describe the functions of a file with the newest run of `telly tune summarize`."""
    from telly.using.answers import summaries_answer
    from telly.using.writing import summarize as run

    summaries = run(file, model=model)
    if as_json:
        typer.echo(json.dumps(summaries_answer(summaries), indent=1))
        return
    for summary in summaries:
        function = summary.location.function
        typer.echo(f"{file_and_line(summary.location, Path())}  {function.name}\n    {summary.text}")
