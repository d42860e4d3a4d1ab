"""Declarations of tasks: everything known about one that needs no torch, for help, validation and scoring."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from telly.data.sample import Sample
from telly.data.schema import Schema
from telly.declare import settings_of
from telly.metrics.answers import AnswerLayout
from telly.mining.target import MiningTarget
from telly.tasks.options import TaskOptions

if TYPE_CHECKING:
    from telly.metrics.interval import Statistic
    from telly.models.embedding import Role
    from telly.models.similarity import Similarity
    from telly.tasks.training.base import AnyTask

OptionsT = TypeVar("OptionsT", bound=TaskOptions)


@dataclass(frozen=True)
class Preset:
    """Default settings of a task; those of the paper (table of section 4) where it has them.

    Attributes:
        max_tokens: maximum length by column, special tokens included.
        batch_size: examples per batch.
        learning_rate: peak learning rate of Adam.
        epochs: maximum number of epochs; training stops early.
        metric: validation metric that selects the best epoch.
    """

    max_tokens: dict[str, int]
    batch_size: int
    learning_rate: float
    epochs: int
    metric: str


@dataclass(frozen=True)
class EmbeddingRoles:
    """The two sides of a similarity search with a task's embeddings.

    Attributes:
        query: column of the queries.
        document: column of the texts to find; may be the same.
        example_query: a short query for model cards.
        example_document: a short document for model cards.
    """

    query: str
    document: str
    example_query: str
    example_document: str


@dataclass(frozen=True)
class DataExample:
    """Example of a task's data options in help.

    Attributes:
        options: data options of `telly tune` with example values.
        layout: content of those files or folders.
    """

    options: str
    layout: str


JSON_LINES = DataExample(
    "--data train.jsonl --valid valid.jsonl --test test.jsonl",
    "docs/data.md has the names of columns; --map gives others",
)


class TaskSpec(ABC, Generic[OptionsT]):
    """Everything known about a task, without torch. Subclasses set the attributes and are stateless.

    Attributes:
        schema: name, summary and columns.
        sample: default data set.
        preset: default settings.
        metrics: names of the task's metrics, as in `telly.metrics.table.METRICS`.
        answers: layout of the files that `telly score` reads.
        options: type of the settings that only this kind of task has.
        is_generative: whether its model generates text; it is then loaded with its output layer.
        is_classifier: whether its model assigns texts to the classes of its training data.
        has_threshold: whether pairs are classified by a cosine threshold, which is fitted on validation data and saved
            with the model.
        min_batch_size: minimum number of examples per batch from which it can learn; 2 for in-batch negatives.
        mining: data that `telly data from-repo` makes for it; None if it cannot.
        data_example: example of its data options in help.
        paper_name: its name in the paper's tables.
    """

    schema: Schema
    sample: Sample
    preset: Preset
    metrics: tuple[str, ...]
    answers: AnswerLayout
    options: type[OptionsT]
    is_generative: bool = False
    is_classifier: bool = False
    has_threshold: bool = False
    min_batch_size: int = 1
    mining: MiningTarget | None = None
    data_example: DataExample = JSON_LINES
    paper_name: str | None = None

    @property
    def name(self) -> str:
        """The task's name, as on the command line."""
        return self.schema.task

    @property
    def summary(self) -> str:
        """One line about the task."""
        return self.schema.summary

    @property
    def option_names(self) -> tuple[str, ...]:
        """Names of the task's own settings."""
        return tuple(field.name for field in fields(self.options))

    @abstractmethod
    def score(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
        """Metrics of predictions, in a form that can be resampled; texts are in the form that `answers` declares."""

    @abstractmethod
    def training(self) -> AnyTask:
        """The training part; imports torch."""

    def has_head(self, options: OptionsT) -> bool:
        """Return whether the model gets new parameters besides those it is loaded with."""
        return False

    def shares_texts(self, options: OptionsT) -> bool:
        """Return whether batches group examples that share texts."""
        return False

    def embedding_roles(self, options: OptionsT) -> EmbeddingRoles | None:
        """Query and document columns if the model's embeddings are trained to be compared by cosine, else None."""
        return None

    def role_of(self, column: str) -> Role:
        """Role of a text column, whose prompt its texts get: queries, where the task ranks another column for them."""
        candidates = self.schema.candidates
        return "query" if candidates is not None and column != candidates else "document"

    def fixed_similarity(self, options: OptionsT) -> Similarity | None:
        """Similarity that the task trains whatever the model's folder declares; None takes the folder's."""
        return None

    def options_of(self, settings: Mapping[str, Any]) -> OptionsT:
        """The task's options among checked settings; absent ones and None get their defaults."""
        values = {name: settings.get(name) for name in self.option_names}
        return self.options(**{name: value for name, value in values.items() if value is not None})

    def title(self, options: OptionsT) -> str:
        """The task's name, with the head if it has a choice, such as `clone with --head pair`."""
        head = getattr(options, "head", None)
        return self.name if head is None else f"{self.name} with --head {head}"

    def variants(self) -> dict[str, OptionsT]:
        """Options with each head of the task, by a text such as `clone with --head pair`; one if it has no choice."""
        head = settings_of(self.options).get("head")
        if head is None:
            return {self.name: self.options()}
        return {
            self.title(options): options for options in (self.options_of({"head": choice}) for choice in head.choices)
        }
