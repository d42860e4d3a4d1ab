"""Retrieval metrics by numbers that can be checked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from telly.metrics.bm25 import bm25_ranks
from telly.metrics.judgments import Judgments
from telly.metrics.retrieval import ranks_in_scores, ranks_of_relevant, retrieval_metrics
from telly.metrics.words import words


def test_ranks_by_hand():
    scores = torch.tensor([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.9, 0.5, 0.1]])
    assert ranks_in_scores(scores, Judgments.one_each([0, 1, 2])).tolist() == [1, 2, 3]


def test_a_tie_counts_against_the_model():
    assert ranks_in_scores(torch.tensor([[0.5, 0.5, 0.1]]), Judgments.one_each([0])).tolist() == [2]


def test_a_collapsed_encoder_scores_near_zero():
    """All vectors equal: every rank is the last, so MRR is 1/n and not 1."""
    same, judgments = torch.ones(50, 8), Judgments.one_each(range(50))
    metrics = retrieval_metrics(ranks_of_relevant(same, same, judgments), judgments)
    beyond_ten = dict.fromkeys(("mrr@10", "ndcg@10", "recall@1", "recall@5", "recall@10"), 0.0)
    assert metrics == {"mrr": pytest.approx(1 / 50), "map": pytest.approx(1 / 50), **beyond_ten}


def test_scores_that_are_not_numbers_rank_last():
    assert ranks_in_scores(torch.full((1, 7), float("nan")), Judgments.one_each([3])).tolist() == [7]


def test_metrics_by_hand():
    """Ranks 1, 2, 4, 20: MRR = (1 + 1/2 + 1/4 + 1/20) / 4 = 0.45, and 1/80 less if the last does not count."""
    metrics = retrieval_metrics(np.array([1, 2, 4, 20]), Judgments.one_each(range(4)))
    recalls = {"recall@1": 0.25, "recall@5": 0.75, "recall@10": 0.75}
    ndcg = (1 + 1 / math.log2(3) + 1 / math.log2(5)) / 4
    assert metrics == pytest.approx({"mrr": 0.45, "mrr@10": 0.4375, "ndcg@10": ndcg, "map": 0.45, **recalls})


def test_no_ranks_is_an_error():
    with pytest.raises(ValueError, match="at least one query"):
        retrieval_metrics(np.array([], dtype=np.int64), Judgments.of([]))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50), st.integers(0, 10_000))
def test_chunks_do_not_change_ranks(queries: int, candidates: int, chunk: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.randn(queries, 4, generator=generator), torch.randn(candidates, 4, generator=generator)
    targets = Judgments.one_each(torch.randint(candidates, (queries,), generator=generator).numpy())
    whole = ranks_in_scores(left @ right.T, targets)
    found = ranks_of_relevant(left, right, targets, chunk=chunk)
    assert np.abs(found - whole).max() <= 1  # another block size may round a near-tie the other way
    assert found.min() >= 1
    assert found.max() <= candidates


def test_identifiers_are_split_into_words():
    assert words("parseHTTPResponse(snake_case, Utf8)") == ["parse", "http", "response", "snake", "case", "utf", "8"]


def test_bm25_finds_the_document_with_the_rare_word():
    documents = ["def open_file(path): return path", "def parse_date(text): return date", "def add(a, b): return a"]
    ranks = bm25_ranks(["parse a date", "add two numbers", "no such thing"], documents, Judgments.one_each([1, 2, 0]))
    assert ranks.tolist() == [1, 1, 3], "a query without any known word ties everywhere and ranks last"


def judged(*relevant: dict[int, int]) -> Judgments:
    return Judgments.of(relevant)


def test_several_relevant_documents_by_hand():
    """Scores .9 .8 .7 .6; relevant are the second (grade 1) and the fourth (grade 3).

    Gain 1/log2(3) + 3/log2(5) of at most 3/log2(2) + 1/log2(3); precision 1/2 at the first and 2/4 at the second.
    """
    judgments = judged({3: 3, 1: 1})
    ranks = ranks_in_scores(torch.tensor([[0.9, 0.8, 0.7, 0.6]]), judgments)
    assert ranks.tolist() == [4, 2], "in the order of the judgments"
    ndcg = (1 / math.log2(3) + 3 / math.log2(5)) / (3 + 1 / math.log2(3))
    recalls = {"recall@1": 0.0, "recall@5": 1.0, "recall@10": 1.0}
    expected = {"mrr": 0.5, "mrr@10": 0.5, "ndcg@10": ndcg, "map": 0.5, **recalls}
    assert retrieval_metrics(ranks, judgments) == pytest.approx(expected)


def test_relevant_documents_of_equal_score_come_last_and_the_highest_grade_at_the_end():
    """Five ties with two relevant documents: ranks 4 and 5, and the lower grade has the better one."""
    assert ranks_in_scores(torch.full((1, 5), 0.5), judged({0: 2, 3: 1})).tolist() == [5, 4]
    above = torch.tensor([[0.5, 0.9, 0.5, 0.5, 0.1]])
    assert ranks_in_scores(above, judged({0: 1, 1: 1, 3: 1})).tolist() == [3, 1, 4]
    missing = torch.tensor([[float("nan"), 0.9, 0.1]])
    assert ranks_in_scores(missing, judged({0: 1, 2: 1})).tolist() == [3, 2]
    assert ranks_in_scores(missing, judged({1: 1})).tolist() == [2], "what is not a number is ahead of relevant ones"


@given(st.integers(1, 12), st.integers(1, 15), st.integers(0, 10_000))
def test_ranks_are_those_of_the_worst_order_among_ties(queries: int, candidates: int, seed: int):
    """Known answer: a stable sort of (score, not relevant first, lower grade first), and few distinct scores."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (queries, candidates))
    relevant = [
        {int(i): int(rng.integers(1, 4)) for i in rng.permutation(candidates)[: rng.integers(1, candidates + 1)]}
        for _ in range(queries)
    ]
    judgments = Judgments.of(relevant)
    found = iter(ranks_in_scores(torch.from_numpy(scores).float(), judgments).tolist())
    for row, grades in zip(scores.tolist(), relevant, strict=True):
        order = sorted(range(candidates), key=lambda i: (-row[i], grades.get(i, 0)))
        expected = {(row[i], grades[i], order.index(i) + 1) for i in grades}
        assert {(row[i], grades[i], next(found)) for i in grades} == expected
    picked = rng.integers(0, queries, 5)
    assert ranks_in_scores(torch.from_numpy(scores[picked]).float(), judgments.select(picked)).tolist() == [
        rank for i in picked for rank in ranks_in_scores(torch.from_numpy(scores[i : i + 1]), judged(relevant[i]))
    ]


