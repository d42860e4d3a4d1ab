"""The model that a command uses: the one given, the newest run of the task, or the embedded one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from telly.models.folder import EMBEDDED
from telly.runs.find import RUNS, newest_run
from telly.runs.inference_config import InferenceConfig
from telly.runs.record import RunRecord
from telly.tasks import get_spec


def newest_usable_run(task: str, runs: Path = RUNS) -> Path | None:
    """Folder of the task's newest finished run with its model; None if there is none.

    Of a task that can embed, such as clone detection, only runs count whose embeddings are compared by cosine.
    """
    spec = get_spec(task)
    can_embed = any(map(spec.embedding_roles, spec.variants().values()))

    def fits(record: RunRecord) -> bool:
        return not can_embed or spec.embedding_roles(spec.options_of(record.config.values)) is not None

    return newest_run(task, runs, fits)


@dataclass(frozen=True)
class Choice:
    """The model that is used, and a line that says why."""

    model: str
    line: str


def choose(task: str, model: str | None = None, runs: Path = RUNS) -> Choice:
    """The given model, else that of the newest run of a task, else the embedded one."""
    if model is not None:
        return Choice(model, f"model: {model}{'' if InferenceConfig.read(model) else ', not tuned'}")
    newest = newest_usable_run(task, runs)
    if newest is not None:
        return Choice(str(newest), f"model: {newest}, the newest run of {task}")
    return Choice(EMBEDDED, f"model: {EMBEDDED}, not tuned: no finished run of {task} in {runs}/")
