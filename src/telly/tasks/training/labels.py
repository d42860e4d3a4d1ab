"""Class names and indices, and the head that classifies embeddings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from telly.data.schema import Column
from telly.errors import DataError
from telly.tasks.training.base import Encoded

HEAD_DROPOUT = 0.1


def class_indices(
    datasets: Mapping[str, Any], column: Column
) -> tuple[tuple[str, ...], dict[str, npt.NDArray[np.int64]]]:
    """Class names in order, and the class index of every example by split, [examples] each.

    The classes are those of the split `train`; without it, they are the values that the column allows.

    Raises:
        DataError: the training data has only one class, or another split has a class that it lacks.
    """
    name, train = column.name, datasets.get("train")
    names = set(column.values if train is None else train[name])
    numeric = all(re.fullmatch(r"-?[0-9]+", label) for label in names)
    # Whole numbers in their order, so that class 10 comes after class 9; "01" and "1" are two names.
    classes = tuple(sorted(names, key=lambda label: (int(label) if numeric else 0, label)))
    if train is not None and len(classes) < 2:
        raise DataError(
            f"{name!r} is {classes[0]!r} in all {len(train):,} training rows; expected at least two "
            "classes. With fewer examples than the data has (--limit), take more"
        )
    index = {label: i for i, label in enumerate(classes)}
    indices = {}
    for split, dataset in datasets.items():
        labels = list(dataset[name])
        unknown = sorted(set(labels) - index.keys())
        if unknown:
            raise DataError(
                f"{split}: {name!r} has {unknown[0]!r}, which no training row has (known: {', '.join(classes[:10])}"
                f"{', ...' if len(classes) > 10 else ''}); add training rows of it, leave it out, "
                "or take more of them (--limit draws at random)"
            )
        indices[split] = np.array([index[label] for label in labels], dtype=np.int64)
    return classes, indices


class ClassHead(nn.Module):
    """Classifier of embeddings: inputs -> hidden -> classes, tanh between, dropout before each layer.

    For two functions' embeddings and two classes (inputs = 2 hidden) this is the paper's clone head; at a hidden size
    of 768 it has 1,181,954 parameters.
    """

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, hidden)
        self.out = nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(HEAD_DROPOUT)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Class logits, [batch, classes], of embeddings, [batch, inputs]."""
        hidden = torch.tanh(self.dense(self.dropout(embeddings)))
        logits: torch.Tensor = self.out(self.dropout(hidden))
        return logits


def most_frequent(labels: npt.NDArray[np.int64]) -> int:
    """The most frequent class index; the lowest of several."""
    return int(np.bincount(labels).argmax())


def labels_of(data: Encoded) -> npt.NDArray[np.int64]:
    """Class indices of a split with labels, [examples].

    Raises:
        ValueError: it has none.
    """
    if data.labels is None:
        raise ValueError("expected a split with labels, found one without")
    return data.labels
