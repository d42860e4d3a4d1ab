"""Clone detection: heads, losses, thresholds and batches by numbers that can be checked by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from datasets import Dataset
from torch import nn

from telly.data.batching import LengthBucketBatchSampler
from telly.data.sequences import SequenceTableBuilder
from telly.errors import DataError
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.models.load import model_from_config
from telly.tasks import get_task
from telly.tasks.options import PairOptions
from telly.tasks.training.labels import ClassHead
from telly.tasks.training.pairs import MARGIN, MIN_PAIRS_PER_TEXT, CosineModel, PairClassifier, PairModel, TextPairs
from tiny_models import CONFIGS, Given, tiny_model, tiny_tokenizer

TASK = get_task("clone")
LIMITS = {"left": 12, "right": 12}
NO_AUTOCAST = torch.autocast("cpu", enabled=False)


def dataset(pairs: list[tuple[str, str, str]]) -> Dataset:
    return Dataset.from_dict(dict(zip(("left", "right", "label"), map(list, zip(*pairs, strict=True)), strict=True)))


def encoded(splits: Mapping[str, list[tuple[str, str, str]]]) -> dict[str, Any]:
    data = {name: dataset(pairs) for name, pairs in splits.items()}
    return TASK.encode(data, tiny_tokenizer(), LIMITS, CONFIGS["roberta"]())


def pairs_of(pairs: list[tuple[int, int]], labels: list[int]) -> TextPairs:
    """Pairs of one-token functions; the token is the number that is given."""
    builder = SequenceTableBuilder()
    rows = np.array([[builder.add([number]) for number in pair] for pair in pairs])
    sides = {"left": rows[:, 0], "right": rows[:, 1]}
    return TextPairs(builder.build(), sides, np.array(labels), ("0", "1"))


def source_of(data: TextPairs) -> RowSource:
    return RowSource(data.table, 0)


def loss_of(model: PairModel, pairs: list[tuple[int, int]], labels: list[int]) -> float:
    data = pairs_of(pairs, labels)
    return float(model(**TASK.collate(source_of(data), data, range(len(data))))["loss"].item())


def by_cosine(*cosines: float) -> CosineModel:
    """Function 0 is (1, 0); function i has the i-th of the cosines with it."""
    rows = [[3.0, 0.0], *([cosine, math.sqrt(1 - cosine**2)] for cosine in cosines)]
    return CosineModel(Given(torch.tensor(rows)))


class Decided(nn.Module):
    """A head that says clone three times out of four, whatever it is given."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[0.0, math.log(3)]]).expand(len(vectors), 2)


def test_the_papers_head_has_the_papers_parameters():
    """1536 x 768 + 768 weights and biases, then 768 x 2 + 2."""
    head = ClassHead(2 * 768, 768, 2)
    assert sum(p.numel() for p in head.parameters()) == 1536 * 768 + 768 + 768 * 2 + 2 == 1_181_954


@pytest.mark.parametrize(("k", "trained"), [(None, 127_111_682), (11, 8_269_826)])
def test_plan_at_unixcoders_shape(k: int | None, trained: int):
    """The encoder's 125,929,728 or, for K=11, 7,087,872, and the head's 1,181,954."""
    shape = {"vocab_size": 51416, "max_position_embeddings": 1026, "type_vocab_size": 10}
    split = SplitModel(model_from_config(transformers.RobertaConfig(**shape)), k)
    head = TASK.head(split.hidden_size, 2, PairOptions(head="pair"))
    assert head is not None
    assert split.plan.with_head(sum(p.numel() for p in head.parameters())).trainable == trained
    assert TASK.head(split.hidden_size, 2, PairOptions(head="cosine")) is None
    assert split.plan.with_head(0) is split.plan


def test_head_by_hand():
    """In eval mode: out(tanh(dense(x))); tanh(ln 3) = (9 - 1) / (9 + 1) = 0.8."""
    head = ClassHead(1, 1, 2).eval()
    for parameter, values in zip(head.parameters(), ([[1.0]], [0.0], [[1.0], [-2.0]], [0.0, 1.0]), strict=True):
        parameter.data = torch.tensor(values)
    assert head(torch.tensor([[math.log(3)]])).tolist()[0] == pytest.approx([0.8, -0.6])


