"""Samples for pilots: a few percent of the training data, and enough validation data to compare them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from telly.data.schema import Schema
from telly.errors import DataError

SHARE = 0.05
"""Share of the training examples that pilots read."""
MIN_TRAIN, USUAL_TRAIN, MAX_TRAIN = 64, 96, 2000
"""Fewest examples accepted; sample size for small data; maximum sample size."""
MIN_VALID, USUAL_VALID, MAX_VALID = 20, 100, 500
LABELS = 12
"""Approximate minimum number of labels in a sample for clone retrieval, which retrieves others of the same label."""


@dataclass(frozen=True)
class PilotSamples:
    """The samples that pilots are trained and scored on.

    Attributes:
        train: `datasets.Dataset` to tune on.
        valid: `datasets.Dataset` to score on.
        total_train: number of examples that the whole run trains on.
    """

    train: Any
    valid: Any
    total_train: int


def must_hold_out(data: str | None, valid: str | None) -> bool:
    """Check if validation examples must be taken from the training file, because it is the only one."""
    return data is not None and data == valid and Path(data).is_file()


def draw_samples(train: Any, valid: Any, schema: Schema, seed: int, *, hold_out: bool = False) -> PilotSamples:
    """Draw the pilots' samples at random; they depend on data and seed alone.

    Args:
        train: all training examples.
        valid: all validation examples; ignored with `hold_out`.
        schema: schema of the task.
        seed: seed of the draw.
        hold_out: take the validation examples from `train`, disjoint from those that are trained on.

    Raises:
        DataError: there are too few examples.
    """
    min_examples = MIN_TRAIN + (MIN_VALID if hold_out else 0)
    if len(train) < min_examples:
        raise DataError(
            f"{len(train)} training examples: a pilot needs at least {min_examples}. With so few a whole run is quick: "
            "give K yourself, or let `telly study` try several"
        )
    if not hold_out and len(valid) < MIN_VALID:
        raise DataError(f"{len(valid)} validation examples: a pilot needs at least {MIN_VALID} to be scored on")
    rng = np.random.default_rng([seed, len(train)])
    train_size = min(len(train), max(USUAL_TRAIN, min(MAX_TRAIN, round(SHARE * len(train)))))
    valid_size = max(USUAL_VALID, min(MAX_VALID, train_size))
    if hold_out:
        valid_size = min(valid_size, max(MIN_VALID, len(train) // 5))
        train_size = min(train_size, len(train) - valid_size)
        order = _order(train, schema, train_size + valid_size, rng)
        train_sample = train.select(order[:train_size])
        valid_sample = train.select(order[train_size : train_size + valid_size])
    else:
        train_sample = train.select(_order(train, schema, train_size, rng)[:train_size])
        valid_sample = valid.select(_order(valid, schema, valid_size, rng)[:valid_size])
    return PilotSamples(train_sample, _of_known_classes(valid_sample, train_sample, schema), len(train))


def _order(dataset: Any, schema: Schema, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """A random order of the examples whose first `count` contain the labels that the task needs, [examples]."""
    order = rng.permutation(len(dataset))
    column = _label_column(schema)
    if column is None:
        return order
    labels = np.asarray(list(dataset[column]))[order]
    _, first, label_index = np.unique(labels, return_index=True, return_inverse=True)
    if schema.open_labels:
        # Whole labels in random order: an example without another of its label could not be retrieved.
        per_label = max(2, count // LABELS)
        chosen, total = [], 0
        for label in rng.permutation(len(first)):
            members = np.flatnonzero(label_index == label)[:per_label]
            if len(members) > 1 and total < count:
                chosen.append(members)
                total += len(members)
        leading = np.concatenate(chosen) if chosen else np.arange(0)
    else:  # one example of every class
        leading = np.sort(first)
    return np.concatenate([order[leading], np.delete(order, leading)])


def _of_known_classes(valid: Any, train: Any, schema: Schema) -> Any:
    """Drop validation examples whose class has no training example; clone retrieval, with new labels, keeps all."""
    column = _label_column(schema)
    if column is None or schema.open_labels:
        return valid
    classes = set(train[column])
    return valid.select([i for i, label in enumerate(valid[column]) if label in classes])


def _label_column(schema: Schema) -> str | None:
    return next((column.name for column in schema.columns if column.kind == "label"), None)
