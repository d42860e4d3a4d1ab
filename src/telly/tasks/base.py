"""What a task is: how its data is read and encoded, its head and loss, its evaluation and the paper's settings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from telly.data.schema import Schema
from telly.data.sequences import Rows, SequenceTable
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.metrics.interval import Floats, Statistic, values_of

ENCODE_BATCH = 1000
EVAL_TOKENS = 4096


@dataclass(frozen=True)
class Preset:
    """A task's settings in the paper (table of section 4), used where the user sets none.

    Attributes:
        max_tokens: length limit by column, special tokens included.
        batch_size: examples a step.
        learning_rate: of Adam.
        epochs: at most so many, with early stopping.
        metric: validation metric that chooses the best epoch.
        temperature: of the softmax over candidates, where the task has one.
        beams: size of the beam on test data, where the task writes text.
        head: which head, where the task has a choice.
        shared_batches: whether batches are made of examples that share sequences, where examples are pairs.
    """

    max_tokens: dict[str, int]
    batch_size: int
    learning_rate: float
    epochs: int
    metric: str
    temperature: float | None = None
    beams: int | None = None
    head: str | None = None
    shared_batches: bool | None = None


@dataclass(frozen=True)
class Options:
    """A run's settings of its model beyond the freeze plan; None where the task has no such thing."""

    temperature: float | None = None
    beams: int | None = None
    head: str | None = None


@dataclass(frozen=True)
class Encoded:
    """One data split as distinct sequences and, by column, the row number of every example.

    Attributes:
        table: the sequences that go through the frozen layers.
        rows: by column, row numbers, [examples].
        labels: class numbers, [examples], where the task has labels.
        classes: the labels' names by class number.
        stored: whether reading this split from a store makes sense; not where prompts are decoded token by token.
    """

    table: SequenceTable
    rows: dict[str, npt.NDArray[np.int64]]
    labels: npt.NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    stored: bool = True

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of every example's longest sequence, [examples]; batches are bucketed by it."""
        longest: npt.NDArray[np.int64] = np.max([self.table.lengths[rows] for rows in self.rows.values()], axis=0)
        return longest

    @property
    def pairs(self) -> npt.NDArray[np.int64] | None:
        """The members by which examples are kept together in batches, [examples, 2]; None where they are not."""
        return None

    def batch_tokens(self, indices: Rows) -> int:
        """Tokens that a batch of these examples reads, padding included."""
        return sum(len(indices) * int(self.table.lengths[rows[indices]].max()) for rows in self.rows.values())

    @property
    def uses_per_epoch(self) -> float:
        """How often an epoch reads the average distinct sequence."""
        return sum(len(rows) for rows in self.rows.values()) / max(1, len(self.table))

    def fingerprint(self) -> str:
        """A digest of sequences, examples and labels; changes with the data and the tokenizer."""
        digest = hashlib.blake2b(self.table.fingerprint().encode(), digest_size=16)
        for array in (*self.rows.values(), self.labels):
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
        digest.update("\0".join(self.classes).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Evaluation:
    """What came of evaluating a split.

    Attributes:
        metrics: by name.
        predictions: one JSON-ready object an example, in the split's order; None where there is nothing to show.
        per_example: per-example sufficient statistics by metric, [examples, columns] (`Statistic.rows`); metrics that
            cannot be computed from their sums (ROC-AUC) are absent.
    """

    metrics: dict[str, float]
    predictions: list[dict[str, Any]] | None = field(default=None, repr=False)
    per_example: dict[str, Floats] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        statistics: Mapping[str, Statistic],
        predictions: list[dict[str, Any]] | None = None,
        further: Mapping[str, float] | None = None,
    ) -> Evaluation:
        """The metrics of statistics, and `further` ones that are none."""
        metrics = {**values_of(statistics), **(further or {})}
        return cls(metrics, predictions, {name: statistic.rows for name, statistic in statistics.items()})


