"""The model that a command uses: the one given, the newest run of the task, or the embedded one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from telly.models.folder import EMBEDDED
from telly.report.runs import StoredRun, look
from telly.tuning.saving import read_inference_config

RUNS = Path("runs")
"""Folder of the runs whose `--output` was not given."""


def newest_run(task: str, runs: Path = RUNS) -> Path | None:
    """Folder of the finished run of a task that was started last; None if there is none with its model.

    Of runs of clone detection, only those count whose embeddings are compared by cosine.
    """
    found = [run for run in look([runs]).runs if _usable(run, task)] if runs.is_dir() else []
    return max(found, key=lambda run: run.record.started).folder if found else None


def _usable(run: StoredRun, task: str) -> bool:
    if run.record.config.get("task") != task or not (run.folder / "model" / "config.json").is_file():
        return False
    return task != "clone" or run.record.config.get("head") == "cosine"


@dataclass(frozen=True)
class Choice:
    """The model that is used, and a line that says why."""

    model: str
    line: str


def choose(task: str, model: str | None = None, runs: Path = RUNS) -> Choice:
    """The given model, else that of the newest run of a task, else the embedded one."""
    if model is not None:
        return Choice(model, f"model: {model}{'' if read_inference_config(model) else ', not tuned'}")
    newest = newest_run(task, runs)
    if newest is not None:
        return Choice(str(newest), f"model: {newest}, the newest run of {task}")
    return Choice(EMBEDDED, f"model: {EMBEDDED}, not tuned: no finished run of {task} in {runs}/")
