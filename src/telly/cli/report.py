"""`telly report`: one page of all results in some folders."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

EPILOG = """Examples:

  telly report runs

searches the folder for finished runs and writes report/report.html, with its tables and figures beside it.

  telly report runs probing comparison --with-paper --output results

with probes, similarity of models, and the paper's numbers beside one's own.

  telly report runs --margin 0.02

calls a score similar if at most 2 % of base's may be lost.

  telly report s3://bucket/mine

of a study whose results went to a URL; what the report reads of them is copied to report/fetched.

Every line is the mean over the seeds of a setting. With several seeds, intervals and tests cover test examples and
training, and compare methods; with one seed they cover test examples alone, and compare two trained models. Tests are
corrected for all differences of the page. "Similar or better" means that a corrected test shows a loss below the
margin.
"""


def report(
    runs: Annotated[
        list[str], typer.Argument(help="Folders or URLs with runs, probes or comparisons; searched to the bottom.")
    ],
    output: Annotated[Path, typer.Option(help="The report's folder.")] = Path("report"),
    with_paper: Annotated[bool, typer.Option("--with-paper", help="Put the paper's numbers beside yours.")] = False,
    margin: Annotated[float, typer.Option(help="Share of base's score that may be lost and still be similar.")] = 0.01,
    resamples: Annotated[
        int, typer.Option(min=100, help="Least of the bootstrap behind intervals and p; many comparisons take more.")
    ] = 5000,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
) -> None:
    """Write a page of all results: tables, figures, tests, provenance."""
    from telly.api.report import report as build

    command = shlex.join(["telly", *sys.argv[1:]])
    made = build(runs, output, with_paper=with_paper, margin=margin, resamples=resamples, title=title, command=command)
    for section, lead in made.leads.items():
        typer.echo(f"{section}: {lead}")
    if made.left_out:
        typer.echo(f"{made.left_out} runs are in no table; the page's last table says why")
    typer.echo(f"report: {made.page}\ntables: {output / 'tables'}\nfigures: {output / 'figures'}")
