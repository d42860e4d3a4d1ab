"""Input check and mean that all metrics over pairs of texts share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from telly.errors import DataError


def check_pairs(predictions: Sequence[str], references: Sequence[str]) -> None:
    """Refuse input that cannot be scored: no pairs, unequal numbers, or a reference without text.

    Raises:
        ValueError: no predictions, or another number of them than references.
        DataError: a reference is empty; a score against nothing means nothing.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions):,} predictions for {len(references):,} references")
    if not references:
        raise ValueError("nothing to score: expected at least one prediction and its reference")
    for i, reference in enumerate(references):
        if not reference.strip():
            raise DataError(
                f"reference {i + 1:,} of {len(references):,} is empty: expected the right text; leave such examples "
                "out, or use a split with answers (CodeXGLUE's published line-completion test has none)"
            )


def scores_of_pairs(
    score: Callable[[str, str], float], predictions: Sequence[str], references: Sequence[str]
) -> NDArray[np.float64]:
    """Scores of all pairs, [examples]."""
    check_pairs(predictions, references)
    return np.array([score(p, r) for p, r in zip(predictions, references, strict=True)], np.float64)


def mean_over_pairs(score: Callable[[str, str], float], predictions: Sequence[str], references: Sequence[str]) -> float:
    """Mean of a score over all pairs."""
    return float(scores_of_pairs(score, predictions, references).mean())
