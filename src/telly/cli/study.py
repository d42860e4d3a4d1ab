"""`telly study`: a grid of runs with one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from telly.study.config import Cell

EPILOG = """Examples:

  telly study quick

tunes the embedded model for code search with everything trained and at three depths of freezing; minutes.

  telly study paper --dry-run

lists the cells of the paper's grid, and what they would take here.

  telly study my.toml --output studies/mine

runs your own grid. In my.toml:

  models = ["microsoft/unixcoder-base"]
  tasks = ["search", "summarize"]
  variants = ["base", 3, 6, 9, "frozen-9", "lora", "9-lora", "bitfit"]
  seeds = [0, 1, 2]
  [settings]
  epochs = 3
  [task.search]
  data = "search/train.jsonl"
  valid = "search/valid.jsonl"
  [top.lora]
  lora_rank = 16

The same command again keeps what is done, goes on with what was interrupted and tries again what failed.
"""


def study(
    name: Annotated[str, typer.Argument(help="TOML file, or a built-in study: quick, paper.")],
    output: Annotated[Path | None, typer.Option(help="The study's folder. [default: studies/NAME]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List cells and what they take; run nothing.")] = False,
) -> None:
    """Run a grid of models, tasks, variants and seeds; cells share what the frozen layers gave."""
    from functools import partial

    from telly.report.table import print_records
    from telly.study.analyses import run_analyses
    from telly.study.config import cells_of, load_study
    from telly.study.run import State, run_cells

    settings = load_study(name)
    folder = output or Path("studies") / Path(name).stem
    cells = cells_of(settings, folder)
    _print_estimates(cells)
    if dry_run:
        return
    outcomes = run_cells(cells, settings, folder, partial(typer.echo, err=True))
    for group in dict.fromkeys(cell.group for cell in cells):
        records = [o.record for c, o in zip(cells, outcomes, strict=True) if c.group == group and o.state is State.DONE]
        if records:
            typer.echo(f"\n{group[1]}, {Path(group[0]).name}")
            print_records([record for record in records if record is not None])
    analyses = run_analyses(settings, cells, outcomes, folder, partial(typer.echo, err=True))
    failed = [(cell, o) for cell, o in zip(cells, outcomes, strict=True) if o.state is State.FAILED]
    for cell, outcome in failed:
        typer.echo(f"failed: {cell.name}: {outcome.error}", err=True)
    typer.echo(f"\nresults: {folder} (a folder for every cell, and study.json)")
    for found in analyses:
        typer.echo(f"         {found}")
    typer.echo(f"a page of all of them: telly report {folder}")
    if failed:
        raise typer.Exit(1)


def _print_estimates(cells: list[Cell]) -> None:
    from telly.study.estimate import estimates

    found = estimates(cells)
    typer.echo(f"{len(cells)} cells", err=True)
    groups = dict.fromkeys(cell.group for cell in cells)
    largest = (max(e.store_bytes for c, e in zip(cells, found, strict=True) if c.group == group) for group in groups)
    stores = sum(2 * size for size in largest)  # a lower K's is dropped once the next one is made from it
    for cell, e in zip(cells, found, strict=True):
        typer.echo(
            f"  {cell.name}: {e.seconds:,.0f} s of training, {e.peak_bytes / 1e9:.1f} GB of memory, "
            f"{e.store_bytes / 1e6:,.0f} MB of store",
            err=True,
        )
    typer.echo(
        f"in all {sum(e.seconds for e in found) / 60:,.0f} min of training (evaluation and start-up are not in it), at "
        f"most {max(e.peak_bytes for e in found) / 1e9:.1f} GB of memory and {stores / 1e6:,.0f} MB of stores at a "
        "time; meant to be right within a factor of two",
        err=True,
    )
