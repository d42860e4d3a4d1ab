"""`telly study`: a grid of runs with one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from telly.study.config import Cell, StudyConfig
    from telly.study.run import Pool

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

    from telly.study.forks import begin_to_import

    if not dry_run and ray is None and processes in (None, 1) and (Path(name).is_file() or not Path(name).suffix):
        begin_to_import()

    from telly.cli.console import print_records, print_study
    from telly.study.analyses import run_analyses
    from telly.study.config import Needs, cells_of, groups_of, load_study
    from telly.study.launch import check_processes, in_own_process, in_processes
    from telly.study.results import State
    from telly.study.run import run_cells
    from telly.study.table import table_of
    from telly.urls import is_url

    settings = load_study(name)
    options = {"cpus": cpus, "gpus": gpus, "retries": retries, "processes": processes}
    given = {option: value for option, value in options.items() if value is not None}
    settings = settings.model_copy(update={"cell": Needs.parse(settings.cell.model_dump() | given, "options")})
    place = output or f"studies/{Path(name).stem}"
    folder = _folder(place, ray, given.keys() - {"processes"})
    cells = cells_of(settings, folder)
    check_processes(cells, settings.cell.processes)
    _check_jobs(jobs, ray, settings.cell.processes)
    _print_estimates(cells, jobs, together=ray is not None)
    if dry_run:
        return
    say = partial(typer.echo, err=True)
    launch = in_own_process if settings.cell.processes == 1 else partial(in_processes, settings.cell.processes)
    try:
        outcomes = run_cells(
            cells, settings, place, say, launch, _pool(settings, place, jobs, ray, say), partial(print_study, err=True)
        )
    except KeyboardInterrupt:
        say("what is done is kept; the same command goes on")
        raise
    by_folder = {cell.folder: outcome for cell, outcome in zip(cells, outcomes, strict=True)}
    for group in groups_of(cells):
        table = table_of(group, by_folder)
        if table is not None:
            print_study(table)
            done = [outcome for cell in group if (outcome := by_folder[cell.folder]).state is State.DONE]
            print_records([outcome.record for outcome in done if outcome.record is not None])
    analyses = run_analyses(settings, cells, outcomes, folder, say) if not is_url(place) else []
    failed = [(cell, o) for cell, o in zip(cells, outcomes, strict=True) if o.error is not None]
    for cell, outcome in failed:
        typer.echo(f"failed: {cell.name}: {outcome.error}", err=True)
    typer.echo(f"\nresults: {place} (a folder for every cell, table.md and study.json)")
    for found in analyses:
        typer.echo(f"         {found}")
    typer.echo(f"a page of all of them: telly report {place}")
    if failed:
        raise typer.Exit(1)


def _folder(place: str, ray: str | None, for_ray: set[str]) -> Path:
    """The folder that cells are named by: the study's, or a relative one where results go to a URL."""
    from telly.errors import ConfigError
    from telly.urls import is_url

    if ray is None and for_ray:
        raise ConfigError(f"{', '.join(sorted(for_ray))}: only Ray heeds it; give --ray as well")
    if not is_url(place):
        return Path(place)
    if ray is None:
        raise ConfigError(f"--output {place}: a URL needs --ray; give a folder")
    return Path()


def _pool(settings: StudyConfig, place: str, jobs: int, ray: str | None, say: Callable[[str], None]) -> Pool | None:
    """What runs the cells; None for one after the other."""
    from functools import partial

    from telly.study.run import side_by_side

    if ray is not None:
        from telly.study.on_ray import RayPool

        return RayPool(ray, settings, place, say)
    if jobs > 1:
        import torch

        return partial(side_by_side, jobs=jobs, threads=max(1, torch.get_num_threads() // jobs), say=say)
    return None


def _check_jobs(jobs: int, ray: str | None, processes: int) -> None:
    from telly.errors import ConfigError

    if jobs > 1 and ray is not None:
        raise ConfigError("--jobs: Ray decides how many cells run at a time; leave it out, or leave out --ray")
    if jobs > 1 and processes > 1:
        raise ConfigError(f"--jobs {jobs}: {processes} processes share a cell already; leave out one of the two")


def _print_estimates(cells: list[Cell], jobs: int, *, together: bool) -> None:
    from telly.study.estimate import estimates

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
