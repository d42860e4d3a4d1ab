"""The training part of a task: how its data is encoded, its model and loss, and its evaluation."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from telly.data.judged import JudgedQueries
from telly.data.schema import Schema
from telly.data.sequences import Rows, SequenceTable
from telly.freezing.source import RowSource
from telly.metrics.interval import Floats, Statistic, values_of
from telly.models.embedding import EmbeddingConfig, EmbeddingHead
from telly.models.modes import InputMode, encode_prompted, prompt_length
from telly.models.similarity import Similarity
from telly.tasks.options import TaskOptions
from telly.tasks.spec import Preset, TaskSpec

ENCODE_BATCH = 1000
EVAL_TOKENS = 4096


@dataclass(frozen=True)
class Prompts:
    """How the texts of a column become tokens: the prompt before them, as embedding models expect it, and the mode.

    Attributes:
        by_column: prompt by column; columns that are missing have none.
        are_pooled: whether pooling includes the prompts' tokens.
        mode: mode in which the encoder reads the texts; None takes the tokenizer's own template.
    """

    by_column: Mapping[str, str] = field(default_factory=dict)
    are_pooled: bool = True
    mode: InputMode | None = InputMode.ENCODER_ONLY

    def of(self, column: str) -> str:
        """Prompt of a column; empty if it has none."""
        return self.by_column.get(column, "")

    def length(self, tokenizer: Any, column: str) -> int | None:
        """Number of tokens at the start of a column's texts that pooling leaves out; None if it leaves out none."""
        if self.are_pooled or not any(self.by_column.values()):
            return None
        return prompt_length(tokenizer, self.of(column), self.mode) if self.of(column) else 0

    def encode(self, tokenizer: Any, texts: Sequence[str], max_tokens: int, column: str) -> list[list[int]]:
        """Token ids of texts of a column, each with the prompt before it.

        Raises:
            ConfigError: the limit leaves no room for text.
        """
        return encode_prompted(tokenizer, list(texts), max_tokens, self.of(column), self.mode)


NO_PROMPTS = Prompts()


