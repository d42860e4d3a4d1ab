"""Clone retrieval: partners, loss and MAP@R by numbers that can be checked by hand."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from datasets import Dataset

from telly.errors import DataError
from telly.freezing.source import RowSource
from telly.tasks import get_task
from telly.tasks.options import ContrastiveOptions
from telly.tasks.training.base import Encoded
from telly.tasks.training.groups import GroupModel, bucket_of
from tiny_models import CONFIGS, Given, tiny_tokenizer

TASK = get_task("clone-retrieval")
NO_AUTOCAST = torch.autocast("cpu", enabled=False)


def encoded(programs: list[tuple[str, str]], split: str = "train") -> Encoded:
    """Programs as (label, code)."""
    labels, codes = map(list, zip(*programs, strict=True))
    data = {split: Dataset.from_dict({"label": labels, "code": codes})}
    return TASK.encode(data, tiny_tokenizer(), {"code": 12}, CONFIGS["roberta"]())[split]


def of_labels(*labels: str) -> Encoded:
    """The i-th program is the word w(5 + i)."""
    return encoded([(label, f"w{5 + i}") for i, label in enumerate(labels)])


def given(vectors: list[list[float]]) -> GroupModel:
    """The i-th program's mean is the i-th vector: `<s>` and `</s>`, which frame it, are zero."""
    rows = torch.zeros(5 + len(vectors), len(vectors[0]))
    rows[5:] = torch.tensor(vectors)
    return GroupModel(Given(rows), ContrastiveOptions(temperature=1.0))  # type: ignore[arg-type]


def map_at_r_of(vectors: list[list[float]], *labels: str) -> float:
    data = of_labels(*labels)
    found = TASK.evaluate(given(vectors), RowSource(data.table, 1), data, NO_AUTOCAST, final=True)
    assert found.predictions is None
    return found.metrics["map@r"]


def partners_of(data: Encoded, draws: int = 30) -> dict[int, Counter[int]]:
    rng = np.random.default_rng(0)
    return {i: Counter(data.partner(i, rng) for _ in range(draws)) for i in range(len(data))}  # type: ignore[attr-defined]


def test_a_partner_shares_the_label_and_is_another_program():
    data = of_labels("b", "a", "b", "c", "a", "b")
    found = partners_of(data)
    assert {i: set(drawn) for i, drawn in found.items()} == {
        0: {2, 5}, 1: {4}, 2: {0, 5}, 3: {3}, 4: {1}, 5: {0, 2}
    }, "the only program of label c is its own"  # fmt: skip


def test_every_partner_is_as_likely():
    """4 programs: each of the 3 others in about a third of 3,000 draws; 4 standard deviations are 103."""
    found = partners_of(of_labels("a", "a", "a", "a"), draws=3000)
    assert all(len(drawn) == 3 and max(abs(count - 1000) for count in drawn.values()) < 104 for drawn in found.values())


def test_a_batch_has_programs_and_partners():
    data = of_labels("a", "b", "a", "b")
    batch = TASK.collate(RowSource(data.table, 1), data, [0, 1])
    assert batch["left"]["input_ids"].tolist() == [[0, 5, 2], [0, 6, 2]]
    assert batch["right"]["input_ids"].tolist() == [[0, 7, 2], [0, 8, 2]]
    assert batch["labels"].tolist() == [0, 1]
    assert data.uses_per_epoch == 2.0, "for itself and as a partner, on average"


def test_partners_depend_on_the_draw_and_the_program_alone():
    """Else a resumed run, or one of several processes, would draw others than one uninterrupted process."""
    data = of_labels(*["a", "b"] * 10)
    source = RowSource(data.table, 1)

    def partners(numbers: list[int], *draw: int) -> list[int]:
        torch.rand(1)  # the state of torch's draws makes no difference
        return TASK.collate(source, data, numbers, draw)["right"]["input_ids"][:, 1].tolist()

    assert partners([0, 1, 2, 3], 7, 1) == partners([0, 1], 7, 1) + partners([2, 3], 7, 1)
    assert len({tuple(partners([0, 1, 2, 3], 7, epoch)) for epoch in range(20)}) > 15, "every epoch draws anew"
    assert partners([0, 1, 2, 3], 7, 1) != partners([0, 1, 2, 3], 8, 1), "and every seed"


