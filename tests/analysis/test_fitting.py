"""Probes find what is in a layer, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from telly.analysis.fitting import Classification, Pairs, Retrieval, Split, shuffled, train
from telly.analysis.probing import ProbeItems, Spread, bag_of_tokens

LAYERS, HIDDEN, TOLD = 3, 12, 1


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def classification(items: int = 900) -> tuple[Classification, torch.Tensor]:
    """Layer `TOLD` holds the class, the others noise; three items a group."""
    states = drawn(items, LAYERS, HIDDEN)
    labels = states[:, TOLD, :4].argmax(dim=-1)
    return Classification(labels, np.arange(items) // 3, ("a", "b", "c", "d")), states


def pairs(count: int = 800) -> tuple[Pairs, torch.Tensor]:
    """Texts come in twos that share layer `TOLD` but for a rotation of half of its features."""
    left, right = drawn(count, LAYERS, HIDDEN), drawn(count, LAYERS, HIDDEN, seed=1)
    right[:, TOLD] = left[:, TOLD] + 0.1 * drawn(count, HIDDEN, seed=2)
    labels = torch.arange(count) % 2
    other = torch.where(labels == 1, torch.arange(count), (torch.arange(count) + 7) % count)
    return Pairs(torch.arange(count), count + other, labels, np.arange(count)), torch.cat([left, right])


def retrieval(labels: int = 60, each: int = 5) -> tuple[Retrieval, torch.Tensor]:
    """Layer `TOLD` holds the label below a much larger nuisance, which a map has to remove."""
    numbers = torch.arange(labels).repeat_interleave(each)
    states = drawn(len(numbers), LAYERS, HIDDEN)
    nuisance = torch.cat([torch.full((3,), 8.0), torch.full((HIDDEN - 3,), 0.3)])
    states[:, TOLD] = drawn(labels, HIDDEN, seed=3)[numbers] + nuisance * drawn(len(numbers), HIDDEN, seed=4)
    return Retrieval(numbers), states


def test_groups_are_not_torn_apart():
    groups = np.repeat(np.arange(50), [1, 9] * 25)
    split = Split.of(groups, seed=0)
    parts = [set(groups[part.numpy()]) for part in (split.train, split.valid, split.test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert [len(part) for part in parts] == [30, 10, 10]
    assert sorted(torch.cat([split.train, split.valid, split.test]).tolist()) == list(range(250))
    assert not torch.equal(split.test, Split.of(groups, seed=1).test)


@pytest.mark.parametrize(("kind", "metric", "chance"), [
    (classification, "accuracy", 0.25),
    (pairs, "accuracy", 0.5),
    (retrieval, "map_at_r", 0.1),
])  # fmt: skip
def test_each_kind_finds_the_layer_that_tells(kind, metric: str, chance: float):
    fitter, states = kind()
    split = Split.of(fitter.groups, seed=0)
    scores = [m[metric] for m in fitter.layerwise(states, split, 0, control=False)]
    assert scores[TOLD] > max(0.8 if metric == "accuracy" else 0.5, 2 * chance - 0.3)
    assert all(abs(score - chance) < 0.12 for layer, score in enumerate(scores) if layer != TOLD)
    metrics, weights = fitter.weighted(states, split, 0)
    assert np.argmax(weights) == TOLD and sum(weights) == pytest.approx(1)
    assert metrics[metric] > scores[TOLD] - 0.15
    assert fitter.majority(split)[metric] == pytest.approx(chance, abs=0.12)


@pytest.mark.parametrize("kind", [classification, pairs])
def test_shuffled_labels_teach_nothing(kind):
    fitter, states = kind()
    split = Split.of(fitter.groups, seed=0)
    control = [m["accuracy"] for m in fitter.layerwise(states, split, 0, control=True)]
    chance = {classification: 0.25, pairs: 0.5}[kind]
    assert all(abs(score - chance) < 0.12 for score in control)


def test_a_map_of_shuffled_labels_removes_nothing():
    fitter, states = retrieval()
    split = Split.of(fitter.groups, seed=0)
    plain, control = (fitter.layerwise(states, split, 0, control=flag)[TOLD]["map_at_r"] for flag in (False, True))
    assert plain > control + 0.2


def test_shuffling_keeps_the_frequencies():
    labels = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    assert torch.equal(shuffled(labels, 0).bincount(), labels.bincount())
    assert not torch.equal(shuffled(labels, 0), labels)


def test_the_best_weights_count(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("telly.analysis.fitting.STEPS", 60)
    monkeypatch.setattr("telly.analysis.fitting.VALIDATE_EVERY", 10)
    model = torch.nn.Linear(1, 1)
    seen: list[float] = []

    def validate() -> float:
        seen.append(float(model.weight.detach()))
        return -abs(len(seen) - 3)  # the third time is the best

    train(model, torch.arange(8), 0, lambda items: (model(torch.ones(len(items), 1)) - 9).square().mean(), validate)
    assert float(model.weight.detach()) == seen[2] != seen[-1]


def test_scores_by_class():
    fitter, states = classification()
    split = Split.of(fitter.groups, seed=0)
    metrics = fitter.layerwise(states, split, 0, control=False)[TOLD]
    assert {"accuracy", "macro_f1", "f1_a", "f1_b", "f1_c", "f1_d"} == set(metrics)
    assert metrics["macro_f1"] == pytest.approx(np.mean([metrics[f"f1_{name}"] for name in "abcd"]))


def test_student_interval_by_hand():
    found = Spread.of([0.4, 0.5, 0.6])  # standard deviation .1
    assert found.mean == pytest.approx(0.5) and found.high - found.mean == pytest.approx(4.302653 * 0.1 / 3**0.5)
    assert Spread.of([0.7]) == Spread(0.7, 0.7, 0.7)
    near_one = Spread.of([0.8, 0.9, 1.0])
    assert near_one.high == 1.0 and near_one.low == pytest.approx(0.9 - 4.302653 * 0.1 / 3**0.5), "no score is above 1"


def test_a_bag_is_blind_to_order():
    fitter, _ = retrieval()
    bag = bag_of_tokens(ProbeItems([[5, 6, 7], [7, 5, 6], [5, 5, 5]], None, fitter, ()), 4)
    assert bag.shape == (3, 1, 4)
    assert torch.allclose(bag[0], bag[1]) and not torch.allclose(bag[0], bag[2])
    picked = bag_of_tokens(ProbeItems([[5, 6, 7], [7, 5, 6]], [[0, 2], [0]], fitter, ()), 4)
    assert torch.equal(picked[1], picked[2]), "the same token has the same vector wherever it stands"


def test_pairs_are_scaled_by_their_training_texts_alone():
    """Texts that are neither trained nor tested on change no score, however large their states are."""
    fitter, states = pairs()
    split = Split.of(fitter.groups, seed=0)
    used = torch.cat([side[part] for part in (split.train, split.test) for side in (fitter.left, fitter.right)])
    changed = states.clone()
    changed[torch.isin(torch.arange(len(states)), used, invert=True)] *= 1000
    assert not torch.equal(changed, states)
    assert fitter.layerwise(changed, split, 0, control=False) == fitter.layerwise(states, split, 0, control=False)
