"""Metrics of labels: by hand, and equal to scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from telly.metrics.classification import (
    best_threshold,
    binary_metrics,
    multiclass_metrics,
    multiclass_statistics,
    roc_auc,
)

LABELLED = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 4)), min_size=1, max_size=30)


def test_binary_by_hand():
    """Two right among three called positive, two of four positives found: F1 = 2 * 2 / (4 + 3)."""
    found = binary_metrics([1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 1, 0])
    assert found == pytest.approx(
        {
            "accuracy": 3 / 6,
            "precision": 2 / 3,
            "recall": 2 / 4,
            "f1": 4 / 7,
            "true_positives": 2,
            "false_positives": 1,
            "false_negatives": 2,
            "true_negatives": 1,
        }
    )


@pytest.mark.parametrize(("gold", "predicted"), [([0, 0], [0, 0]), ([1, 1], [0, 0]), ([0, 0], [1, 1])])
def test_what_is_undefined_is_zero(gold: list[int], predicted: list[int]):
    found = binary_metrics(gold, predicted)
    assert (found["precision"], found["recall"], found["f1"]) == (0, 0, 0)


def test_macro_f1_by_hand():
    """F1 of class 0: 2*1 / (2+1), of 1: 2*1 / (1+2), of 2: 2*2 / (2+2); class 3 occurs nowhere and is left out."""
    found = multiclass_metrics([0, 0, 1, 2, 2], [0, 1, 1, 2, 2], classes=4)
    assert found == pytest.approx({"accuracy": 0.8, "macro_f1": (2 / 3 + 2 / 3 + 1) / 3})


@given(LABELLED)
def test_equals_scikit_learn(rows: list[tuple[int, int, int]]):
    gold, predicted, scores = (np.array(column) for column in zip(*rows, strict=True))
    found = multiclass_metrics(gold, predicted, 2, scores / 4)
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(gold, predicted),
        "macro_f1": sklearn_metrics.f1_score(gold, predicted, average="macro", zero_division=0),
        "precision": sklearn_metrics.precision_score(gold, predicted, zero_division=0),
        "recall": sklearn_metrics.recall_score(gold, predicted, zero_division=0),
        "f1": sklearn_metrics.f1_score(gold, predicted, zero_division=0),
    }
    if 0 < gold.sum() < len(gold):
        expected["roc_auc"] = sklearn_metrics.roc_auc_score(gold, scores)
    assert found == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_macro_f1_equals_scikit_learn(rows: list[tuple[int, int]]):
    gold, predicted = zip(*rows, strict=True)
    expected = sklearn_metrics.f1_score(gold, predicted, average="macro", zero_division=0)
    assert multiclass_metrics(gold, predicted, 5)["macro_f1"] == pytest.approx(expected)


def test_no_label_is_wrong_and_no_class():
    found = {name: s.value for name, s in multiclass_statistics([1, 0], [-1, 0], 2).items()}
    assert found == {"accuracy": 0.5, "macro_f1": 0.5, "precision": 0, "recall": 0, "f1": 0}


def test_roc_auc_by_hand():
    """Of the four pairs of a positive and a negative one is won, two are tied, one is lost: (1 + 2/2) / 4."""
    assert roc_auc([0.5, 0.2, 0.5, 0.2], [1, 1, 0, 0]) == 0.5
    assert roc_auc([0.9, 0.2, 0.5, 0.1], [1, 1, 0, 0]) == 0.75


def test_roc_auc_is_absent_when_gold_has_one_class():
    assert "roc_auc" not in multiclass_metrics([1, 1], [1, 0], 2, [0.5, 0.1])


def test_best_threshold_by_hand():
    """Calling three positive finds both: F1 = 2*2/(2+3) = .8; one: .667; two: .5; all four: .667."""
    assert best_threshold([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == pytest.approx((0.35 + 0.1) / 2)


@pytest.mark.parametrize(
    ("scores", "gold", "threshold"),
    [
        ([0.2, 0.8], [1, 1], -0.3),  # all are positive: half a unit below the lowest
        ([0.2, 0.8], [0, 0], 0.8),  # none is: nothing lies above the highest
        ([0.5, 0.5, 0.1], [1, 1, 0], 0.3),
        ([4.0, 3.0, 2.0, 1.0], [1, 0, 0, 1], 3.5),  # F1 is 2/3 above 3.5 as well as above .5: the highest
    ],
)
def test_best_threshold_at_the_edges(scores: list[float], gold: list[int], threshold: float):
    assert best_threshold(scores, gold) == pytest.approx(threshold)


@given(LABELLED)
def test_no_other_threshold_is_better(rows: list[tuple[int, int, int]]):
    gold, _, scores = (np.array(column) for column in zip(*rows, strict=True))
    best = binary_metrics(gold, scores > best_threshold(scores, gold))["f1"]
    assert best == max(binary_metrics(gold, scores > threshold)["f1"] for threshold in np.arange(-0.5, 5))
    order = np.argsort(scores, kind="stable")
    assert best_threshold(scores[order], gold[order]) == best_threshold(scores, gold)


def test_neighbouring_floats_have_no_middle():
    """The threshold is then the lower one, which `score > threshold` still tells apart."""
    low, high = 1.0, float(np.nextafter(1.0, 2.0))
    assert best_threshold([high, low], [1, 0]) == low


@pytest.mark.parametrize(
    ("gold", "predicted", "message"),
    [
        ([], [], "expected as many predicted labels as right ones, found (0,) for (0,)"),
        ([0], [0, 1], "expected as many predicted labels as right ones, found (2,) for (1,)"),
        ([0, 2], [0, 1], "gold: expected labels from 0 to 1, found [2]"),
        ([0, 1], [0, -1], "predicted: expected labels from 0 to 1, found [-1]"),
    ],
)
def test_bad_labels(gold: list[int], predicted: list[int], message: str):
    with pytest.raises(ValueError) as error:
        binary_metrics(gold, predicted)
    assert str(error.value) == message


def test_bad_scores():
    with pytest.raises(ValueError, match="a score is not a number"):
        best_threshold([float("nan")], [1])
    with pytest.raises(ValueError, match="a score is not a number"):
        roc_auc([float("nan"), 1], [1, 0])
    with pytest.raises(ValueError, match="expected scores of class 1 of 2"):
        multiclass_metrics([0, 1], [0, 1], 3, [0.1, 0.2])