def test_loss_by_hand():
    """Orthogonal labels at temperature 1: e against 1, so ln(1 + 1/e). Programs of one label are no negatives."""
    model = given([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    data = of_labels("a", "b", "a", "b")
    source = RowSource(data.table, 1)
    expected = math.log(1 + 1 / math.e)
    assert model(**TASK.collate(source, data, [0, 1]))["loss"].item() == pytest.approx(expected, abs=1e-6)
    three = model(**TASK.collate(source, data, [0, 2, 1]))["loss"].item()
    # Both programs of a have one negative; that of b has two.
    assert three == pytest.approx((2 * expected + math.log(1 + 2 / math.e)) / 3, abs=1e-6)


def test_map_at_r_by_hand():
    """Angles 0, 10, 30 and 100 degrees, labels a, a, b, b; R is 1, so it is the share of right nearest neighbours.

    The nearest of 0 is 10 (right), of 10 is 0 (right), of 30 is 10 (wrong), of 100 is 30 (right).
    """
    vectors = [[math.cos(math.radians(angle)), math.sin(math.radians(angle))] for angle in (0, 10, 30, 100)]
    assert map_at_r_of(vectors, "a", "a", "b", "b") == pytest.approx(3 / 4)
    # With labels a, b, a, b every one of these neighbours is wrong.
    assert map_at_r_of(vectors, "a", "b", "a", "b") == 0.0


def test_map_at_r_weighs_ranks():
    """Angles 0, 10, 30, 100, labels a, b, a, a: R is 2 for a.

    0 sees b, a: (1/2) / 2 = 1/4. 30 sees b, a: 1/4. 100 sees a, b: (1/1) / 2 = 1/2. b has no fellow and is left out.
    """
    vectors = [[math.cos(math.radians(angle)), math.sin(math.radians(angle))] for angle in (0, 10, 30, 100)]
    assert map_at_r_of(vectors, "a", "b", "a", "a") == pytest.approx((1 / 4 + 1 / 4 + 1 / 2) / 3)


def test_length_of_vectors_does_not_count():
    """By dot product the long third one would be the nearest of all."""
    assert map_at_r_of([[1.0, 0.0], [0.01, 0.0], [9.0, 9.5], [0.0, 1.0]], "a", "a", "b", "b") == pytest.approx(1.0)


def test_equal_programs_share_a_row_and_stay_programs():
    data = encoded([("a", "w5"), ("a", "w5"), ("b", "w6"), ("b", "w6 w7")])
    assert len(data.table) == 3
    assert len(data) == 4
    assert data.classes == ("a", "b")


def test_labels_without_fellows_are_refused():
    with pytest.raises(DataError) as error:
        encoded([("a", "w5"), ("b", "w6")], split="valid")
    assert str(error.value) == ("valid: every label occurs in one row only; expected at least two programs per label")


def test_splits_number_their_own_labels():
    """Test data of POJ-104 has problems that no training row has."""
    data = {
        name: Dataset.from_dict({"label": labels, "code": ["w5", "w6"]})
        for name, labels in (("train", ["1", "1"]), ("test", ["99", "99"]))
    }
    found = TASK.encode(data, tiny_tokenizer(), {"code": 12}, None)
    assert [found[name].classes for name in ("train", "test")] == [("1",), ("99",)]
    assert found["test"].labels is not None
    assert found["test"].labels.tolist() == [0, 0]


def test_baseline_by_hand():
    """`open file` is nearest to `open file now`, `parse date` to `parse the date`: every first neighbour is right."""
    data = {"label": ["a", "b", "a", "b"], "code": ["open_file", "parse_date", "openFile now", "parse(the, date)"]}
    datasets = {"test": Dataset.from_dict(data)}
    train = of_labels("a", "a")
    assert TASK.baselines(datasets, "test", train) == {"word counts": {"map@r": pytest.approx(1.0)}}
    crossed = {"test": Dataset.from_dict(data | {"label": ["a", "a", "b", "b"]})}
    assert TASK.baselines(crossed, "test", train)["word counts"]["map@r"] == 0.0


def test_a_words_bucket_is_the_same_in_every_process():
    """CRC-32 of `file` is 0x8c9f3610; Python's own hash differs from process to process."""
    assert bucket_of("file") == 0x8C9F3610 % 4096
