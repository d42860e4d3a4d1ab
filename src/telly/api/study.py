"""`telly.study`: a grid of models, tasks, variants and seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from telly.errors import ConfigError
from telly.runs.record import RunRecord
from telly.studies import launch
from telly.studies.analyses import run_analyses
from telly.studies.config import Cell, CellResources, StudyConfig, cells_of, groups_of, load_study
from telly.studies.results import Outcome, State
from telly.studies.run import Pool, run_cells, side_by_side
from telly.studies.table import StudyTable, table_of
from telly.urls import is_url


@dataclass(frozen=True)
class StudyResult:
    """Results of a study.

    Attributes:
        output: folder or URL of the results.
        cells: the runs of the grid.
        outcomes: outcomes of the cells, in the same order.
        tables: the table of each model and task with finished cells, and the records of these.
        analyses: folders with the results of probes and comparisons.
    """

    output: str
    cells: tuple[Cell, ...]
    outcomes: tuple[Outcome, ...]
    tables: tuple[tuple[StudyTable, tuple[RunRecord, ...]], ...]
    analyses: tuple[Path, ...]

    @property
    def errors(self) -> dict[str, str]:
        """Errors of the cells that failed, by the cell's name."""
        pairs = zip(self.cells, self.outcomes, strict=True)
        return {cell.name: outcome.error for cell, outcome in pairs if outcome.error is not None}


@dataclass(frozen=True)
class StudyPlan:
    """The cells of a study, before they are run; made by `plan_study`.

    Attributes:
        settings: settings of the study.
        cells: the runs of the grid.
        output: folder or URL for the results.
        jobs: cells at a time on this machine.
        ray: address of a Ray cluster; None runs them here.
    """

    settings: StudyConfig
    cells: tuple[Cell, ...]
    output: str
    jobs: int
    ray: str | None

    def run(self, show: Callable[[StudyTable], None] | None = None) -> StudyResult:
        """Run the cells that are not done.

        Args:
            show: called with the table of a model and task when the last of its cells has ended, while others run.

        Raises:
            ConfigError: another process runs the study in this folder.
            TrainingError: the disk is full; finished cells are kept.
        """
        processes = self.settings.cell.processes
        start = launch.in_own_process if processes == 1 else partial(launch.in_processes, processes)
        outcomes = run_cells(self.cells, self.settings, self.output, start, self._pool(), show)
        by_folder = {cell.folder: outcome for cell, outcome in zip(self.cells, outcomes, strict=True)}
        tables = []
        for group in groups_of(list(self.cells)):
            table = table_of(group, by_folder)
            if table is not None:
                outcomes_done = [outcome for cell in group if (outcome := by_folder[cell.folder]).state is State.DONE]
                records = tuple(outcome.record for outcome in outcomes_done if outcome.record is not None)
                tables.append((table, records))
        analyses = []
        if not is_url(self.output):
            analyses = run_analyses(self.settings, self.cells, outcomes, Path(self.output))
        return StudyResult(self.output, self.cells, tuple(outcomes), tuple(tables), tuple(analyses))

    def _pool(self) -> Pool | None:
        """A pool that runs the cells; None runs one after the other."""
        if self.ray is not None:
            from telly.studies.on_ray import RayPool

            return RayPool(self.ray, self.settings, self.output)
        if self.jobs > 1:
            threads = max(1, torch.get_num_threads() // self.jobs)
            return partial(side_by_side, jobs=self.jobs, threads=threads)
        return None


def study(
    name: str | Path,
    output: str | Path | None = None,
    *,
    jobs: int = 1,
    processes: int | None = None,
    ray: str | None = None,
    cpus: float | None = None,
    gpus: float | None = None,
    retries: int | None = None,
) -> StudyResult:
    """Run a grid of models, tasks, variants and seeds; cells share cached activations.

    Calling it again keeps finished cells, resumes interrupted ones and tries failed ones again.

    Example:
        >>> import telly
        >>> result = telly.study("quick")
        >>> [outcome.record.test for outcome in result.outcomes]

    Args:
        name: TOML file, or a built-in study (`quick`, `paper`).
        output: folder for the results; with `ray` also a URL. [default: studies/NAME]
        jobs: cells at a time on this machine.
        processes: processes that train one cell together. [default: 1]
        ray: address of a Ray cluster: `HOST:PORT`, `auto` or `local`.
        cpus: processors per cell, with `ray`. [default: 1]
        gpus: GPUs per cell, with `ray`. [default: 0]
        retries: restarts of a cell whose machine fails, with `ray`. [default: 3]

    Raises:
        ConfigError: the study cannot be read, or options contradict each other.
        TrainingError: the disk is full; finished cells are kept.
    """
    return plan_study(
        name, output, jobs=jobs, processes=processes, ray=ray, cpus=cpus, gpus=gpus, retries=retries
    ).run()


def plan_study(
    name: str | Path,
    output: str | Path | None = None,
    *,
    jobs: int = 1,
    processes: int | None = None,
    ray: str | None = None,
    cpus: float | None = None,
    gpus: float | None = None,
    retries: int | None = None,
) -> StudyPlan:
    """The cells of a study, checked; arguments and errors are those of `study`."""
    settings = load_study(str(name))
    options = {"cpus": cpus, "gpus": gpus, "retries": retries, "processes": processes}
    overrides = {option: value for option, value in options.items() if value is not None}
    settings = settings.model_copy(
        update={"cell": CellResources.parse(settings.cell.model_dump() | overrides, "options")}
    )
    target = str(output or f"studies/{Path(name).stem}")
    cells = cells_of(settings, _folder(target, ray, overrides.keys() - {"processes"}))
    launch.check_processes(cells, settings.cell.processes)
    _check_jobs(jobs, ray, settings.cell.processes)
    return StudyPlan(settings, tuple(cells), target, jobs, ray)


def _folder(target: str, ray: str | None, ray_options: set[str]) -> Path:
    """The folder that contains the cells' folders: the study's, or a relative one if results go to a URL."""
    if ray is None and ray_options:
        raise ConfigError(f"{', '.join(sorted(ray_options))}: only for Ray; give --ray as well")
    if not is_url(target):
        return Path(target)
    if ray is None:
        raise ConfigError(f"--output {target}: a URL needs --ray; give a folder")
    return Path()


def _check_jobs(jobs: int, ray: str | None, processes: int) -> None:
    if jobs > 1 and ray is not None:
        raise ConfigError("--jobs: Ray decides how many cells run at a time; leave out --jobs or --ray")
    if jobs > 1 and processes > 1:
        raise ConfigError(f"--jobs {jobs}: {processes} processes share a cell already; leave out one of the two")
