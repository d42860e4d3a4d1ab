"""`telly classify`: the class of every function."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from telly.cli.using import Json, Model, where

EPILOG = """Examples:

  telly classify shop --model runs/classify-telly-mini-base-s0

the class of every function of a folder, with its probability; needs a run of `telly tune classify`.

  telly classify shop/dates.py:parse_date --json

one function, with the probabilities of all classes.
"""


def classify(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A folder, FILE or FILE:FUNCTION.")],
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Tell the class of functions, by the newest run of `telly tune classify`."""
    from telly.using.answers import classes_answer
    from telly.using.classify import classify as find

    found = find(path, model=model)
    if as_json:
        typer.echo(json.dumps(classes_answer(found), indent=1))
        return
    for one in found:
        share = one.probabilities[one.label]
        typer.echo(f"{where(one.location, Path())}  {one.label}  {share:.3f}  {one.location.function.name}")
    counts = Counter(one.label for one in found)
    typer.echo(f"{len(found):,} functions: " + ", ".join(f"{n:,} {label}" for label, n in counts.most_common()))
