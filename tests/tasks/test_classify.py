"""Classification: classes, loss and metrics by numbers that can be checked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import nn

from telly.errors import DataError, TrainingError
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.tasks import get_task
from telly.tasks.options import TaskOptions
from telly.tasks.training.base import Encoded
from telly.tasks.training.classification import Classifier
from tiny_models import CONFIGS, Given, tiny_model, tiny_tokenizer

TASK = get_task("classify")
NO_AUTOCAST = torch.autocast("cpu", enabled=False)


def datasets_of(**labels: list[str]) -> dict[str, Dataset]:
    """By split; the i-th function is the word w(5 + i)."""
    return {
        name: Dataset.from_dict({"code": [f"w{5 + i}" for i in range(len(found))], "label": found})
        for name, found in labels.items()
    }


def encoded(**labels: list[str]) -> dict[str, Encoded]:
    return TASK.encode(datasets_of(**labels), tiny_tokenizer(), {"code": 12}, CONFIGS["roberta"]())


def given(*shares: list[float]) -> Classifier:
    """Gives the i-th function the i-th row of probabilities: the mean over `<s> word </s>` is a third of the word's
    vector, which is three times their logarithms.
    """
    rows = torch.zeros(5 + len(shares), len(shares[0]))
    rows[5:] = 3 * torch.tensor(shares).log()
    return Classifier(Given(rows), nn.Identity())  # type: ignore[arg-type]


def evaluated(model: Classifier, data: Encoded) -> Any:
    return TASK.evaluate(model, RowSource(data.table, 1), data, NO_AUTOCAST, final=True)


def test_whole_numbers_are_classes_in_their_order():
    """As text, 10 would come before 9."""
    data = encoded(train=["10", "9", "-1", "9"], test=["9", "10"])
    assert data["train"].classes == data["test"].classes == ("-1", "9", "10")
    assert data["train"].labels is not None and data["test"].labels is not None
    assert data["train"].labels.tolist() == [2, 1, 0, 1]
    assert data["test"].labels.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "x"], ("10", "9", "x")),
        (["--5", "3"], ("--5", "3")),
        (["²", "1"], ("1", "²")),
        (["01", "1", "0"], ("0", "01", "1")),
    ],
    ids=["one is no number", "two signs", "a digit that is no number", "equal numbers are two names"],
)
def test_other_names_are_classes_in_the_order_of_text(labels: list[str], classes: tuple[str, ...]):
    assert encoded(train=labels)["train"].classes == classes


def test_training_data_of_one_class_is_refused():
    with pytest.raises(DataError) as error:
        encoded(train=["safe"] * 1200)
    assert str(error.value) == (
        "'label' is 'safe' in all 1,200 training rows; expected at least two classes. "
        "With fewer examples than the data has (--limit), take more"
    )


def test_a_class_that_no_training_row_has_is_refused():
    with pytest.raises(DataError) as error:
        encoded(train=["a", "b"], valid=["b", "d", "c"])
    assert str(error.value) == (
        "valid: 'label' has 'c', which no training row has (known: a, b); add training rows of it, leave it out, "
        "or take more of them (--limit draws at random)"
    )
    with pytest.raises(DataError) as error:
        encoded(train=[str(i) for i in range(12)], test=["12"])
    assert str(error.value) == (
        "test: 'label' has '12', which no training row has (known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...); "
        "add training rows of it, leave it out, or take more of them (--limit draws at random)"
    )


def test_loss_by_hand():
    """Probabilities 1/2 and 1/8 of the right classes: (ln 2 + ln 8) / 2 = 2 ln 2."""
    data = encoded(train=["a", "b"])["train"]
    model = given([1 / 2, 1 / 2], [7 / 8, 1 / 8])
    loss = model(**TASK.collate(RowSource(data.table, 1), data, [0, 1]))["loss"]
    assert loss.item() == pytest.approx(2 * math.log(2), abs=1e-5)


def test_metrics_of_two_classes_by_hand():
    """Right classes b b a a, called b a b a: one of each kind, so all shares are 1/2.

    Of the four pairs of a b and an a, the b has the greater score for b in (.9 > .8, .9 > .1, .4 > .1): AUC is 3/4.
    """
    data = encoded(train=["b", "b", "a", "a"])["train"]
    found = evaluated(given([0.1, 0.9], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1]), data)
    assert found.metrics == pytest.approx(
        {"accuracy": 0.5, "macro_f1": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5, "roc_auc": 0.75}
    )
    assert set(found.metrics) == set(TASK.metrics)
    assert found.predictions[1] == {"example": 1, "prediction": "a", "gold": "b", "score": pytest.approx(0.6, abs=1e-5)}


def test_probabilities_that_are_no_numbers_end_the_run():
    data = encoded(train=["0", "1"])["train"]
    with pytest.raises(TrainingError, match="are not finite numbers after this epoch: training has diverged"):
        evaluated(given([0.1, 0.9], [math.nan, 0.4]), data)


def test_metrics_of_three_classes_by_hand():
    """Right a b c a, called a b b c. F1 of a: 2*1/(2+1) = 2/3, of b: 2*1/(1+2) = 2/3, of c: 0; the mean is 4/9."""
    data = encoded(train=["a", "b", "c", "a"])["train"]
    model = given([0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8])
    found = evaluated(model, data)
    assert found.metrics == pytest.approx({"accuracy": 0.5, "macro_f1": 4 / 9})
    assert [row["prediction"] for row in found.predictions] == ["a", "b", "b", "c"]


def test_equal_functions_are_one_row_and_padding_is_left_out():
    """The vector is the mean over real tokens: a longer neighbour in the batch changes nothing."""
    data = TASK.encode(
        {"train": Dataset.from_dict({"code": ["w10", "w11 w12 w13 w14", "w10"], "label": ["a", "b", "b"]})},
        tiny_tokenizer(),
        {"code": 5},
        None,
    )["train"]
    assert len(data.table) == 2
    assert data.table[1].tolist() == [0, 11, 12, 13, 2], "cut to five tokens"
    torch.manual_seed(0)
    model = TASK.build(SplitModel(tiny_model("roberta"), 2), len(data.classes), TaskOptions()).eval()
    source = RowSource(data.table, 1)
    alone = [model.logits(source.batch([row])) for row in (0, 1)]
    assert torch.allclose(model.logits(source.batch([0, 1])), torch.cat(alone), atol=1e-5)


def test_head_has_one_hidden_layer():
    """32 x 32 + 32 parameters, then 32 x 5 + 5."""
    head = TASK.head(32, 5, TaskOptions())
    assert sum(p.numel() for p in head.parameters()) == 32 * 32 + 32 + 32 * 5 + 5


def test_baseline_by_hand():
    """b is the most frequent training class: right in one of three. F1 of b: 2*1/(1+3) = 1/2, of a: 0; mean 1/4."""
    splits = {"train": ["a", "b", "b"], "test": ["a", "b", "a"]}
    found = TASK.baselines(datasets_of(**splits), "test", encoded(**splits)["train"])
    assert found["most frequent class"]["accuracy"] == pytest.approx(1 / 3)
    assert found["most frequent class"]["macro_f1"] == pytest.approx(1 / 4)