class Task(Protocol):
    """One downstream task. Implementations are stateless."""

    name: str
    schema: Schema
    preset: Preset
    metrics: tuple[str, ...]
    """Names of its metrics, as in `telly.metrics.table.METRICS`."""
    is_generative: bool
    """Whether its model writes text: then it is loaded with its output layer."""

    def encode(
        self, datasets: Mapping[str, Any], tokenizer: Any, max_tokens: dict[str, int], config: Any
    ) -> dict[str, Encoded]:
        """Tokenise data sets by split, `train` among them; `config` is the model's."""

    def head(self, hidden_size: int, classes: int, options: Options) -> nn.Module | None:
        """The new parameters beside the model's own; None where there are none."""

    def build(self, split: SplitModel, train: Encoded, options: Options) -> nn.Module:
        """The model that is trained: forward takes what `collate` gives and returns a dict with `loss`."""

    def metrics_of(self, train: Encoded) -> tuple[str, ...]:
        """The metrics that this data can give."""

    def collate(self, source: RowSource, data: Encoded, indices: Rows, rng_key: tuple[int, ...] = ()) -> dict[str, Any]:
        """A training batch of some examples.

        Random choices depend on `rng_key` (the run's seed and the epoch) and the example alone, so that several
        processes and resumed runs make the same ones as one uninterrupted process.
        """

    def contrasted(self, data: Encoded) -> dict[str, npt.NDArray[np.int64]]:
        """What a batch must hold two different values of for its loss to have negatives, by name, [examples] each.

        Nothing for a task whose loss does not contrast the examples of a batch.
        """

    def fit_threshold(self, model: nn.Module, source: RowSource, data: Encoded, autocast: torch.autocast) -> None:
        """Choose on validation data what the weights do not say, such as a threshold, and keep it in the model."""

    def evaluate(
        self, model: nn.Module, source: RowSource, data: Encoded, autocast: torch.autocast, *, final: bool
    ) -> Evaluation:
        """All metrics of a split. Where text is written, `final` means with the full beam, else greedily."""

    def baselines(self, datasets: Mapping[str, Any], split: str, train: Encoded) -> dict[str, dict[str, float]]:
        """Metrics of methods without a trained model, by name, so that nobody takes a weak model for a strong one."""


class BaseTask:
    """What most tasks share: no new head, nothing to calibrate, an encoder."""

    is_generative = False
    metrics: tuple[str, ...] = ()

    def metrics_of(self, train: Encoded) -> tuple[str, ...]:
        """All metrics of the task."""
        return self.metrics

    def head(self, hidden_size: int, classes: int, options: Options) -> nn.Module | None:
        """No new parameters."""
        return None

    def contrasted(self, data: Encoded) -> dict[str, npt.NDArray[np.int64]]:
        """No contrast."""
        return {}

    def fit_threshold(self, model: nn.Module, source: RowSource, data: Encoded, autocast: torch.autocast) -> None:
        """Nothing to choose."""


def batches_of(dataset: Any) -> Iterator[dict[str, list[str]]]:
    """The columns of a data set in pieces of `ENCODE_BATCH` rows."""
    for start in range(0, len(dataset), ENCODE_BATCH):
        yield dataset[start : start + ENCODE_BATCH]


def to_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch on a device."""
    return {name: value.to(device) for name, value in batch.items()}


def device_of(model: nn.Module) -> torch.device:
    """Where the trained parameters are; released ones are nowhere."""
    return next(p for p in model.parameters() if p.requires_grad).device


def length_batches(
    lengths: npt.NDArray[np.int64], max_tokens_per_batch: int = EVAL_TOKENS
) -> Iterator[npt.NDArray[np.int64]]:
    """Positions by falling length, in batches of at most `max_tokens_per_batch` tokens, padding included."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, max_tokens_per_batch // int(lengths[order[start]]))
        yield order[start : start + count]
        start += count
