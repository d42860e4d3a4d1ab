"""`telly generate`: generate code from a description."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from telly.cli.using import Json, Model

EPILOG = """Examples:

  telly generate "return the sum of two numbers"

Uses the newest run of `telly tune generate`.
"""


def generate(
    description: Annotated[str, typer.Argument(help="What the code should do.")],
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Generate code from a description."""
    from telly.using.answers import generation_answer
    from telly.using.writing import generate as run

    code = run(description, model=model)
    typer.echo(json.dumps(generation_answer(description, code), indent=1) if as_json else code)
