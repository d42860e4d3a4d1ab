"""Mean average precision at R: by hand, and against a plain loop."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from telly.metrics.retrieval import map_at_r


def test_by_hand():
    """Directions of 0, 10, 20 and 100 degrees, labelled a b a a. R = 2 for every a, 0 for b.

    From 0: b a, so (0 + 1/2) / 2. From 20: b a, likewise. From 100: a b, so 1 / 2. The mean over three queries.
    """
    angles = torch.deg2rad(torch.tensor([0.0, 10.0, 20.0, 100.0]))
    found = map_at_r(torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 1, 0, 0]))
    assert found.per_query[[0, 2, 3]].tolist() == pytest.approx([0.25, 0.25, 0.5])
    assert found.per_query[1].isnan()
    assert found.left_out == 1
    assert found.value == pytest.approx(1 / 3)


def test_perfect_and_hopeless():
    axes = torch.eye(2)[[0, 0, 1, 1]]
    assert map_at_r(axes, torch.tensor([5, 5, 7, 7])).value == 1.0
    assert map_at_r(axes, torch.tensor([5, 7, 5, 7])).value == 0.0


def test_ties_go_to_the_lower_index():
    """All vectors equal: item 0 sees 1 first, a stranger; 1 sees 0, a stranger; 2 sees 0, its fellow."""
    found = map_at_r(torch.ones(3, 4), torch.tensor([0, 1, 0]))
    assert found.per_query[[0, 2]].tolist() == [0.0, 1.0]


def test_without_fellows_there_is_nothing_to_find():
    found = map_at_r(torch.eye(3), torch.tensor([1, 2, 3]))
    assert (found.value, found.left_out) == (0.0, 3)
    assert found.per_query.isnan().all()


def test_vectors_that_are_not_numbers_come_last():
    vectors = torch.eye(3)[[0, 0, 1]]
    vectors[2] = float("nan")
    assert map_at_r(vectors, torch.tensor([0, 0, 1])).value == 1.0


def test_no_items_is_an_error():
    with pytest.raises(ValueError) as error:
        map_at_r(torch.ones(2, 3), torch.ones(1))
    assert str(error.value) == "expected one label for every embedding, found 1 for 2"


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.integers(1, 25), st.integers(0, 1000))
def test_equals_a_plain_loop_for_any_chunk(labels: list[int], chunk: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    vectors = normalize(torch.randn(len(labels), 4, generator=generator, dtype=torch.float64), dim=1)
    scores = (vectors @ vectors.T).tolist()
    expected = []
    for query, row in enumerate(scores):
        others = [i for i in range(len(labels)) if i != query]
        right = sum(labels[i] == labels[query] for i in others)
        ranked = sorted(others, key=lambda i: -row[i])[:right]
        hits = [labels[i] == labels[query] for i in ranked]
        if right:
            expected.append(sum(sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit) / right)
    found = map_at_r(vectors, torch.tensor(labels), chunk=chunk)
    assert found.left_out == len(labels) - len(expected)
    assert found.per_query[~found.per_query.isnan()].tolist() == pytest.approx(expected)
    assert found.value == pytest.approx(sum(expected) / len(expected) if expected else 0.0)
