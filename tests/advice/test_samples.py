"""Which examples pilots see."""

from __future__ import annotations

import datasets
import pytest

from telly.advice.samples import draw_samples, must_hold_out
from telly.errors import DataError
from telly.tasks import TASKS


def texts(count: int, start: int = 0) -> datasets.Dataset:
    numbers = range(start, start + count)
    return datasets.Dataset.from_dict({"query": [f"q{i}" for i in numbers], "code": [f"c{i}" for i in numbers]})


@pytest.mark.parametrize(("train", "valid", "tuned", "scored"), [
    (64, 20, 64, 20),  # as few as there may be
    (1000, 300, 96, 100),
    (10_000, 300, 500, 300),  # five percent
    (200_000, 5000, 2000, 500),  # enough
])  # fmt: skip
def test_a_few_percent(train: int, valid: int, tuned: int, scored: int):
    drawn = draw_samples(texts(train), texts(valid, 10**6), TASKS["search"].schema, 0)
    assert (len(drawn.train), len(drawn.valid), drawn.total_train) == (tuned, scored, train)
    assert len(set(drawn.train["code"])) == tuned


def test_the_seed_draws():
    def of(seed: int) -> list[str]:
        return list(draw_samples(texts(1000), texts(300), TASKS["search"].schema, seed).train["code"])

    assert of(0) == of(0) != of(1)


def test_held_out_examples_are_not_tuned_on():
    drawn = draw_samples(texts(200), texts(200), TASKS["search"].schema, 0, hold_out=True)
    assert len(drawn.valid) == 40 and not set(drawn.train["code"]) & set(drawn.valid["code"])


def test_held_out_examples_are_of_classes_that_are_tuned_on():
    labels = ["a", "b"] * 50 + [f"only {i}" for i in range(20)]
    data = datasets.Dataset.from_dict({"code": [f"c{i}" for i in range(120)], "label": labels})
    drawn = draw_samples(data, data, TASKS["classify"].schema, 0, hold_out=True)
    assert (len(drawn.train), len(drawn.valid)) == (96, 24)
    assert set(drawn.train["label"]) == set(labels) >= set(drawn.valid["label"])


def test_a_file_is_split_and_a_folder_is_not(tmp_path):
    file = tmp_path / "train.jsonl"
    file.touch()
    assert must_hold_out(str(file), str(file)) and not must_hold_out(str(tmp_path), str(tmp_path))
    assert not must_hold_out(str(file), str(tmp_path / "valid.jsonl")) and not must_hold_out(None, None)


def test_every_class_is_there():
    """One class in a thousand examples would hardly be drawn; a validation example of an unknown class is left out."""
    labels = ["a", "b"] * 500
    labels[77] = "rare"
    code = [f"c{i}" for i in range(1000)]
    train = datasets.Dataset.from_dict({"code": code, "label": labels})
    valid = datasets.Dataset.from_dict({"code": code[:40], "label": [*labels[:39], "new"]})
    drawn = draw_samples(train, valid, TASKS["classify"].schema, 0)
    assert set(drawn.train["label"]) == {"a", "b", "rare"}
    assert len(drawn.valid) == 39 and "new" not in drawn.valid["label"]


def test_programs_keep_others_of_their_label():
    """500 labels of four programs each; drawn one by one, hardly any would have another."""
    data = datasets.Dataset.from_dict(
        {"code": [f"c{i}" for i in range(2000)], "label": [str(i % 500) for i in range(2000)]}
    )
    drawn = draw_samples(data, data, TASKS["clone-retrieval"].schema, 0)
    for part in (drawn.train, drawn.valid):
        labels = list(part["label"])
        alone = sum(labels.count(label) == 1 for label in labels)
        assert len(labels) >= 96 and alone <= 1


@pytest.mark.parametrize(("train", "valid", "hold_out", "message"), [
    (63, 50, False, "63 training examples: a pilot needs at least 64"),
    (80, 50, True, "80 training examples: a pilot needs at least 84"),
    (64, 19, False, "19 validation examples: a pilot needs at least 20 to be scored on"),
])  # fmt: skip
def test_too_few(train: int, valid: int, hold_out: bool, message: str):
    with pytest.raises(DataError, match=message):
        draw_samples(texts(train), texts(valid), TASKS["search"].schema, 0, hold_out=hold_out)
