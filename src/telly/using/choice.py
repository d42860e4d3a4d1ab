"""Choice of the model that a command uses: the user's, the newest run of the task, or the embedded one."""

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

    For a task that can embed, such as clone detection, only runs whose embeddings are compared by cosine count.
    """
    spec = get_spec(task)
    can_embed = any(map(spec.embedding_roles, spec.variants().values()))

    def is_usable(record: RunRecord) -> bool:
        return not can_embed or spec.embedding_roles(spec.options_of(record.config.values)) is not None

    return newest_run(task, runs, is_usable)


@dataclass(frozen=True)
class Choice:
    """The model that is used, and a message that says why.

    Attributes:
        model: a run's folder, a model folder, a hub id or the embedded model.
        message: one line for the user.
    """

    model: str
    message: str


def choose(task: str, model: str | None = None, runs: Path = RUNS) -> Choice:
    """Choose the user's model, else that of the newest run of a task, else the embedded one."""
    if model is not None:
        return Choice(model, f"model: {model}{'' if InferenceConfig.read(model) else ', not tuned'}")
    newest = newest_usable_run(task, runs)
    if newest is not None:
        return Choice(str(newest), f"model: {newest}, the newest run of {task}")
    return Choice(EMBEDDED, f"model: {EMBEDDED}, not tuned: no finished run of {task} in {runs}/")