def random_judged(seed: int) -> tuple[torch.Tensor, torch.Tensor, list[dict[int, int]]]:
    """Embeddings of 20 queries and 40 documents, and up to 15 relevant documents of grades 1 to 3 per query."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    relevant = [
        {int(i): int(rng.integers(1, 4)) for i in rng.permutation(40)[: rng.integers(1, 16)]} for _ in range(20)
    ]
    return torch.randn(20, 6, generator=generator), torch.randn(40, 6, generator=generator), relevant


def test_ndcg_is_that_of_scikit_learn():
    from sklearn.metrics import ndcg_score

    queries, documents, relevant = random_judged(0)
    judgments = Judgments.of(relevant)
    grades = np.array([[row.get(i, 0) for i in range(40)] for row in relevant])
    found = retrieval_metrics(ranks_of_relevant(queries, documents, judgments), judgments)
    assert found["ndcg@10"] == pytest.approx(ndcg_score(grades, (queries @ documents.T).numpy(), k=10), abs=1e-9)


def test_metrics_are_those_of_sentence_transformers():
    """Its evaluator has binary relevance and MAP at a cut-off: all 40 documents here."""
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    from sentence_transformers.util import dot_score

    queries, documents, relevant = random_judged(1)
    judgments = Judgments.of(dict.fromkeys(row, 1) for row in relevant)
    embeddings = {f"q{i}": row for i, row in enumerate(queries)} | {f"d{i}": row for i, row in enumerate(documents)}

    class Given:
        similarity_fn_name = "dot"
        model_card_data = None

        def encode_query(self, texts: list[str], **_: object) -> torch.Tensor:
            return torch.stack([embeddings[text] for text in texts])

        encode_document = encode_query

    evaluator = InformationRetrievalEvaluator(
        {f"q{i}": f"q{i}" for i in range(20)},
        {f"d{i}": f"d{i}" for i in range(40)},
        {f"q{i}": {f"d{document}" for document in row} for i, row in enumerate(relevant)},
        accuracy_at_k=[1],
        precision_recall_at_k=[1, 5, 10],
        mrr_at_k=[10, 40],
        map_at_k=[40],
        score_functions={"dot": dot_score},
        write_csv=False,
    )
    theirs = evaluator.compute_metrices(Given())["dot"]
    found = retrieval_metrics(ranks_of_relevant(queries, documents, judgments), judgments)
    expected = {
        "mrr": theirs["mrr@k"][40],
        "mrr@10": theirs["mrr@k"][10],
        "ndcg@10": theirs["ndcg@k"][10],
        "map": theirs["map@k"][40],
        **{f"recall@{k}": theirs["recall@k"][k] for k in (1, 5, 10)},
    }
    assert found == pytest.approx(expected, abs=1e-9)
