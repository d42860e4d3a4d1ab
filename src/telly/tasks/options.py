"""Settings that some tasks have, by kind of task. A task with settings of its own subclasses `TaskOptions`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from telly.config import Config
from telly.declare import EVALUATION, SPEED, WEIGHTS, Setting

PAIR, COSINE = "pair", "cosine"
Temperature = Annotated[
    PositiveFloat, Setting("Temperature of the softmax over candidates.", WEIGHTS, EVALUATION, label="temperature")
]
Head = Annotated[
    Literal["pair", "cosine"],
    Setting(
        "How pairs are decided: by a classifier of both texts (the paper's) or by their cosine.",
        WEIGHTS,
        EVALUATION,
        default="pair; telly-mini: cosine",
        label="head",
    ),
]
SharedBatches = Annotated[
    bool,
    Setting(
        "Make batches of pairs that share functions.",
        WEIGHTS,
        SPEED,
        off="--random-batches",
        default="on with the cosine head",
    ),
]
Beams = Annotated[
    PositiveInt,
    Setting("Beam size on test data; validation is greedy.", EVALUATION, metavar="N", label="beam size on test data"),
]


class TaskOptions(Config):
    """Settings of one task's model, none of them here. Defaults are the task's preset; none is None once parsed."""


class ContrastiveOptions(TaskOptions):
    """Settings of tasks that are trained with in-batch negatives."""

    temperature: Temperature = 0.05


class PairOptions(TaskOptions):
    """Settings of tasks that decide about pairs of texts."""

    head: Head = "pair"
    shared_batches: SharedBatches = False

    @model_validator(mode="before")
    @classmethod
    def _share_with_cosine(cls, given: Any) -> Any:
        """Share unless told otherwise where it was measured to cost nothing: the cosine learns as much from batches of
        pairs that share texts as from random ones, the classifier less (docs/tasks/clone.md).
        """
        if isinstance(given, dict) and given.get("shared_batches") is None:
            return given | {"shared_batches": given.get("head", PAIR) == COSINE}
        return given


class GenerationOptions(TaskOptions):
    """Settings of tasks whose model generates text."""

    beams: Beams = 1
