"""ROUGE-L and CIDEr: by hand, and equal to pycocoevalcap's on random and real texts."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from telly.metrics.bleu import summary_tokens
from telly.metrics.cider import cider, sentence_ciders
from telly.metrics.rouge import rouge_l, sentence_rouge_l
from telly.tasks import get_spec

TEXTS = st.lists(st.sampled_from(["a", "b", "c", "the", "cat", "sat", "."]), max_size=10).map(" ".join)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS.filter(bool)), min_size=1, max_size=8)


def oracle(scorer: Cider | Rouge, predictions: list[str], references: list[str]) -> np.ndarray:
    """That library wants lower-case words one blank apart."""
    given_texts = {i: [" ".join(text.lower().split())] for i, text in enumerate(predictions)}
    right = {i: [" ".join(text.lower().split())] for i, text in enumerate(references)}
    return scorer.compute_score(right, given_texts)[1]


def test_rouge_by_hand():
    """Common subsequence `a c`: P = 2/2, R = 2/4; 2.44 * 1 * .5 / (.5 + 1.44 * 1) = 1.22 / 1.94."""
    assert sentence_rouge_l("A c", "a b c d") == pytest.approx(100 * 1.22 / 1.94)


@pytest.mark.parametrize("prediction", ["", " ", "x y"])
def test_rouge_without_a_common_word_is_zero(prediction: str):
    assert sentence_rouge_l(prediction, "a b") == 0.0


def test_rouge_is_the_mean():
    assert rouge_l(["a", ""], ["a", "b"]) == pytest.approx(50)


def test_cider_of_the_references_themselves_is_ten():
    """All four cosines are 1, no difference in length."""
    assert sentence_ciders(["a b c d", "e f g h"], ["a b c d", "e f g h"]) == pytest.approx([10, 10])


def test_cider_of_one_word_has_only_the_first_of_four_cosines():
    assert sentence_ciders(["a", "b"], ["a", "b"]) == pytest.approx([2.5, 2.5])


def test_a_word_that_every_reference_has_tells_nothing():
    """idf of `the` is log(2/2) = 0; of `a` log(2/1), so the cosine of 1-grams is 1 and no 2-gram is common."""
    assert sentence_ciders(["a the", "the"], ["the a", "the b"]) == pytest.approx([2.5, 0])


def test_a_difference_in_length_costs():
    """`a a` has one 2-gram and `a` none: exp(-1/72). The weight of 2 is cut at the reference's 1, over a norm of 2."""
    assert sentence_ciders(["a a", "b"], ["a", "b"])[0] == pytest.approx(10 / 4 * math.exp(-1 / 72) * 1 / 2)


def test_cider_of_one_example_is_zero():
    """log(1/1): with one reference no word tells anything. pycocoevalcap has the same."""
    assert cider(["a b c d"], ["a b c d"]) == 0.0
    assert oracle(Cider(), ["a b c d"], ["a b c d"]) == pytest.approx([0])


def test_an_empty_prediction_has_cider_zero():
    assert sentence_ciders(["", "b"], ["a", "b"])[0] == 0.0


@given(PAIRS, st.randoms())
def test_equal_pycocoevalcap_on_random_texts(pairs: list[tuple[str, str]], generator: random.Random):
    predictions, references = map(list, zip(*pairs, strict=True))
    ciders = sentence_ciders(predictions, references)
    assert ciders == pytest.approx(oracle(Cider(), predictions, references))
    rouges = [sentence_rouge_l(p, r) for p, r in pairs]
    assert rouges == pytest.approx(100 * oracle(Rouge(), predictions, references))
    assert 0 <= min(ciders) <= max(ciders) <= 10 + 1e-9
    assert 0 <= min(rouges) <= max(rouges) <= 100 + 1e-9
    shuffled = generator.sample(pairs, len(pairs))
    assert cider(predictions, references) == pytest.approx(cider(*zip(*shuffled, strict=True)))


def test_equal_pycocoevalcap_on_real_comments():
    lines = get_spec("search").sample.files()["valid"].read_text(encoding="utf-8").splitlines()
    references = [" ".join(summary_tokens(json.loads(line)["query"])) for line in lines]
    assert len(references) == 500
    generator = random.Random(0)
    predictions = [" ".join(w for w in text.split() if generator.random() > 0.4) for text in references]
    expected = oracle(Cider(), predictions, references)
    assert sentence_ciders(predictions, references) == pytest.approx(expected)
    assert expected.mean() > 1, "a comparison of zeros would prove nothing"
    rouges = [sentence_rouge_l(p, r) for p, r in zip(predictions, references, strict=True)]
    assert rouges == pytest.approx(100 * oracle(Rouge(), predictions, references))


def test_the_comparison_can_fail():
    """Another beta and another sigma give other numbers."""
    rouge, strict_cider = Rouge(), Cider(sigma=1.0)
    rouge.beta = 1.0
    assert oracle(rouge, ["a c"], ["a b c d"])[0] * 100 != pytest.approx(sentence_rouge_l("a c", "a b c d"))
    predictions, references = ["a a a", "b"], ["a", "b"]
    assert oracle(strict_cider, predictions, references) != pytest.approx(sentence_ciders(predictions, references))
