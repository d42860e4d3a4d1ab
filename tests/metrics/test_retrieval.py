"""Retrieval metrics by numbers that can be checked by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from telly.metrics.bm25 import bm25_ranks
from telly.metrics.retrieval import ranks_in_scores, ranks_of_targets, retrieval_metrics
from telly.metrics.words import words


def test_ranks_by_hand():
    scores = torch.tensor([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.9, 0.5, 0.1]])
    assert ranks_in_scores(scores, torch.tensor([0, 1, 2])).tolist() == [1, 2, 3]


def test_a_tie_counts_against_the_model():
    assert ranks_in_scores(torch.tensor([[0.5, 0.5, 0.1]]), torch.tensor([0])).tolist() == [2]


def test_a_collapsed_encoder_scores_near_zero():
    """All vectors equal: every rank is the last, so MRR is 1/n and not 1."""
    same = torch.ones(50, 8)
    metrics = retrieval_metrics(ranks_of_targets(same, same, torch.arange(50)))
    assert metrics == {"mrr": pytest.approx(1 / 50), "recall@1": 0, "recall@5": 0, "recall@10": 0}


def test_scores_that_are_not_numbers_rank_last():
    assert ranks_in_scores(torch.full((1, 7), float("nan")), torch.tensor([3])).tolist() == [7]


def test_metrics_by_hand():
    """Ranks 1, 2, 4, 20: MRR = (1 + 1/2 + 1/4 + 1/20) / 4 = 0.45."""
    metrics = retrieval_metrics(torch.tensor([1, 2, 4, 20]))
    assert metrics == pytest.approx({"mrr": 0.45, "recall@1": 0.25, "recall@5": 0.75, "recall@10": 0.75})


def test_no_ranks_is_an_error():
    with pytest.raises(ValueError, match="at least one query"):
        retrieval_metrics(torch.tensor([]))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50), st.integers(0, 10_000))
def test_chunks_do_not_change_ranks(queries: int, candidates: int, chunk: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.randn(queries, 4, generator=generator), torch.randn(candidates, 4, generator=generator)
    targets = torch.randint(candidates, (queries,), generator=generator)
    whole = ranks_in_scores(left @ right.T, targets)
    found = ranks_of_targets(left, right, targets, chunk=chunk)
    assert (found - whole).abs().max() <= 1  # another block size may round a near-tie the other way
    assert found.min() >= 1
    assert found.max() <= candidates


def test_identifiers_are_split_into_words():
    assert words("parseHTTPResponse(snake_case, Utf8)") == ["parse", "http", "response", "snake", "case", "utf", "8"]


def test_bm25_finds_the_document_with_the_rare_word():
    documents = ["def open_file(path): return path", "def parse_date(text): return date", "def add(a, b): return a"]
    ranks = bm25_ranks(["parse a date", "add two numbers", "no such thing"], documents, torch.tensor([1, 2, 0]))
    assert ranks.tolist() == [1, 1, 3], "a query without any known word ties everywhere and ranks last"
