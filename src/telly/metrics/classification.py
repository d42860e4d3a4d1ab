"""Metrics of predicted labels; an undefined value, such as the precision of no positives, is 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from telly.metrics.interval import Floats, Statistic, mean_statistic, values_of

Labels = ArrayLike


def binary_metrics(gold: Labels, predicted: Labels) -> dict[str, float | int]:
    """Scores of a two-way decision; label 1 is the positive class.

    Args:
        gold: right labels, 0 or 1, [examples].
        predicted: given labels, 0 or 1, [examples].

    Returns:
        `accuracy`, `precision`, `recall`, `f1` as fractions (0 where undefined: nothing is, or is called,
        positive), and the counts `true_positives`, `false_positives`, `false_negatives`, `true_negatives`.

    Raises:
        ValueError: no labels, unequal numbers of them, or one that is neither 0 nor 1.
    """
    right, given = _checked(gold, predicted, 2)
    counts = {
        "true_positives": int((right & given).sum()),
        "false_positives": int(((1 - right) & given).sum()),
        "false_negatives": int((right & (1 - given)).sum()),
        "true_negatives": int(((1 - right) & (1 - given)).sum()),
    }
    return dict(values_of(binary_statistics(right, given))) | counts


def multiclass_metrics(
    gold: Labels, predicted: Labels, classes: int, positive_scores: ArrayLike | None = None
) -> dict[str, float]:
    """Scores of a choice among classes.

    Args:
        gold: right labels, 0 to classes - 1, [examples].
        predicted: given labels, [examples].
        classes: number of classes.
        positive_scores: scores of class 1, only with two classes, [examples].

    Returns:
        `accuracy` and `macro_f1`: F1 (0 where undefined) averaged over the classes that occur in either list, as
        scikit-learn has it. With two classes also `precision`, `recall`, `f1` of class 1, and `roc_auc` if there are
        scores and gold has both classes.

    Raises:
        ValueError: as `binary_metrics`; or scores for more than two classes, or another number of them.
    """
    right, given = _checked(gold, predicted, classes)
    values = values_of(multiclass_statistics(right, given, classes))
    if positive_scores is None:
        return values
    scores = np.asarray(positive_scores, np.float64)
    if classes != 2 or scores.shape != right.shape:
        raise ValueError(f"expected scores of class 1 of 2, {right.shape}; found {scores.shape} for {classes} classes")
    if 0 < right.sum() < len(right):
        values["roc_auc"] = roc_auc(scores, right)
    return values


def roc_auc(scores: ArrayLike, gold: Labels) -> float:
    """Probability that a positive scores above a negative, ties half (Mann and Whitney's U over its maximum).

    Args:
        scores: [examples].
        gold: 0 or 1, both present, [examples].
    """
    right = np.asarray(gold) == 1
    ordered, positions, counts = np.unique(np.asarray(scores, np.float64), return_inverse=True, return_counts=True)
    if np.isnan(ordered).any():
        raise ValueError("a score is not a number")
    ends = counts.cumsum()
    ranks = (ends - (counts - 1) / 2)[positions]  # from 1; equal scores share the mean of their ranks
    positives, negatives = int(right.sum()), int((~right).sum())
    if not positives or not negatives:
        raise ValueError("expected right labels of both classes, found only one")
    return float((ranks[right].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def best_threshold(scores: ArrayLike, gold: Labels) -> float:
    """The threshold t with the highest F1 of `score > t`; choose it on validation data and apply it to the test.

    Args:
        scores: [examples].
        gold: 0 or 1, [examples].

    Returns:
        the middle between two neighbouring scores, or half a unit below the lowest where all should be positive. Of
        thresholds with equal F1 the highest. Without positives every F1 is 0 and the highest score is returned.

    Raises:
        ValueError: no examples, unequal numbers, a label that is neither 0 nor 1, a score that is not a number.
    """
    values = np.asarray(scores, np.float64)
    right, _ = _checked(gold, np.zeros(len(values), np.int64), 2)
    if np.isnan(values).any():
        raise ValueError("a score is not a number")
    if not right.any():
        return float(values.max())
    distinct, positions = np.unique(-values, return_inverse=True)  # ascending, so the highest score comes first
    # Counts of calling everything from each distinct score upwards positive: all thresholds in one pass.
    called = np.bincount(positions).cumsum()
    hits = np.bincount(positions, weights=right).cumsum()
    f1 = 2 * hits / (called + right.sum())
    best = int(f1.argmax())
    score = -distinct[best]
    below = -distinct[best + 1] if best + 1 < len(distinct) else score - 1
    middle = (score + below) / 2  # rounds up to `score` itself between neighbouring floats
    return float(middle if middle < score else below)


def binary_statistics(gold: Labels, predicted: Labels) -> dict[str, Statistic]:
    """Resampling form of `accuracy` and of `precision`, `recall`, `f1` of class 1."""
    return multiclass_statistics(gold, predicted, 2, macro=False)


def multiclass_statistics(gold: Labels, predicted: Labels, classes: int, macro: bool = True) -> dict[str, Statistic]:
    """Resampling form of `accuracy`, `macro_f1` and, for two classes, `precision`, `recall`, `f1`.

    Args:
        gold: right labels, 0 to classes - 1, [examples].
        predicted: given labels, likewise; -1 for none, which is always wrong.
        classes: number of classes.
        macro: whether to include `macro_f1`.
    """
    right, given = _checked(gold, predicted, classes, lowest=-1)
    statistics = {"accuracy": mean_statistic((right == given).astype(np.float64))}
    if macro:
        labels = np.arange(classes)
        is_right, is_given = right[:, None] == labels, given[:, None] == labels  # [examples, classes]
        rows = np.hstack([is_right & is_given, is_right, is_given]).astype(np.float64)
        statistics["macro_f1"] = Statistic(rows, OF_SUMS["macro_f1"])
    if classes == 2:
        hits = np.stack([(right == 1) & (given == 1), right == 1, given == 1], axis=1).astype(np.float64)
        statistics |= {name: Statistic(hits, OF_SUMS[name]) for name in ("precision", "recall", "f1")}
    return statistics


def _macro_f1(sums: Floats) -> Floats:
    hits, right, given = np.split(sums, 3, axis=-1)  # [..., classes] each
    f1, occurs = _ratio(2 * hits, right + given), right + given > 0
    return _ratio(f1.sum(axis=-1), occurs.sum(axis=-1))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient, 0 where the denominator is."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator, np.float64), where=denominator > 0)


OF_SUMS: dict[str, Callable[[Floats], Floats]] = {
    "precision": lambda sums: _ratio(sums[..., 0], sums[..., 2]),
    "recall": lambda sums: _ratio(sums[..., 0], sums[..., 1]),
    "f1": lambda sums: _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2]),
    "macro_f1": _macro_f1,
}
"""Functions from summed rows to metrics that are not means; columns: hits, right labels, predicted labels."""


def _checked(
    gold: Labels, predicted: Labels, classes: int, lowest: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    right, given = np.asarray(gold, np.int64), np.asarray(predicted, np.int64)
    if right.shape != given.shape or right.ndim != 1 or not len(right):
        raise ValueError(f"expected as many predicted labels as right ones, found {given.shape} for {right.shape}")
    for name, labels, least in (("gold", right, 0), ("predicted", given, lowest)):
        if labels.min() < least or labels.max() >= classes:
            raise ValueError(
                f"{name}: expected labels from {least} to {classes - 1}, found {_outside(labels, classes)}"
            )
    return right, given


def _outside(labels: NDArray[np.int64], classes: int) -> Sequence[int]:
    outside: list[int] = np.unique(labels[(labels < 0) | (labels >= classes)])[:5].tolist()
    return outside


def clone_statistics(predictions: Sequence[str], labels: Sequence[str]) -> dict[str, Statistic]:
    """`precision`, `recall`, `f1` and `accuracy` of labels 0 and 1."""
    found = binary_statistics([int(label) for label in labels], [int(label) for label in predictions])
    return {name: found[name] for name in ("precision", "recall", "f1", "accuracy")}


def label_statistics(predictions: Sequence[str], labels: Sequence[str]) -> dict[str, Statistic]:
    """`accuracy` and `macro_f1` of any labels; where the right ones are 0 and 1 also `precision`, `recall`, `f1`.

    No label is always wrong and no class of its own, and so is another label than 0 and 1 where the right ones are
    these.
    """
    given, right = [text.strip() for text in predictions], [text.strip() for text in labels]
    binary = set(right) <= {"0", "1"}
    classes = ["0", "1"] if binary else sorted({*given, *right} - {""})
    number = {label: i for i, label in enumerate(classes)}
    found = multiclass_statistics([number[r] for r in right], [number.get(g, -1) for g in given], max(2, len(classes)))
    # Which of two names is the positive one is not known.
    return found if binary else {name: found[name] for name in ("accuracy", "macro_f1")}
