"""Pooling, similarity and the modules after the pooling: numbers by hand, and equality with sentence-transformers."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch

from telly.models.pooling import pool
from telly.models.pooling_mode import PoolingMode
from telly.models.similarity import Similarity

LEFT = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
RIGHT = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])


def states_of(mask: torch.Tensor) -> torch.Tensor:
    """States 1, 2, 3 and 1, -2, 3, -4, 5 of real tokens, with their negative as second component; 99 for padding."""
    states = torch.full((2, 5, 2), 99.0)
    for row, values in enumerate(([1.0, 2.0, 3.0], [1.0, -2.0, 3.0, -4.0, 5.0])):
        states[row, mask[row].bool()] = torch.tensor([[v, -v] for v in values])
    return states


# By hand from 1, 2, 3 and 1, -2, 3, -4, 5. Weighted: (1 + 4 + 9) / 6 and (1 - 4 + 9 - 16 + 25) / 15.
BY_HAND = {
    PoolingMode.CLS: ([1, -1], [1, -1]),
    PoolingMode.MEAN: ([2, -2], [0.6, -0.6]),
    PoolingMode.MAX: ([3, -1], [5, 4]),
    PoolingMode.MEAN_SQRT_LEN: ([6 / 3**0.5, -6 / 3**0.5], [3 / 5**0.5, -3 / 5**0.5]),
    PoolingMode.WEIGHTED_MEAN: ([14 / 6, -14 / 6], [1, -1]),
    PoolingMode.LAST_TOKEN: ([3, -3], [5, -5]),
}
# The same without a prompt of one token in the first row and of two in the second. Weights keep their places:
# (4 + 9) / 5 and (9 - 16 + 25) / 12.
WITHOUT_PROMPT = {
    PoolingMode.CLS: ([2, -2], [3, -3]),
    PoolingMode.MEAN: ([2.5, -2.5], [4 / 3, -4 / 3]),
    PoolingMode.MAX: ([3, -2], [5, 4]),
    PoolingMode.MEAN_SQRT_LEN: ([5 / 2**0.5, -5 / 2**0.5], [4 / 3**0.5, -4 / 3**0.5]),
    PoolingMode.WEIGHTED_MEAN: ([13 / 5, -13 / 5], [1.5, -1.5]),
    PoolingMode.LAST_TOKEN: ([3, -3], [5, -5]),
}


@pytest.mark.parametrize("mask", [LEFT, RIGHT], ids=["left", "right"])
@pytest.mark.parametrize("mode", PoolingMode)
def test_every_mode_by_hand(mode: PoolingMode, mask: torch.Tensor):
    states = states_of(mask)
    assert torch.allclose(pool(states, mask, (mode,)), torch.tensor(BY_HAND[mode], dtype=torch.float32))
    without = pool(states, mask, (mode,), torch.tensor([1, 2]))
    assert torch.allclose(without, torch.tensor(WITHOUT_PROMPT[mode], dtype=torch.float32))
    assert pool(states.bfloat16(), mask, (mode,)).dtype == torch.float32


def test_modes_are_concatenated_in_their_order():
    states = states_of(RIGHT)
    for modes in permutations(PoolingMode, 2):
        expected = torch.cat([pool(states, RIGHT, (mode,)) for mode in modes], dim=-1)
        assert torch.equal(pool(states, RIGHT, modes), expected)
    assert torch.equal(pool(states, RIGHT), pool(states, RIGHT, (PoolingMode.MEAN,)))


@pytest.mark.parametrize("mode", PoolingMode)
def test_a_sequence_of_its_prompt_alone_gives_finite_numbers(mode: PoolingMode):
    """sentence-transformers gives -inf for the maximum there, so that the normalised embedding is NaN."""
    pooled = pool(states_of(RIGHT), RIGHT, (mode,), torch.tensor([3, 0]))
    assert pooled[0].tolist() == ([1.0, -1.0] if mode is PoolingMode.CLS else [0.0, 0.0])
    assert torch.equal(pooled[1:], pool(states_of(RIGHT), RIGHT, (mode,))[1:])


@pytest.mark.parametrize("mode", PoolingMode)
def test_gradients_reach_pooled_tokens_alone(mode: PoolingMode):
    """The gradient is finite, nothing flows into padding or the prompt, and the states are left as they were."""
    states = states_of(LEFT).requires_grad_()
    before = states.detach().clone()
    pool(states, LEFT, (mode,), torch.tensor([1, 0])).square().sum().backward()
    assert states.grad is not None
    assert torch.equal(states.detach(), before)
    assert states.grad.isfinite().all()
    assert states.grad[0, :3].abs().max() == 0
    assert states.grad[0, 3:].abs().max() > 0


@pytest.mark.parametrize("mask", [LEFT, RIGHT], ids=["left", "right"])
@pytest.mark.parametrize("excluded", [None, 0, 2])
def test_pooling_equals_that_of_sentence_transformers(excluded: int | None, mask: torch.Tensor):
    """All modes in one embedding, in an order that is not theirs; its prompts are as long in all rows."""
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    modes = (*reversed(PoolingMode),)
    torch.manual_seed(0)
    states = torch.randn(2, 5, 7)
    theirs = modules.Pooling(7, tuple(map(str, modes)), include_prompt=False)
    features = {"token_embeddings": states.clone(), "attention_mask": mask.clone()}
    expected = theirs(features if excluded is None else features | {"prompt_length": excluded})["sentence_embedding"]
    lengths = None if excluded is None else torch.full((2,), excluded)
    assert torch.allclose(pool(states, mask, modes, lengths), expected, atol=1e-6)


@pytest.mark.parametrize("similarity", Similarity)
def test_similarities_equal_those_of_sentence_transformers(similarity: Similarity):
    util = pytest.importorskip("sentence_transformers.util")
    queries, documents = torch.randn(3, 8), torch.randn(5, 8)
    scores = similarity.scores(queries, documents)
    assert torch.allclose(scores, util.SimilarityFunction.to_similarity_fn(similarity.value)(queries, documents))


# Similarities of (3, 4) to (3, 4), (0, 2) and (-3, -4): the most similar has the highest score
SCORES = {
    Similarity.COSINE: [1.0, 0.8, -1.0],
    Similarity.DOT: [25.0, 8.0, -25.0],
    Similarity.EUCLIDEAN: [0.0, -(13**0.5), -10.0],
    Similarity.MANHATTAN: [0.0, -5.0, -14.0],
}


@pytest.mark.parametrize("similarity", Similarity)
def test_similarities_by_hand(similarity: Similarity):
    documents = torch.tensor([[3.0, 4.0], [0.0, 2.0], [-3.0, -4.0]])
    scores = similarity.scores(documents[:1], documents)
    assert torch.allclose(scores, torch.tensor([SCORES[similarity]]), atol=1e-5)
    assert similarity.normalizes == torch.allclose(similarity.scores(documents[:1] * 2, documents), scores, atol=1e-5)
