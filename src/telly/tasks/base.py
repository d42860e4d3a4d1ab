"""What a task is: how its data is read and encoded, its head and loss, its evaluation and the paper's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from telly.data.schema import Schema
from telly.data.sequences import Rows, SequenceTable
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel


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
    """

    max_tokens: dict[str, int]
    batch_size: int
    learning_rate: float
    epochs: int
    metric: str
    temperature: float | None = None


@dataclass(frozen=True)
class Encoded:
    """One data split as distinct sequences and, by column, the row number of every example."""

    table: SequenceTable
    rows: dict[str, npt.NDArray[np.int64]]

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of every example's longest sequence, [examples]; batches are bucketed by it."""
        longest: npt.NDArray[np.int64] = np.max([self.table.lengths[rows] for rows in self.rows.values()], axis=0)
        return longest

    @property
    def uses_per_epoch(self) -> float:
        """How often an epoch reads the average distinct sequence."""
        return sum(len(rows) for rows in self.rows.values()) / max(1, len(self.table))


class Task(Protocol):
    """One downstream task. Implementations are stateless."""

    name: str
    summary: str
    schema: Schema
    preset: Preset
    metrics: dict[str, bool]
    """Name of every metric, and whether greater is better."""

    def encode(self, dataset: Any, tokenizer: Any, max_tokens: dict[str, int]) -> Encoded:
        """Tokenise a data set with the schema's columns."""

    def build(self, split: SplitModel, temperature: float | None) -> nn.Module:
        """The model that is trained: forward takes what `collate` gives and returns a dict with `loss`."""

    def collate(self, source: RowSource, data: Encoded, numbers: Rows) -> dict[str, Any]:
        """A training batch of some examples."""

    def evaluate(
        self, model: nn.Module, source: RowSource, data: Encoded, autocast: torch.autocast
    ) -> dict[str, float]:
        """All metrics of a split."""

    def baselines(self, dataset: Any) -> dict[str, dict[str, float]]:
        """Metrics of methods without a trained model, by name, so that nobody takes a weak model for a strong one."""