def test_pair_loss_by_hand():
    """Probability 3/4 of a clone: -ln 3/4 where it is one, -ln 1/4 where it is not."""
    model = PairClassifier(Given(torch.eye(4)), Decided())
    assert loss_of(model, [(0, 1)], [1]) == pytest.approx(math.log(4 / 3), abs=1e-6)
    assert loss_of(model, [(0, 1), (2, 3)], [1, 0]) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2, abs=1e-6)


def test_pair_head_is_given_left_then_right():
    """A head that looks at one side only: swapping the functions changes its answer."""
    head = nn.Linear(8, 2, bias=False)
    head.weight.data = torch.zeros(2, 8)
    head.weight.data[1, 0] = 5.0  # the left function's first number
    model = PairClassifier(Given(torch.eye(4)), head)
    assert loss_of(model, [(0, 1)], [1]) == pytest.approx(math.log(1 + math.exp(-5)), abs=1e-6)
    assert loss_of(model, [(1, 0)], [1]) == pytest.approx(math.log(2), abs=1e-6)
    data = pairs_of([(0, 1), (1, 0)], [1, 0])
    found = TASK.evaluate(model, source_of(data), data, NO_AUTOCAST, final=True).predictions
    assert [row["score"] for row in found or ()] == pytest.approx([1 / (1 + math.exp(-5)), 0.5], abs=1e-5)


@pytest.mark.parametrize(
    ("cosine", "label", "loss"),
    [(1.0, 1, 0.0), (0.6, 1, 0.16), (0.0, 1, 1.0), (0.8, 0, 0.25), (0.2, 0, 0.0), (-0.5, 0, 0.0)],
)
def test_cosine_loss_by_hand(cosine: float, label: int, loss: float):
    """(1 - cosine)^2 for clones; for others (cosine - 0.3)^2, and nothing below the margin of 0.3."""
    assert MARGIN == 0.3
    assert loss_of(by_cosine(cosine), [(0, 1)], [label]) == pytest.approx(loss, abs=1e-6)


def test_cosine_loss_is_the_mean_of_the_pairs():
    assert loss_of(by_cosine(0.6, 0.8), [(0, 1), (0, 2)], [1, 0]) == pytest.approx((0.16 + 0.25) / 2, abs=1e-6)


def test_a_function_in_many_pairs_of_a_batch_is_encoded_once():
    """Four pairs of three distinct functions; in evaluation as well, whatever the order of a pair."""
    model = by_cosine(0.9, 0.1)
    data = pairs_of([(0, 1), (1, 0), (0, 2), (2, 2)], [1, 1, 0, 1])
    assert len(data.table) == 3
    batch = TASK.collate(source_of(data), data, [0, 1, 2, 3])
    assert batch["functions"]["input_ids"].tolist() == [[0], [1], [2]]
    assert (batch["left"].tolist(), batch["right"].tolist()) == ([0, 1, 0, 2], [1, 0, 2, 2])
    model(**batch)
    TASK.evaluate(model, source_of(data), data, NO_AUTOCAST, final=True)
    assert model.encoder.batches == [3, 3]
    only_two = TASK.collate(source_of(data), data, [1])
    assert only_two["functions"]["input_ids"].tolist() == [[0], [1]]


def test_encoding_once_gives_the_loss_and_gradient_of_encoding_every_side():
    """The shortcut against the long way, on a real encoder in eval mode."""
    found = encoded({"train": [("w10 w11", "w12", "1"), ("w12", "w13 w14 w15", "0"), ("w10 w11", "w13", "0")]})["train"]
    torch.manual_seed(0)
    model = TASK.build(SplitModel(tiny_model("roberta"), None), 2, PairOptions(head="pair")).eval()
    batch = TASK.collate(source_of(found), found, [0, 1, 2])
    model(**batch)["loss"].backward()
    once = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    sides = [model.represent(source_of(found).batch(found.rows[side])) for side in ("left", "right")]
    scores = model.head(torch.cat(sides, dim=-1))
    torch.nn.functional.cross_entropy(scores, batch["labels"]).backward()
    assert len(once) > 60
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert torch.allclose(once[name], parameter.grad, atol=1e-5), name


