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
"""Approximate minimum number of labels in a sample for clone retrieval, which looks for others of the same label."""


@dataclass(frozen=True)
class Drawn:
    """The samples that pilots read.

    Attributes:
        train: `datasets.Dataset` to tune on.
        valid: `datasets.Dataset` to score on.
        of_train: number of examples that the whole run would tune on.
    """

    train: Any
    valid: Any
    of_train: int


def held_out(data: str | None, valid: str | None) -> bool:
    """Whether validation examples must be taken from the training file, because it is the only one."""
    return data is not None and data == valid and Path(data).is_file()


def draw(train: Any, valid: Any, schema: Schema, seed: int, *, hold_out: bool = False) -> Drawn:
    """Draw the pilots' samples; they depend on data and seed alone.

    Args:
        train: all training examples.
        valid: all validation examples; not read if some are held out.
        schema: schema of the task.
        seed: seed of the draw.
        hold_out: take the validation examples from `train`, apart from those that are tuned on.

    Raises:
        DataError: there are too few.
    """
    least = MIN_TRAIN + (MIN_VALID if hold_out else 0)
    if len(train) < least:
        raise DataError(
            f"{len(train)} training examples: a pilot needs at least {least}. With so few a whole run is quick: give "
            "K yourself, or let `telly study` try several"
        )
    if not hold_out and len(valid) < MIN_VALID:
        raise DataError(f"{len(valid)} validation examples: a pilot needs at least {MIN_VALID} to be scored on")
    rng = np.random.default_rng([seed, len(train)])
    count = min(len(train), max(USUAL_TRAIN, min(MAX_TRAIN, round(SHARE * len(train)))))
    scored = max(USUAL_VALID, min(MAX_VALID, count))
    if hold_out:
        scored = min(scored, max(MIN_VALID, len(train) // 5))
        count = min(count, len(train) - scored)
        order = _order(train, schema, count + scored, rng)
        tuned, kept = train.select(order[:count]), train.select(order[count : count + scored])
    else:
        tuned = train.select(_order(train, schema, count, rng)[:count])
        kept = valid.select(_order(valid, schema, scored, rng)[:scored])
    return Drawn(tuned, _known(kept, tuned, schema), len(train))


def _order(dataset: Any, schema: Schema, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Random order of the examples, in which the first `count` have the labels that the task needs."""
    order = rng.permutation(len(dataset))
    column = _label(schema)
    if column is None:
        return order
    labels = np.asarray(list(dataset[column]))[order]
    _, first, label_index = np.unique(labels, return_index=True, return_inverse=True)
    if schema.open_labels:
        wanted = max(2, count // LABELS)  # of a label, so that it has others
        chosen, taken = [], 0
        for label in rng.permutation(len(first)):
            found = np.flatnonzero(label_index == label)[:wanted]
            if len(found) > 1 and taken < count:
                chosen.append(found)
                taken += len(found)
        places = np.concatenate(chosen) if chosen else np.arange(0)
    else:  # one example of every class
        places = np.sort(first)
    return np.concatenate([order[places], np.delete(order, places)])


def _known(valid: Any, train: Any, schema: Schema) -> Any:
    """Validation examples of classes among the training examples; for clone retrieval, whose labels are new, all."""
    column = _label(schema)
    if column is None or schema.open_labels:
        return valid
    known = set(train[column])
    return valid.select([i for i, label in enumerate(valid[column]) if label in known])


def _label(schema: Schema) -> str | None:
    return next((column.name for column in schema.columns if column.kind == "label"), None)