@dataclass(frozen=True)
class Encoded:
    """One data split as distinct sequences and, by column, the row index of every example.

    Attributes:
        table: the sequences that go through the frozen layers.
        rows: row indices by column, [examples] each.
        labels: class indices, [examples], where the task has labels.
        classes: the labels' names by class index.
        cacheable: whether the split can be read from an activation cache; false for prompts that are decoded token by
            token.
        warnings: what readers of the results should know about how the examples were encoded.
    """

    table: SequenceTable
    rows: dict[str, npt.NDArray[np.int64]]
    labels: npt.NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    cacheable: bool = True
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Length of every example's longest sequence in tokens, [examples]; batches are bucketed by it."""
        longest: npt.NDArray[np.int64] = np.max([self.table.lengths[rows] for rows in self.rows.values()], axis=0)
        return longest

    @property
    def reads(self) -> npt.NDArray[np.int64]:
        """The rows that an epoch reads, each as often as it does, in no particular order."""
        return np.concatenate(list(self.rows.values()))

    @property
    def hard_negatives(self) -> npt.NDArray[np.int64] | None:
        """Hard negatives per example, [examples]; None if no example has any."""
        return None

    @property
    def pairs(self) -> npt.NDArray[np.int64] | None:
        """The two members of every example, [examples, 2], if batches should group examples by member, else None."""
        return None

    def batch_tokens(self, indices: Rows) -> int:
        """Tokens that a batch of these examples reads, padding included."""
        return sum(len(indices) * int(self.table.lengths[rows[indices]].max()) for rows in self.rows.values())

    @property
    def uses_per_epoch(self) -> float:
        """Average number of times that an epoch reads a distinct sequence."""
        return len(self.reads) / max(1, len(self.table))

    def _arrays(self) -> list[npt.NDArray[np.int64]]:
        """All that makes up the examples besides their sequences."""
        return [*self.rows.values(), *([] if self.labels is None else [self.labels])]

    def fingerprint(self) -> str:
        """A digest of sequences, examples and labels; changes with the data and the tokenizer."""
        digest = hashlib.blake2b(self.table.fingerprint().encode(), digest_size=16)
        for array in self._arrays():
            digest.update(np.ascontiguousarray(array).data)
        digest.update("\0".join(self.classes).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Evaluation:
    """Results on a split.

    Attributes:
        metrics: values by name.
        predictions: one JSON-ready object per example, in the split's order; None if the task has none to show.
        per_example: per-example sufficient statistics by metric, [examples, columns] (`Statistic.rows`); metrics that
            cannot be computed from their sums (ROC-AUC) are absent.
        truncated: metrics of the first dimensions of the embeddings alone, by their number.
    """

    metrics: dict[str, float]
    predictions: list[dict[str, Any]] | None = field(default=None, repr=False)
    per_example: dict[str, Floats] = field(default_factory=dict, repr=False)
    truncated: dict[int, dict[str, float]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        statistics: Mapping[str, Statistic],
        predictions: list[dict[str, Any]] | None = None,
        extra_metrics: Mapping[str, float] | None = None,
    ) -> Evaluation:
        """Evaluate statistics, and add `extra_metrics`, which cannot be computed from sums over examples."""
        metrics = {**values_of(statistics), **(extra_metrics or {})}
        return cls(metrics, predictions, {name: statistic.rows for name, statistic in statistics.items()})


class Encoder(Protocol):
    """Encoder of understanding tasks: a `SplitModel`, a plain model, or a session of onnxruntime."""

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""

    @property
    def device(self) -> torch.device:
        """Device of its inputs and outputs."""

    def __call__(self, **inputs: torch.Tensor) -> Any:
        """The model's output, with `last_hidden_state` [batch, tokens, hidden], from tokens or cached states."""


class TaskModel(nn.Module):
    """A task's model: an encoder, the modules that give embeddings, optionally a head and a threshold.

    Its forward returns a dict with `loss`.

    Args:
        encoder: model whose last hidden states are embedded; for generation tasks the whole model.
        head: new parameters, if the task has a head.
        threshold: initial decision threshold, saved as a buffer with the weights; None if the task has none.
        embedding: pooling and the modules after it, trained with the encoder's top. [default: mean pooling]
    """

    encoder: Encoder
    head: nn.Module | None
    threshold: torch.Tensor | None

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Module | None = None,
        threshold: float | None = None,
        embedding: EmbeddingHead | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.register_buffer("threshold", None if threshold is None else torch.tensor(threshold))
        self.embedding = embedding or EmbeddingHead(EmbeddingConfig(), encoder.hidden_size)

    @property
    def device(self) -> torch.device:
        """Device of the trained parameters; released frozen ones have none."""
        trained = next((p for p in self.parameters() if p.requires_grad), None)
        return self.encoder.device if trained is None else trained.device

    @property
    def similarity(self) -> Similarity:
        """Similarity by which embeddings are compared."""
        return self.embedding.config.similarity

    def fix_threshold(self, value: float) -> None:
        """Set the threshold, if there is one."""
        if self.threshold is not None:
            self.threshold.fill_(value)

    def features(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Embeddings before they are scaled to unit length, which heads read, [batch, embedding size].

        Args:
            batch: tokens or cached states, as `RowSource.batch` gives them.
        """
        return self.embedding.features(*self._states(batch))

    def declared_embeddings(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Embeddings as the model's folder declares them, [batch, embedding size]; those of sentence-transformers."""
        embeddings: torch.Tensor = self.embedding(*self._states(batch))
        return embeddings

    def embed(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Embeddings to be compared, [batch, embedding size]: of unit length if they are compared by cosine."""
        embeddings = self.declared_embeddings(batch)
        return F.normalize(embeddings, dim=-1) if self.similarity.normalizes else embeddings

    def _states(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Last hidden states, attention mask, and lengths of the prompts if pooling leaves these out."""
        inputs = {name: value for name, value in batch.items() if name != "prompt_lengths"}
        states: torch.Tensor = self.encoder(**inputs).last_hidden_state
        return states, batch["attention_mask"], batch.get("prompt_lengths")


EncoderT = TypeVar("EncoderT")
ModelT = TypeVar("ModelT", bound=TaskModel)
DataT = TypeVar("DataT", bound=Encoded)
OptionsT = TypeVar("OptionsT", bound=TaskOptions)


class Task(ABC, Generic[EncoderT, ModelT, DataT, OptionsT]):
    """The training part of a task; stateless. Subclasses are kinds of tasks that several tasks may share.

    Args:
        spec: the task's declaration.
    """

    def __init__(self, spec: TaskSpec[OptionsT]) -> None:
        self.spec = spec

    @property
    def name(self) -> str:
        """The task's name."""
        return self.spec.name

    @property
    def schema(self) -> Schema:
        """The task's columns."""
        return self.spec.schema

    @property
    def preset(self) -> Preset:
        """Settings where the user gives none."""
        return self.spec.preset

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that the task can have."""
        return self.spec.metrics

    @property
    def is_generative(self) -> bool:
        """True if the model generates text."""
        return self.spec.is_generative

    @abstractmethod
    def encode(
        self,
        datasets: Mapping[str, Any],
        tokenizer: Any,
        max_tokens: dict[str, int],
        config: Any,
        prompts: Prompts = NO_PROMPTS,
    ) -> dict[str, DataT]:
        """Tokenise data sets by split.

        Args:
            datasets: the data sets.
            tokenizer: tokenizer of the model.
            max_tokens: length limit by column.
            config: configuration of the model.
            prompts: texts before those of a column; generation tasks have none.

        Raises:
            ConfigError: a limit leaves no room for text.
        """

    @abstractmethod
    def build(
        self, encoder: EncoderT, num_classes: int, options: OptionsT, embedding: EmbeddingHead | None = None
    ) -> ModelT:
        """Build the model to train; its forward takes what `collate` returns.

        Args:
            encoder: the encoder.
            num_classes: number of classes in the training data, if there are labels.
            options: the task's own settings.
            embedding: pooling and the modules after it; generation tasks have none. [default: mean pooling]
        """

    @abstractmethod
    def collate(self, source: RowSource, data: DataT, indices: Rows, rng_key: tuple[int, ...] = ()) -> dict[str, Any]:
        """A training batch of some examples.

        Random choices depend on `rng_key` (the run's seed and the epoch) and the example alone, so that several
        processes and resumed runs make the same ones as one uninterrupted process.
        """

    @abstractmethod
    def evaluate(
        self, model: ModelT, source: RowSource, data: DataT, autocast: torch.autocast, *, final: bool
    ) -> Evaluation:
        """Evaluate a model on a split.

        Args:
            model: the model, in eval mode.
            source: source of the split's batches.
            data: the split.
            autocast: context of the precision.
            final: whether this is the final evaluation on test data. Generation tasks then decode with the full beam
                instead of greedily, and pair tasks use the fitted threshold instead of the split's best.
        """

    @abstractmethod
    def baselines(self, datasets: Mapping[str, Any], split: str, train: DataT) -> dict[str, dict[str, float]]:
        """Metrics of methods without a trained model, by name, for comparison with tuned models."""

    def head(self, embedding_size: int, num_classes: int, options: OptionsT) -> nn.Module | None:
        """New head for embeddings of a size; None unless `TaskSpec.has_head`."""
        return None

    def metrics_of(self, train: DataT) -> tuple[str, ...]:
        """Names of the metrics that can be computed on this data."""
        return self.metrics

    def contrasted(self, data: DataT) -> dict[str, npt.NDArray[np.int64]]:
        """Values by name, [examples] each; a batch has negatives only if it holds two different values of each.

        Empty for a task whose loss does not contrast the examples of a batch.
        """
        return {}

    def fit_threshold(self, model: ModelT, source: RowSource, data: DataT, autocast: torch.autocast) -> None:
        """Choose the model's threshold on validation data, if it has one that is not trained."""

    def generate_texts(
        self, model: ModelT, texts: Sequence[str], tokenizer: Any, max_tokens: dict[str, int], autocast: torch.autocast
    ) -> list[str]:
        """Generate a target text for each raw source text; only for generation tasks.

        Args:
            model: the model, in eval mode.
            texts: raw source texts.
            tokenizer: the model's tokenizer.
            max_tokens: maximum length by column.
            autocast: context of the precision.
        """
        raise NotImplementedError(f"{self.name} does not generate texts")

    def classify_texts(
        self,
        model: ModelT,
        texts: Sequence[str],
        tokenizer: Any,
        max_tokens: dict[str, int],
        autocast: torch.autocast,
        prompts: Prompts = NO_PROMPTS,
    ) -> npt.NDArray[np.float32]:
        """Class probabilities of texts, [texts, classes]; only for classification tasks.

        The arguments are those of `generate_texts` and `encode`.
        """
        raise NotImplementedError(f"{self.name} does not classify texts")


AnyTask = Task[Any, Any, Any, Any]


def batches_of(dataset: Any) -> Iterator[dict[str, Any]]:
    """Columns of a data set in batches of `ENCODE_BATCH` rows; of `JudgedQueries` first queries, then documents."""
    for part in (dataset.queries, dataset.documents) if isinstance(dataset, JudgedQueries) else (dataset,):
        for start in range(0, len(part), ENCODE_BATCH):
            yield part[start : start + ENCODE_BATCH]


def to_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """Move a batch to a device."""
    return {name: value.to(device) for name, value in batch.items()}


def length_batches(
    lengths: npt.NDArray[np.int64], max_tokens_per_batch: int = EVAL_TOKENS
) -> Iterator[npt.NDArray[np.int64]]:
    """Positions in `lengths` by falling length, in batches of at most `max_tokens_per_batch` tokens with padding."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, max_tokens_per_batch // int(lengths[order[start]]))
        yield order[start : start + count]
        start += count