def test_every_distinct_function_has_one_row():
    """Equal on either side, and equal after cutting: one row. A limit of its own for each side is kept."""
    pairs = [("w10 w11", "w12", "1"), ("w12", "w10 w11", "0"), ("w12", "w12", "1")]
    data = encoded({"train": pairs})["train"]
    assert [row.tolist() for row in map(data.table.__getitem__, range(len(data.table)))] == [[0, 10, 11, 2], [0, 12, 2]]
    assert data.rows["left"].tolist() == [0, 1, 1]
    assert data.rows["right"].tolist() == [1, 0, 1]
    assert (data.labels.tolist(), data.classes) == ([1, 0, 1], ("0", "1"))
    cut = TASK.encode({"train": dataset(pairs)}, tiny_tokenizer(), {"left": 3, "right": 12}, None)["train"]
    assert cut.table[int(cut.rows["left"][0])].tolist() == [0, 10, 2]
    assert cut.table[int(cut.rows["right"][1])].tolist() == [0, 10, 11, 2]


def test_threshold_is_chosen_on_validation_data_and_used_on_test_data():
    """Validation: cosine 0.9 is a clone, 0.3 is not, so the threshold is 0.6. Of the test pairs at 0.7 and 0.5 the
    first is called a clone, whatever would have been best there (0.4, since both are).
    """
    model = by_cosine(0.9, 0.3, 0.7, 0.5)
    valid, test = pairs_of([(0, 1), (0, 2)], [1, 0]), pairs_of([(0, 3), (0, 4)], [1, 1])
    assert model.threshold.item() == 0.5
    TASK.fit_threshold(model, source_of(valid), valid, NO_AUTOCAST)
    assert model.threshold.item() == pytest.approx(0.6)
    found = TASK.evaluate(model, source_of(test), test, NO_AUTOCAST, final=True)
    assert model.threshold.item() == pytest.approx(0.6), "test data choose nothing"
    assert [row["prediction"] for row in found.predictions or ()] == ["1", "0"]
    assert (found.metrics["precision"], found.metrics["recall"]) == (1.0, 0.5)
    assert (found.metrics["true_positives"], found.metrics["false_negatives"]) == (1, 1)

    chosen = TASK.evaluate(model, source_of(test), test, NO_AUTOCAST, final=False)
    assert chosen.metrics["f1"] == 1.0, "the case that must differ: data to choose on choose"
    assert model.threshold.item() < 0.5


def test_the_pair_heads_threshold_is_a_half_and_stays():
    model = PairClassifier(Given(torch.eye(4)), Decided())
    data = pairs_of([(0, 1), (2, 3)], [0, 0])
    TASK.fit_threshold(model, source_of(data), data, NO_AUTOCAST)
    assert TASK.evaluate(model, source_of(data), data, NO_AUTOCAST, final=False).predictions is None
    found = TASK.evaluate(model, source_of(data), data, NO_AUTOCAST, final=True)
    assert model.threshold.item() == 0.5
    assert found.predictions == [
        {"example": i, "prediction": "1", "gold": "0", "score": pytest.approx(0.75)} for i in range(2)
    ]


