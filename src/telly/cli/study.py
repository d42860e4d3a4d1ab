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

Tunes the embedded model for code search, full and at three depths of freezing; takes minutes.

  telly study paper --dry-run

Lists the cells of the paper's grid with their estimated time and memory on this machine.

  telly study my.toml --output studies/mine

Runs your own grid, described in my.toml:

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

Run the same command again to resume: finished cells are kept, interrupted ones continue, failed ones are retried.

  telly study paper --jobs 2

Runs two cells at a time, each with half of the cores, which small models use better.

  telly study my.toml --output /shared/mine --ray 10.0.0.1:6379 --cpus-per-cell 4 --gpus-per-cell 1

Runs the cells on a Ray cluster whose machines all see /shared; the output can also be a URL such as s3://bucket/mine.
--ray local uses this machine only. docs/scaling.md explains when to use which.
"""


def study(
    name: Annotated[str, typer.Argument(help="TOML file, or a built-in study: quick, paper.")],
    output: Annotated[
        str | None, typer.Option(help="Folder of the study; with --ray also a URL. [default: studies/NAME]")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the cells with their estimated costs and exit.")
    ] = False,
    ray: Annotated[str | None, typer.Option(help="Run cells on a Ray cluster.")] = None,
    cpus: Annotated[
        float | None, typer.Option("--cpus-per-cell", help="CPUs per cell, with --ray. [default: 1]")
    ] = None,
    gpus: Annotated[
        float | None, typer.Option("--gpus-per-cell", help="GPUs per cell, with --ray. [default: 0]")
    ] = None,
    retries: Annotated[
        int | None, typer.Option(help="Retries of a cell whose machine fails, with --ray. [default: 3]")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Cells to run at a time on this machine; they share its cores.")] = 1,
    processes: Annotated[
        int | None, typer.Option(help="Processes per cell, for distributed training. [default: 1]")
    ] = None,
) -> None:
    """Run a grid of models, tasks, variants and seeds; its cells share activation caches."""
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
        typer.echo("finished cells are kept; run the same command again to resume", err=True)
        raise
    for table, records in result.tables:
        print_study(table)
        print_records(list(records))
    for cell, error in result.errors.items():
        typer.echo(f"failed: {cell}: {error}", err=True)
    typer.echo(f"\nresults: {plan.output} (a folder per cell, table.md and study.json)")
    for analysis in result.analyses:
        typer.echo(f"         {analysis}")
    typer.echo(f"report of all cells: telly report {plan.output}")
    if result.errors:
        raise typer.Exit(1)


def _print_estimates(cells: Sequence[Cell], jobs: int, *, together: bool) -> None:
    from telly.studies.estimate import estimates

    costs = estimates(cells)
    typer.echo(f"{len(cells)} cells", err=True)
    groups = dict.fromkeys(cell.group for cell in cells)
    sizes = [
        {c.cache_layer: e.cache_bytes for c, e in zip(cells, costs, strict=True) if c.group == group}
        for group in groups
    ]
    # A cache is removed once that of the next K was computed from it; on Ray all K may run at the same time.
    cache_bytes = sum(sum(size.values()) if together else 2 * max(size.values()) for size in sizes)
    for cell, e in zip(cells, costs, strict=True):
        typer.echo(
            f"  {cell.name}: {e.seconds:,.0f} s of training, {e.peak_bytes / 1e9:.1f} GB of memory, "
            f"{e.cache_bytes / 1e6:,.0f} MB of cache",
            err=True,
        )
    typer.echo(
        f"total: {sum(e.seconds for e in costs) / 60:,.0f} min of training (without evaluation and start-up), at "
        f"most {jobs * max(e.peak_bytes for e in costs) / 1e9:.1f} GB of memory and {cache_bytes / 1e6:,.0f} MB of "
        "activation caches at a time; intended to be right within a factor of two",
        err=True,
    )
