"""The metrics of a task in one call."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telly.errors import DataError
from telly.metrics.answers import GRADE_MARK, answer_of, graded
from telly.metrics.ranking import clone_retrieval_statistics, search_statistics
from telly.metrics.suites import completion, generation, summarization
from telly.metrics.table import METRICS
from telly.tasks import TASKS

SUITES = (summarization, generation, completion)
TEXTS = st.lists(st.sampled_from(["a", "b", "c", "get", "gets", "x_y", "(", ";"]), min_size=1, max_size=9).map(" ".join)


def test_summarization_by_hand():
    """Both exact: METEOR loses half of (1/4)^3 to its one chunk; CIDEr is 10 since no word is in both."""
    texts = ["a b c d", "e f g h"]
    expected = {"bleu": 100, "meteor": 100 * (1 - 0.5 / 64), "rouge_l": 100, "cider": 10}
    assert summarization(texts, texts) == pytest.approx(expected)


def test_generation_by_hand():
    """One of two is exact. In the other one character of 7 goes out and one comes in: 1 - 2/14 is 86 %."""
    found = generation(["a b c d", "a b c c"], ["a b c d", "a b c d"])
    bleu = 100 * ((8 / 9) * (6 / 7) * (4 / 5) * (2 / 3)) ** 0.25  # 7 of 8, 5 of 6, 3 of 4, 1 of 2, each plus one
    assert found == pytest.approx({"bleu": bleu, "exact_match": 50, "edit_similarity": (100 + 86) / 2})


def test_completion_restores_literals():
    assert completion(["x = <NUM_LIT:7> ;"], ["x = 7 ;"]) == {"exact_match": 100, "edit_similarity": 100}
    assert generation(["x = <NUM_LIT:7> ;"], ["x = 7 ;"])["exact_match"] == 0, "only line completion has placeholders"


@pytest.mark.parametrize("suite", SUITES)
def test_empty_predictions_score_zero(suite):
    assert set(suite(["", " "], ["a b", "c"]).values()) == {0.0}


@pytest.mark.parametrize("suite", SUITES)
def test_an_empty_reference_is_an_error(suite):
    with pytest.raises(DataError, match="reference 1 of 1 is empty"):
        suite(["a"], [""])


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6), st.randoms())
def test_bounds_and_order(pairs: list[tuple[str, str]], generator):
    shuffled = generator.sample(pairs, len(pairs))
    for suite in SUITES:
        found = suite(*zip(*pairs, strict=True))
        assert found == pytest.approx(suite(*zip(*shuffled, strict=True)))
        for name, value in found.items():
            assert -1e-9 <= value <= (10 if name == "cider" else 100) + 1e-9


def test_ranks_by_hand():
    """Answers at 1, at 2 and nowhere: MRR (1 + 1/2 + 0) / 3; with one answer a query MAP is the same."""
    found = {name: s.value for name, s in search_statistics(["a b", "a b", "a b"], ["a", "b", "c"]).items()}
    expected = {"mrr": 0.5, "recall@1": 1 / 3, "recall@5": 2 / 3, "recall@10": 2 / 3, "map": 0.5, "mrr@10": 0.5}
    assert found == pytest.approx(expected | {"ndcg@10": (1 + 1 / math.log2(3)) / 3})


def test_several_answers_by_hand():
    """Right ones at 2 and 4 of three: MRR 1/2, recall@5 2/3, average precision (1/2 + 2/4) / 3."""
    found = {name: s.value for name, s in search_statistics(["x a y b"], ["a b c"]).items()}
    ndcg = (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 1 / math.log2(4))
    expected = {"mrr": 1 / 2, "recall@1": 0, "recall@5": 2 / 3, "recall@10": 2 / 3, "map": 1 / 3, "mrr@10": 1 / 2}
    assert found == pytest.approx(expected | {"ndcg@10": ndcg})


def test_grades_are_gains_and_every_answer_of_a_grade_counts_once_in_the_other_metrics():
    """Grade 2 at rank 2 and grade 1 at rank 1; the ideal order has grade 2 first."""
    right = answer_of({"a": 1, "b": 2})
    assert (right, graded(right)) == (f"a b{GRADE_MARK}2", {"a": 1, "b": 2})
    found = {name: s.value for name, s in search_statistics(["a b c"], [right]).items()}
    ndcg = (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))
    expected = {"mrr": 1, "recall@1": 0.5, "recall@5": 1, "recall@10": 1, "map": 1, "mrr@10": 1, "ndcg@10": ndcg}
    assert found == pytest.approx(expected)


def test_answers_beyond_the_tenth_count_in_map_and_mrr_alone():
    found = {name: s.value for name, s in search_statistics(["x0 x1 x2 x3 x4 x5 x6 x7 x8 x9 a"], ["a"]).items()}
    assert (found["mrr"], found["map"], found["mrr@10"], found["ndcg@10"]) == (1 / 11, 1 / 11, 0, 0)


def test_clone_retrieval_looks_at_the_first_r_by_hand():
    """R = 2; right ones at 2 and 3: the third does not count. (1/2) / 2, and one of two."""
    found = {name: s.value for name, s in clone_retrieval_statistics(["x a b"], ["a b"]).items()}
    assert found == pytest.approx({"map@r": 0.25, "r_precision": 0.5})


def test_every_metric_is_in_the_table():
    pairs = {"search": ("a b", "a"), "clone-retrieval": ("a", "a")}
    found = set()
    for task, spec in TASKS.items():
        given_text, right = pairs.get(task, ("1", "1"))
        found |= set(spec.score([given_text] * 2, [right] * 2))
    assert found <= set(METRICS)
    assert set(METRICS) - found == {"roc_auc"}, "needs scores, which files of labels do not have"
    assert all(metric.greater_is_better for metric in METRICS.values())


def test_the_tables_do_not_import_heavy_libraries():
    code = (
        "import sys, telly.metrics.table, telly.metrics.answers\n"
        "print([name for name in ('torch', 'numpy', 'rapidfuzz') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.strip() == "[]"


def test_metrics_of_texts_do_not_import_torch():
    code = "import sys, telly.tasks.scoring; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.strip() == "False"
