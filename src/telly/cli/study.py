"""`telly study`: a grid of runs with one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telly.studies.config import Cell

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
  [method.lora]
  lora_rank = 16

The same command again keeps what is done, goes on with what was interrupted and tries again what failed.

  telly study paper --jobs 2

runs two cells at a time, each with half of the cores: small models use cores better that way.

  telly study my.toml --output /shared/mine --ray 10.0.0.1:6379 --cpus-per-cell 4 --gpus-per-cell 1

runs the cells on the machines of a Ray cluster, which all see /shared; a URL such as s3://bucket/mine does as well.
--ray local uses this machine alone. docs/scaling.md: what to use when.
"""


def study(
    name: Annotated[str, typer.Argument(help="TOML file, or a built-in study: quick, paper.")],
    output: Annotated[str | None, typer.Option(help="Folder; with --ray also a URL. [default: studies/NAME]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List cells and what they take; run nothing.")] = False,
    ray: Annotated[str | None, typer.Option(help="Run cells on a Ray cluster: HOST:PORT, auto, local.")] = None,
    cpus: Annotated[float | None, typer.Option("--cpus-per-cell", help="With --ray. [default: 1]")] = None,
    gpus: Annotated[float | None, typer.Option("--gpus-per-cell", help="With --ray. [default: 0]")] = None,
    retries: Annotated[int | None, typer.Option(help="With --ray: for a cell whose machine dies. [default: 3]")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Cells at a time on this machine, which share its cores.")] = 1,
    processes: Annotated[int | None, typer.Option(help="Train a cell in N processes together. [default: 1]")] = None,
) -> None:
    """Run a grid of models, tasks, variants and seeds; cells share what the frozen layers gave."""
    from functools import partial

    from telly.studies.forks import start_preloading

    if not dry_run and ray is None and processes in (None, 1) and (Path(name).is_file() or not Path(name).suffix):
        start_preloading()

    from telly.api.study import plan_study
    from telly.cli.console import print_records, print_study

    plan = plan_study(name, output, jobs=jobs, processes=processes, ray=ray, cpus=cpus, gpus=gpus, retries=retries)
    _print_estimates(plan.cells, jobs, together=ray is not None)
    if dry_run:
        return
    try:
        result = plan.run(partial(print_study, err=True))
    except KeyboardInterrupt:
        typer.echo("what is done is kept; the same command goes on", err=True)
        raise
    for table, records in result.tables:
        print_study(table)
        print_records(list(records))
    for cell, error in result.errors.items():
        typer.echo(f"failed: {cell}: {error}", err=True)
    typer.echo(f"\nresults: {plan.output} (a folder for every cell, table.md and study.json)")
    for found in result.analyses:
        typer.echo(f"         {found}")
    typer.echo(f"a page of all of them: telly report {plan.output}")
    if result.errors:
        raise typer.Exit(1)


def _print_estimates(cells: Sequence[Cell], jobs: int, *, together: bool) -> None:
    from telly.studies.estimate import estimates

    found = estimates(cells)
    typer.echo(f"{len(cells)} cells", err=True)
    groups = dict.fromkeys(cell.group for cell in cells)
    sizes = [
        {c.cache_layer: e.cache_bytes for c, e in zip(cells, found, strict=True) if c.group == group}
        for group in groups
    ]
    # a lower K's is dropped once the next one is made from it, unless cells of all K run at a time
    stores = sum(sum(size.values()) if together else 2 * max(size.values()) for size in sizes)
    for cell, e in zip(cells, found, strict=True):
        typer.echo(
            f"  {cell.name}: {e.seconds:,.0f} s of training, {e.peak_bytes / 1e9:.1f} GB of memory, "
            f"{e.cache_bytes / 1e6:,.0f} MB of store",
            err=True,
        )
    typer.echo(
        f"in all {sum(e.seconds for e in found) / 60:,.0f} min of training (evaluation and start-up are not in it), at "
        f"most {jobs * max(e.peak_bytes for e in found) / 1e9:.1f} GB of memory and {stores / 1e6:,.0f} MB of stores "
        "at a time; meant to be right within a factor of two",
        err=True,
    )
