"""Settings that some tasks have, by kind of task. A task with further settings subclasses `TaskOptions`.

Limits are declared in the annotations, where `telly.settings.config.TuneConfig` checks them; this module does not
need pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from telly.declare import EVALUATION, SPEED, WEIGHTS, Setting
from telly.models.pooling_mode import PoolingMode

PositiveDimension = Annotated[int, Gt(0)]
PositiveWeight = Annotated[float, Gt(0)]
PAIR, COSINE = "pair", "cosine"
Pooling = Annotated[
    str,
    Setting(
        "Pooling of hidden states to an embedding; several joined by hyphens are concatenated.",
        WEIGHTS,
        EVALUATION,
        metavar="|".join(PoolingMode),
        default="the model folder's, else mean",
        label="pooling",
    ),
]
QueryPrompt = Annotated[
    str,
    Setting(
        "Text that is put before every query.",
        WEIGHTS,
        EVALUATION,
        SPEED,
        metavar="TEXT",
        default="the model folder's, else none",
        label="prompt of queries",
    ),
]
DocumentPrompt = Annotated[
    str,
    Setting(
        "Text that is put before every document, such as a function.",
        WEIGHTS,
        EVALUATION,
        SPEED,
        metavar="TEXT",
        default="the model folder's, else none",
        label="prompt of documents",
    ),
]
Temperature = Annotated[
    float, Gt(0), Setting("Temperature of the softmax over candidates.", WEIGHTS, EVALUATION, label="temperature")
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
    int,
    Gt(0),
    Setting("Beam size on test data; validation is greedy.", EVALUATION, metavar="N", label="beam size on test data"),
]


Symmetric = Annotated[
    bool,
    Setting(
        "Also find each document's query among the batch's queries; the loss is the mean of both directions.",
        WEIGHTS,
        off="--one-sided",
        default="off",
        label="symmetric loss",
    ),
]
FalseNegativeMargin = Annotated[
    float,
    Ge(0),
    Setting(
        "Leave out negatives that score this much more than the right answer, such as 0.1.",
        WEIGHTS,
        default="none are left out",
        label="margin of false negatives",
    ),
]
Matryoshka = Annotated[
    tuple[PositiveDimension, ...],
    Setting(
        "Train the first N dimensions to be an embedding as well; repeatable.",
        WEIGHTS,
        EVALUATION,  # which scores these dimensions too
        metavar="N",
        label="Matryoshka dimensions",
    ),
]
MatryoshkaWeights = Annotated[
    tuple[PositiveWeight, ...],
    Setting(
        "Weight of the loss of a Matryoshka dimension, that of the whole embedding being 1; repeatable.",
        WEIGHTS,
        option="--matryoshka-weight",
        metavar="X",
        default="1 each",
        label="Matryoshka weights",
    ),
]
ChunkSize = Annotated[
    int,
    Gt(0),
    Setting(
        "Texts per pass through the trained layers; a larger batch passes twice, in less memory and with the same "
        "gradient.",
        WEIGHTS,  # in the rounding, and in which random numbers dropout gets
        SPEED,
        metavar="N",
        default="the batch",
    ),
]


@dataclass(frozen=True)
class TaskOptions:
    """Base class of a task's settings, itself without any. Defaults are the task's preset."""


@dataclass(frozen=True)
class EmbeddingOptions(TaskOptions):
    """Settings of tasks whose model embeds texts; None takes what the model's folder declares."""

    pooling: Pooling | None = None
    document_prompt: DocumentPrompt | None = None


@dataclass(frozen=True)
class ContrastiveOptions(EmbeddingOptions):
    """Settings of tasks that are trained with in-batch negatives."""

    temperature: Temperature = 0.05
    symmetric: Symmetric = False
    false_negative_margin: FalseNegativeMargin | None = None
    matryoshka: Matryoshka = ()
    matryoshka_weights: MatryoshkaWeights = ()
    chunk_size: ChunkSize | None = None

    def __post_init__(self) -> None:
        if len(set(self.matryoshka)) < len(self.matryoshka):
            raise ValueError("matryoshka: a dimension is given twice; expected each once")
        if self.matryoshka_weights and len(self.matryoshka_weights) != len(self.matryoshka):
            raise ValueError(
                f"matryoshka_weights: found {len(self.matryoshka_weights)}; expected one for each of the "
                f"{len(self.matryoshka)} dimensions of matryoshka"
            )

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of the loss of every Matryoshka dimension."""
        return self.matryoshka_weights or (1.0,) * len(self.matryoshka)


@dataclass(frozen=True)
class SearchOptions(ContrastiveOptions):
    """Settings of tasks with queries and documents."""

    query_prompt: QueryPrompt | None = None


@dataclass(frozen=True)
class PairOptions(EmbeddingOptions):
    """Settings of tasks that decide about pairs of texts."""

    head: Head = "pair"
    shared_batches: SharedBatches | None = None
    chunk_size: ChunkSize | None = None

    def __post_init__(self) -> None:
        # The cosine learns as much from batches of pairs that share texts as from random ones, the classifier less, as
        # measured in docs/tasks/clone.md.
        if self.shared_batches is None:
            object.__setattr__(self, "shared_batches", self.head == COSINE)


@dataclass(frozen=True)
class GenerationOptions(TaskOptions):
    """Settings of tasks whose model generates text."""

    beams: Beams = 1


EMBEDDINGS, SCORES = "embeddings", "scores"
TeacherTarget = Literal["embeddings", "scores"]


@dataclass(frozen=True)
class TeacherSettings:
    """Settings of training towards a teacher, another model; for tasks with `ContrastiveOptions`.

    They are no options of the task, because a tuned model is used without its teacher.

    Attributes:
        model: the teacher: a run's folder, model folder, hub id or the embedded model; None takes the scores that the
            data gives.
        target: what of the teacher the student is trained towards.
        weight: weight of the teacher's loss; that of the task's own loss is 1.
        temperature: divides the teacher's scores; None with embeddings.
    """

    model: str | None
    target: TeacherTarget = "embeddings"
    weight: float = 1.0
    temperature: float | None = None
