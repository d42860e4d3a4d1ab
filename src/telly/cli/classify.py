"""`telly classify`: predict the class of functions."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from telly.cli.using import Json, Model, file_and_line

EPILOG = """Examples:

  telly classify shop --model runs/classify-telly-mini-base-s0

Predicts the class of every function in a folder, with its probability; needs a run of `telly tune classify`.

  telly classify shop/dates.py:parse_date --json

Classifies one function and prints the probabilities of all classes.
"""


def classify(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A folder, FILE or FILE:FUNCTION.")],
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Classify functions with the newest run of `telly tune classify`."""
    from telly.using.answers import classes_answer
    from telly.using.classify import classify as run

    results = run(path, model=model)
    if as_json:
        typer.echo(json.dumps(classes_answer(results), indent=1))
        return
    for result in results:
        probability = result.probabilities[result.label]
        function = result.location.function
        typer.echo(f"{file_and_line(result.location, Path())}  {result.label}  {probability:.3f}  {function.name}")
    counts = Counter(result.label for result in results)
    typer.echo(f"{len(results):,} functions: " + ", ".join(f"{n:,} {label}" for label, n in counts.most_common()))