@pytest.mark.parametrize("pairs", [4095, 4096, 4097, 9000])
@pytest.mark.parametrize("head", [False, True])
def test_many_pairs_are_scored_one_by_one_in_their_order(pairs: int, head: bool):
    """They go through in parts; each score is that of its own pair, and none is left out or scored twice."""
    vectors = torch.nn.functional.normalize(torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    torch.manual_seed(0)
    model = PairClassifier(Given(vectors), ClassHead(6, 3, 2)) if head else CosineModel(Given(vectors))
    model.eval()
    drawn = np.random.default_rng(1).integers(40, size=(pairs, 2))
    data = pairs_of([(int(left), int(right)) for left, right in drawn], [i % 2 for i in range(pairs)])
    found = TASK.evaluate(model, source_of(data), data, NO_AUTOCAST, final=True)
    left, right = (vectors[drawn[:, side]] for side in (0, 1))
    if model.head is None:
        expected = (left * right).sum(dim=-1)
    else:
        expected = model.head(torch.cat([left, right], dim=-1)).softmax(dim=-1)[:, 1]
    rows = found.predictions or []
    assert [row["example"] for row in rows] == list(range(pairs))
    assert np.allclose([row["score"] for row in rows], expected.detach().numpy(), atol=2e-6)


def all_pairs(functions: int) -> TextPairs:
    pairs = [(i, j) for i in range(functions) for j in range(i + 1, functions)]
    return pairs_of(pairs, [i % 2 for i in range(len(pairs))])


def sampler(data: TextPairs, epoch: int = 0, **options: Any) -> list[list[int]]:
    found = LengthBucketBatchSampler(data.lengths, 8, pairs=data.pairs, **options)
    found.set_epoch(epoch)
    return list(found)


def test_functions_in_few_pairs_are_not_kept_together():
    """9 functions in 36 pairs are in 8 each; 8 functions in 28 are in 7."""
    assert MIN_PAIRS_PER_TEXT == 8
    assert all_pairs(9).pairs is not None
    assert all_pairs(8).pairs is None


def test_batches_share_functions_and_every_pair_comes_once_an_epoch():
    data = all_pairs(24)  # 276 pairs
    assert data.pairs is not None

    def distinct(batches: list[list[int]]) -> float:
        return float(np.mean([len(np.unique(data.pairs[batch])) for batch in batches]))  # type: ignore[index]

    together = sampler(data)
    assert sorted(chain(*together)) == list(range(276))
    assert [len(batch) for batch in sorted(together, key=len, reverse=True)] == [8] * 34 + [4]
    scattered = list(LengthBucketBatchSampler(data.lengths, 8))
    assert distinct(together) < 0.6 * distinct(scattered)
    assert sampler(data) == together
    assert sampler(data, epoch=1) != together and sampler(data, seed=1) != together


def test_two_processes_see_what_one_would():
    data = all_pairs(12)
    alone = sampler(data, drop_last=True)
    ranks = [sampler(data, drop_last=True, rank=rank, world_size=2) for rank in (0, 1)]
    assert [first + second for first, second in zip(*ranks, strict=True)] == alone
    assert all(len(batch) == 4 for batch in chain(*ranks))


def test_repeated_pairs_and_pairs_of_a_function_with_itself_come_once_each():
    data = pairs_of([(0, 1), (1, 0), (0, 0), (0, 1), (1, 1)] * 4, [0, 1] * 10)
    assert data.pairs is not None
    assert sorted(chain(*sampler(data))) == list(range(20))


def test_training_data_of_one_class_is_refused():
    with pytest.raises(DataError) as error:
        encoded({"train": [("w10", "w11", "1")] * 3})
    assert str(error.value) == (
        "'label' is '1' in all 3 training rows; expected at least two classes. "
        "With fewer examples than the data has (--limit), take more"
    )


def test_baselines_by_hand():
    """The training data have more 0s, so nothing is called a clone: accuracy 1/2, F1 0.

    Shares of common words on validation: 2/2 for a clone, 1/3 for none, so the threshold is 2/3; the test pairs have
    3/4 (clone, right) and 1/2 (clone, missed).
    """
    splits = {
        "train": [("a", "b", "0"), ("a", "c", "0"), ("a", "a", "1")],
        "valid": [("a b", "b a", "1"), ("a b", "b c", "0")],
        "test": [("a b c", "a b c d", "1"), ("a b", "a", "1"), ("a", "b", "0"), ("a b", "c", "0")],
    }
    datasets = {name: dataset(pairs) for name, pairs in splits.items()}
    found = TASK.baselines(datasets, "test", encoded(splits)["train"])
    assert found["most frequent class"]["accuracy"] == 0.5
    assert found["most frequent class"]["f1"] == 0.0
    assert found["token overlap"]["precision"] == 1.0
    assert found["token overlap"]["recall"] == 0.5
    assert found["token overlap"]["accuracy"] == 0.75
