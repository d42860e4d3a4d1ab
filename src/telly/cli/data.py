"""`telly data`: look at data before training on it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telly.data.schema import SCHEMAS

if TYPE_CHECKING:
    from telly.data.validate import Report

app = typer.Typer(help="Check data sets.", no_args_is_help=True)


@app.callback()
def _data() -> None:
    """Check data sets."""


EPILOG = """Examples:

  telly data validate train.jsonl --task search --test test.jsonl --map query=summary

  telly data validate DIR/train.txt --task clone --test DIR/test.txt
"""


FILE_HELP = (
    "A file (JSONL, JSON, CSV, TSV, Parquet, or a list of pairs .txt beside data.jsonl) or a folder of such files."
)


@app.command(epilog=EPILOG)
def validate(
    file: Annotated[Path, typer.Argument(help=FILE_HELP)],
    task: Annotated[str, typer.Option(help=f"The task the data is for: {', '.join(SCHEMAS)}.")] = "search",
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="NAME=COLUMN", help="Read NAME from the data's COLUMN; may be repeated."),
    ] = None,
    train: Annotated[Path | None, typer.Option(help="Training data that FILE must not overlap with.")] = None,
    valid: Annotated[Path | None, typer.Option(help="Validation data, checked as well.")] = None,
    test: Annotated[Path | None, typer.Option(help="Test data, checked as well.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Report every problem of a data set with file and line; exit with 2 if there is one.

    FILE is taken for the training data unless --train is given; the other files are compared with the training data.
    """
    from telly.data.schema import parse_mapping, schema_for
    from telly.data.validate import check

    schema = schema_for(task)
    given = {"train": train, "valid": valid, "test": test}
    files = {split: path for split, path in given.items() if path is not None}
    report = check({"train" if train is None else "file": file, **files}, schema, parse_mapping(mapping or [], schema))
    if as_json:
        problems = [asdict(problem) for problem in report.problems]
        typer.echo(json.dumps({"rows": report.rows, "counts": report.counts(), "problems": problems}, indent=1))
    else:
        for problem in report.problems:
            typer.echo(str(problem))
        typer.echo(_summary(report))
    if report.problems:
        raise typer.Exit(2)


def _summary(report: Report) -> str:
    """One line: how much was looked at and what was found."""
    rows, files, found = sum(report.rows.values()), len(report.rows), len(report.problems)
    looked = f"{rows:,} row{'s' * (rows != 1)} in {files} file{'s' * (files != 1)}"
    if not found:
        return f"{looked}: no problems"
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.counts().items())
    return f"{looked}: {found:,} problem{'s' * (found != 1)} ({kinds})"
