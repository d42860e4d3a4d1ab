"""BLEU by numbers that can be checked by hand. The published predictions are scored in tests/cli/test_score.py."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nltk.translate.bleu_score import corpus_bleu as nltk_bleu

from telly.errors import DataError
from telly.metrics.bleu import bleu_of_sums, bleu_statistics, corpus_bleu, sentence_bleu, summary_bleu, summary_tokens

WORDS = st.lists(st.sampled_from(["a", "b", "c", "the", "cat", "sat", "."]), min_size=1, max_size=12).map(" ".join)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Returns the User's name.", ["returns", "the", "user", "'", "s", "name", "."]),
        ("get_user_id", ["get", "_", "user", "_", "id"]),
        ("3.5 a,b", ["3", ".", "5", "a", ",", "b"]),
        ("x &lt; y", ["x", "&", "lt", ";", "y"]),  # the marks are split before entities could be read
        ("  ", []),
    ],
)
def test_tokens_of_summaries(text: str, tokens: list[str]):
    assert summary_tokens(text) == tokens


def test_sentence_bleu_by_hand():
    """1-grams 3/4; then with one added to both: (1+1)/(3+1), (0+1)/(2+1), (0+1)/(1+1). The product is 1/16."""
    assert sentence_bleu("a b c d", "a b x d") == pytest.approx(50.0)


def test_a_short_sentence_pays_for_brevity():
    """All precisions are 1 (without 3-grams: (0+1)/(0+1)); exp(1 - (3+1)/(2+1)) = exp(-1/3)."""
    assert sentence_bleu("the cat", "the cat sat") == pytest.approx(100 * math.exp(-1 / 3))


def test_case_and_punctuation_do_not_hide_a_match():
    assert sentence_bleu("Returns the_name.", "returns the _ name .") == 100.0


def test_without_a_common_word_sentence_bleu_is_zero():
    """Smoothing starts at 2-grams, so the 1-gram precision of 0 makes the mean 0."""
    assert sentence_bleu("a b", "c d") == 0.0


@pytest.mark.parametrize("empty", ["", " \t"])
def test_an_empty_prediction_scores_zero(empty: str):
    """CodeXGLUE's evaluator would give exp(-1) = 36.8 % for nothing, where the reference has one word."""
    assert sentence_bleu(empty, "word") == 0.0
    assert corpus_bleu([empty], ["word"]) == 0.0


def test_corpus_bleu_by_hand():
    """One is added for all n: 4/5, 2/4, 1/3, 1/2 multiply to 1/15; equal lengths, so no penalty."""
    assert corpus_bleu(["a b c d"], ["a b x d"]) == pytest.approx(100 * (1 / 15) ** 0.25)


@given(st.lists(st.tuples(WORDS.filter(lambda text: len(text.split()) > 3), WORDS), min_size=1, max_size=6))
def test_corpus_bleu_equals_nltk_with_codexglues_smoothing(pairs: list[tuple[str, str]]):
    """CodeXGLUE's text-to-code evaluator adds one to matches and totals of every n; the rest is nltk's own.

    Only with predictions of four words and a match: nltk counts 1 n-gram where there is none, and gives 0 for no match.
    """

    def plus_one(shares: list[Fraction], **_: object) -> list[float]:
        return [(share.numerator + 1) / (share.denominator + 1) for share in shares]

    assume(any(set(prediction.split()) & set(reference.split()) for prediction, reference in pairs))
    predictions, references = zip(*pairs, strict=True)
    right, given_words = [[text.split()] for text in references], [text.split() for text in predictions]
    expected = nltk_bleu(right, given_words, smoothing_function=plus_one)
    assert corpus_bleu(predictions, references) == pytest.approx(100 * expected)


def test_corpus_bleu_sums_before_it_divides():
    """Matches 4+0 of 4+1 1-grams, 3 of 3, 2 of 2, 1 of 1: 5/6 * 1 * 1 * 1; lengths 5 and 5."""
    assert corpus_bleu(["a b c d", "x"], ["a b c d", "y"]) == pytest.approx(100 * (5 / 6) ** 0.25)


def test_corpus_bleu_sees_case_and_only_splits_at_white_space():
    assert corpus_bleu(["Foo ( )"], ["foo ( )"]) < 100.0
    assert corpus_bleu(["foo()"], ["foo ( )"]) < 100.0


def test_an_empty_prediction_in_a_corpus_costs_its_reference_length():
    """4 of 4 words of the one, nothing of the other: all precisions 1, exp(1 - 8/4)."""
    assert corpus_bleu(["a b c d", ""], ["a b c d", "e f g h"]) == pytest.approx(100 * math.exp(-1))


def test_repeated_words_match_no_more_often_than_the_reference_has_them():
    assert bleu_statistics(["the the the"], ["the cat"]).tolist() == [[1, 0, 0, 0, 3, 2, 1, 0, 3, 2]]


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6), st.randoms())
def test_bounds_and_order(pairs: list[tuple[str, str]], random):
    shuffled = random.sample(pairs, len(pairs))
    for bleu in (corpus_bleu, summary_bleu):
        value = bleu(*zip(*pairs, strict=True))
        assert 0 <= value <= 100 + 1e-9
        assert value == pytest.approx(bleu(*zip(*shuffled, strict=True)))


@given(st.lists(WORDS, min_size=1, max_size=6))
def test_identical_texts_score_100(texts: list[str]):
    assert corpus_bleu(texts, texts) == pytest.approx(100)
    assert summary_bleu(texts, texts) == pytest.approx(100)


def test_the_sums_of_several_resamples_are_scored_at_once():
    rows = bleu_statistics(["a b c d", "x"], ["a b c d", "y"])
    both, first = bleu_of_sums(rows.sum(axis=0)), bleu_of_sums(rows[0])
    stacked = bleu_of_sums(rows.cumsum(axis=0))  # the first row alone, then both
    assert stacked == pytest.approx([float(first), float(both)])


def test_an_empty_reference_is_an_error():
    with pytest.raises(DataError) as error:
        corpus_bleu(["a", "b"], ["a", " "])
    assert str(error.value) == (
        "reference 2 of 2 is empty: expected the right text; leave such examples out, or use a split with answers "
        "(CodeXGLUE's published line-completion test has none)"
    )


def test_unequal_numbers_and_nothing_are_errors():
    with pytest.raises(ValueError) as unequal:
        summary_bleu(["a"], ["a", "b"])
    assert str(unequal.value) == "1 predictions for 2 references"
    with pytest.raises(ValueError) as nothing:
        summary_bleu([], [])
    assert str(nothing.value) == "nothing to score: expected at least one prediction and its reference"
