"""`telly report`: one page with all results found in some folders."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

EPILOG = """Examples:

  telly report runs

Searches the folder for finished runs and writes report/report.html, plus its tables and figures as files.

  telly report runs probing comparison --with-paper --output results

Includes probes, model comparisons, and the paper's numbers next to yours.

  telly report runs --margin 0.02

Calls a score similar if it loses at most 2 % of base's.

  telly report s3://bucket/mine

Reports a study whose results were written to a URL; the files that are needed are copied to report/fetched.

Every line is the mean over the seeds of one setting. With several seeds, intervals and tests cover the variance of test
examples and of training, so they compare methods; with one seed they cover only test examples, so they compare two
trained models. Tests are corrected for all comparisons on the page. "Similar or better" means that a corrected test
shows a loss below the margin.
"""


def report(
    runs: Annotated[
        list[str], typer.Argument(help="Folders or URLs with runs, probes or comparisons; searched recursively.")
    ],
    output: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("report"),
    with_paper: Annotated[bool, typer.Option("--with-paper", help="Show the paper's numbers next to yours.")] = False,
    margin: Annotated[
        float, typer.Option(help="Largest loss that still counts as similar, as a share of base's score.")
    ] = 0.01,
    resamples: Annotated[
        int, typer.Option(min=100, help="Minimum number of bootstrap resamples; many comparisons take more.")
    ] = 5000,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
) -> None:
    """Write a page with all results: tables, figures, tests, provenance."""
    from telly.api.report import report as run

    command = shlex.join(["telly", *sys.argv[1:]])
    report = run(runs, output, with_paper=with_paper, margin=margin, resamples=resamples, title=title, command=command)
    for section, lead in report.leads.items():
        typer.echo(f"{section}: {lead}")
    if report.left_out:
        typer.echo(f"{report.left_out} runs are in no table; the page's last table says why")
    typer.echo(f"report: {report.page}\ntables: {output / 'tables'}\nfigures: {output / 'figures'}")
