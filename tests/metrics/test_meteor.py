"""METEOR and its stemmer: by hand, and equal to nltk's on random and real texts."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.stem.porter import PorterStemmer
from nltk.translate.meteor_score import single_meteor_score

from telly.metrics.bleu import summary_tokens
from telly.metrics.meteor import meteor, sentence_meteor
from telly.metrics.porter import stem
from telly.tasks import get_spec

_ENDINGS = (
    "ational tional enci anci izer bli alli entli eli ousli ization ation ator alism iveness fulness ousness aliti "
    "iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent ion "
    "ou ism ate iti ous ive ize s ies sses ss eed ed ing ied y e ll"
)
ENDINGS = _ENDINGS.split()
WORDS = st.text("aeioybctlsz", max_size=6).flatmap(lambda root: st.sampled_from([root, *(root + e for e in ENDINGS)]))
TEXTS = st.lists(
    st.sampled_from(["a", "the", "run", "runs", "running", "runner", "cat", "cats", "."]), max_size=10
).map(" ".join)


class NoSynonyms:
    """A wordnet that knows no word."""

    def synsets(self, word: str) -> list[object]:
        return []


def oracle(prediction: str, reference: str, **options: object) -> float:
    return 100 * single_meteor_score(reference.split(), prediction.split(), wordnet=NoSynonyms(), **options)


def test_a_text_against_itself_still_pays_for_one_chunk():
    """Three matches in one chunk: 1 - .5 (1/3)^3 = 53/54."""
    assert sentence_meteor("the cat sat", "the cat sat") == pytest.approx(100 * 53 / 54)


def test_swapped_words_are_two_chunks():
    """P = R = 1, two matches in two chunks: 1 - .5 * 1."""
    assert sentence_meteor("a b", "b a") == pytest.approx(50)


def test_recall_weighs_nine_times_precision():
    """One of one word, one of two: F = (1 * .5) / (.9 * 1 + .1 * .5); the single chunk halves it."""
    assert sentence_meteor("cat", "cat sat") == pytest.approx(100 * 0.5 * 0.5 / 0.95)


def test_stems_match_after_words():
    """`runs` takes the equal word, `running` is left for `run`."""
    assert sentence_meteor("runs running", "run runs") == pytest.approx(50)
    assert sentence_meteor("running", "runs") == pytest.approx(50)


@pytest.mark.parametrize("prediction", ["", "  ", "dog"])
def test_without_a_match_it_is_zero(prediction: str):
    assert sentence_meteor(prediction, "cat") == 0.0


def test_meteor_is_the_mean():
    assert meteor(["a b", ""], ["b a", "c"]) == pytest.approx(25)


@given(TEXTS, TEXTS.filter(bool))
def test_equals_nltk_on_random_texts(prediction: str, reference: str):
    assert sentence_meteor(prediction, reference) == pytest.approx(oracle(prediction, reference))


def test_equals_nltk_on_real_comments():
    """Each comment against itself with words left out, and against another one."""
    lines = get_spec("search").sample.files()["test"].read_text(encoding="utf-8").splitlines()
    comments = [" ".join(summary_tokens(json.loads(line)["query"])) for line in lines]
    generator = random.Random(0)
    thinned = [" ".join(word for word in text.split() if generator.random() > 0.3) for text in comments]
    others = generator.sample(comments, len(comments))
    assert len(comments) == len(lines) >= 900
    for given_text, right in [*zip(thinned, comments, strict=True), *zip(others, comments, strict=True)]:
        assert sentence_meteor(given_text, right) == pytest.approx(oracle(given_text, right)), (given_text, right)


def test_the_comparison_with_nltk_can_fail():
    """Its stemmer without nltk's own changes takes `dies` to `di`, which does not match `die`."""
    original = PorterStemmer(mode=PorterStemmer.ORIGINAL_ALGORITHM)
    assert oracle("dies", "die", stemmer=original) == 0.0
    assert sentence_meteor("dies", "die") == oracle("dies", "die") == 50.0


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("caresses", "caress"), ("ponies", "poni"), ("dies", "die"), ("agreed", "agre"), ("feed", "feed"),
        ("hopping", "hop"), ("falling", "fall"), ("filing", "file"), ("happy", "happi"), ("enjoy", "enjoy"),
        ("relational", "relat"), ("hopefulness", "hope"), ("geologi", "geolog"), ("adoption", "adopt"),
        ("controlling", "control"), ("Skies", "sky"), ("as", "as"), ("", ""),
    ],
)  # fmt: skip
def test_stems(word: str, expected: str):
    assert stem(word) == expected


@given(WORDS)
def test_stems_equal_nltk(word: str):
    assert stem(word) == PorterStemmer().stem(word)


def test_stems_of_every_ending_equal_nltk():
    stemmer = PorterStemmer()
    words = [root + ending for root in ("", "t", "tr", "at", "troub", "relat", "hop", "fall", "y", "yyy", "xyl")
             for ending in ENDINGS]  # fmt: skip
    assert len(words) > 600
    assert [stem(word) for word in words] == [stemmer.stem(word) for word in words]
