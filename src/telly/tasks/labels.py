"""Class names and numbers, and the heads that decide between classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from telly.errors import DataError

HEAD_DROPOUT = 0.1


def class_numbers(datasets: Mapping[str, Any], column: str) -> tuple[tuple[str, ...], dict[str, npt.NDArray[np.int64]]]:
    """The classes of the training data, in order, and by split the class number of every example.

    Raises:
        DataError: the training data has one class only, or another split has a class that it lacks.
    """
    found = set(datasets["train"][column])
    whole = all(re.fullmatch(r"-?[0-9]+", name) for name in found)
    # Whole numbers in their order, so that class 10 comes after class 9; "01" and "1" are two names.
    classes = tuple(sorted(found, key=lambda name: (int(name) if whole else 0, name)))
    if len(classes) < 2:
        raise DataError(
            f"{column!r} is {classes[0]!r} in all {len(datasets['train']):,} training rows; expected at least two "
            "classes. With fewer examples than the data has (--limit), take more"
        )
    number = {name: i for i, name in enumerate(classes)}
    numbers = {}
    for split, dataset in datasets.items():
        labels = list(dataset[column])
        strange = sorted(set(labels) - number.keys())
        if strange:
            raise DataError(
                f"{split}: {column!r} has {strange[0]!r}, which no training row has (known: {', '.join(classes[:10])}"
                f"{', ...' if len(classes) > 10 else ''}); add training rows of it, leave it out, "
                "or take more of them (--limit draws at random)"
            )
        numbers[split] = np.array([number[label] for label in labels], dtype=np.int64)
    return classes, numbers


class ClassHead(nn.Module):
    """Scores of classes from a vector: inputs -> hidden -> classes, tanh between, dropout before each layer.

    For two functions' vectors and two classes (inputs = 2 hidden) this is the paper's clone head; at a hidden size of
    768 it has 1,181,954 parameters.
    """

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, hidden)
        self.out = nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(HEAD_DROPOUT)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """[batch, inputs] to [batch, classes]."""
        hidden = torch.tanh(self.dense(self.dropout(vectors)))
        scores: torch.Tensor = self.out(self.dropout(hidden))
        return scores


def most_frequent(numbers: npt.NDArray[np.int64]) -> int:
    """The class that occurs most; of equals the first."""
    return int(np.bincount(numbers).argmax())
