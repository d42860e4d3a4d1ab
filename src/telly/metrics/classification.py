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
        predicted: predicted labels, 0 or 1, [examples].

    Returns:
        `accuracy`, `precision`, `recall`, `f1` as fractions (0 where undefined: no positives, or none predicted), and
        the counts `true_positives`, `false_positives`, `false_negatives`, `true_negatives`.

    Raises:
        ValueError: no labels, unequal numbers of them, or one that is neither 0 nor 1.
    """
    y_true, y_pred = _checked(gold, predicted, 2)
    counts = {
        "true_positives": int((y_true & y_pred).sum()),
        "false_positives": int(((1 - y_true) & y_pred).sum()),
        "false_negatives": int((y_true & (1 - y_pred)).sum()),
        "true_negatives": int(((1 - y_true) & (1 - y_pred)).sum()),
    }
    return dict(values_of(binary_statistics(y_true, y_pred))) | counts


def multiclass_metrics(
    gold: Labels, predicted: Labels, classes: int, positive_scores: ArrayLike | None = None
) -> dict[str, float]:
    """Scores of a choice among classes.

    Args:
        gold: right labels, 0 to classes - 1, [examples].
        predicted: predicted labels, [examples].
        classes: number of classes.
        positive_scores: scores of class 1, only with two classes, [examples].

    Returns:
        `accuracy` and `macro_f1`: F1 (0 where undefined) averaged over the classes that occur in either list, as
        scikit-learn has it. With two classes also `precision`, `recall`, `f1` of class 1, and `roc_auc` if there are
        scores and gold has both classes.

    Raises:
        ValueError: as `binary_metrics`; or scores for more than two classes, or another number of them.
    """
    y_true, y_pred = _checked(gold, predicted, classes)
    values = values_of(multiclass_statistics(y_true, y_pred, classes))
    if positive_scores is None:
        return values
    scores = np.asarray(positive_scores, np.float64)
    if classes != 2 or scores.shape != y_true.shape:
        raise ValueError(f"expected scores of class 1 of 2, {y_true.shape}; found {scores.shape} for {classes} classes")
    if 0 < y_true.sum() < len(y_true):
        values["roc_auc"] = roc_auc(scores, y_true)
    return values


def roc_auc(scores: ArrayLike, gold: Labels) -> float:
    """Probability that a positive scores above a negative, ties half (Mann and Whitney's U over its maximum).

    Args:
        scores: [examples].
        gold: 0 or 1, both present, [examples].
    """
    positive = np.asarray(gold) == 1
    ordered, positions, counts = np.unique(np.asarray(scores, np.float64), return_inverse=True, return_counts=True)
    if np.isnan(ordered).any():
        raise ValueError("a score is not a number")
    ends = counts.cumsum()
    ranks = (ends - (counts - 1) / 2)[positions]  # from 1; equal scores share the mean of their ranks
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        raise ValueError("expected right labels of both classes, found only one")
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


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
    y_true, _ = _checked(gold, np.zeros(len(values), np.int64), 2)
    if np.isnan(values).any():
        raise ValueError("a score is not a number")
    if not y_true.any():
        return float(values.max())
    distinct, positions = np.unique(-values, return_inverse=True)  # ascending, so the highest score comes first
    # Counts of calling everything from each distinct score upwards positive: all thresholds in one pass.
    predicted = np.bincount(positions).cumsum()
    true_positives = np.bincount(positions, weights=y_true).cumsum()
    f1 = 2 * true_positives / (predicted + y_true.sum())
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
        predicted: predicted labels, likewise; -1 for none, which is always wrong.
        classes: number of classes.
        macro: whether to include `macro_f1`.
    """
    y_true, y_pred = _checked(gold, predicted, classes, min_predicted=-1)
    statistics = {"accuracy": mean_statistic((y_true == y_pred).astype(np.float64))}
    if macro:
        # One-hot labels, [examples, classes] each: their sums are the counts of every class that F1 needs.
        labels = np.arange(classes)
        is_true, is_predicted = y_true[:, None] == labels, y_pred[:, None] == labels
        rows = np.hstack([is_true & is_predicted, is_true, is_predicted]).astype(np.float64)
        statistics["macro_f1"] = Statistic(rows, OF_SUMS["macro_f1"])
    if classes == 2:
        rows = np.stack([(y_true == 1) & (y_pred == 1), y_true == 1, y_pred == 1], axis=1).astype(np.float64)
        statistics |= {name: Statistic(rows, OF_SUMS[name]) for name in ("precision", "recall", "f1")}
    return statistics


def _macro_f1(sums: Floats) -> Floats:
    true_positives, actual, predicted = np.split(sums, 3, axis=-1)  # [..., classes] each
    f1, occurs = _ratio(2 * true_positives, actual + predicted), actual + predicted > 0
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
"""Functions from summed rows to metrics that are not means; columns: true positives, right labels, predicted labels."""


def _checked(
    gold: Labels, predicted: Labels, classes: int, min_predicted: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    y_true, y_pred = np.asarray(gold, np.int64), np.asarray(predicted, np.int64)
    if y_true.shape != y_pred.shape or y_true.ndim != 1 or not len(y_true):
        raise ValueError(f"expected as many predicted labels as right ones, found {y_pred.shape} for {y_true.shape}")
    for name, labels, minimum in (("gold", y_true, 0), ("predicted", y_pred, min_predicted)):
        if labels.min() < minimum or labels.max() >= classes:
            raise ValueError(
                f"{name}: expected labels from {minimum} to {classes - 1}, found {_outside(labels, classes)}"
            )
    return y_true, y_pred


def _outside(labels: NDArray[np.int64], classes: int) -> Sequence[int]:
    outside: list[int] = np.unique(labels[(labels < 0) | (labels >= classes)])[:5].tolist()
    return outside


def clone_statistics(predictions: Sequence[str], labels: Sequence[str]) -> dict[str, Statistic]:
    """`precision`, `recall`, `f1` and `accuracy` of labels 0 and 1."""
    statistics = binary_statistics([int(label) for label in labels], [int(label) for label in predictions])
    return {name: statistics[name] for name in ("precision", "recall", "f1", "accuracy")}


def label_statistics(predictions: Sequence[str], labels: Sequence[str]) -> dict[str, Statistic]:
    """`accuracy` and `macro_f1` of any labels; where the right ones are 0 and 1 also `precision`, `recall`, `f1`.

    An empty prediction is always wrong and is not a class of its own. If the right labels are 0 and 1, the same holds
    for every other prediction.
    """
    y_true, y_pred = [text.strip() for text in labels], [text.strip() for text in predictions]
    binary = set(y_true) <= {"0", "1"}
    classes = ["0", "1"] if binary else sorted({*y_true, *y_pred} - {""})
    index = {label: i for i, label in enumerate(classes)}
    statistics = multiclass_statistics(
        [index[label] for label in y_true], [index.get(label, -1) for label in y_pred], max(2, len(classes))
    )
    # Of two labels other than 0 and 1 it is unknown which is the positive one.
    return statistics if binary else {name: statistics[name] for name in ("accuracy", "macro_f1")}
