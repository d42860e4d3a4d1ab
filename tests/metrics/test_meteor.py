"""METEOR and its stemmer: by hand, and as published scores have them, whichever nltk is installed."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.stem.porter import PorterStemmer

from telly.metrics.bleu import summary_tokens
from telly.metrics.meteor import meteor, sentence_meteor
from telly.tasks import get_spec

TEXTS = st.lists(
    st.sampled_from(["a", "the", "run", "runs", "running", "runner", "cat", "cats", "."]), max_size=10
).map(" ".join)


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


def aligned(words: list[str], right: list[str]) -> list[tuple[int, int]]:
    """Matched positions: from the end, each word with the last free equal one; then the same with stems."""
    stem = PorterStemmer().stem
    matches: list[tuple[int, int]] = []
    for form in (str, stem):
        for i in reversed(range(len(words))):
            free = [j for j in range(len(right)) if j not in {used for _, used in matches}]
            equal = [j for j in free if form(right[j]) == form(words[i])]
            if equal and i not in {taken for taken, _ in matches}:
                matches.append((i, equal[-1]))
    return sorted(matches)


def by_hand(prediction: str, reference: str) -> float:
    """The definition, slowly and without nltk's code for anything but stems."""
    words, right = prediction.lower().split(), reference.lower().split()
    matches = aligned(words, right)
    if not matches:
        return 0.0
    precision, recall = len(matches) / len(words), len(matches) / len(right)
    chunks = 1 + sum((i + 1, j + 1) != following for (i, j), following in pairwise(matches))
    return 100 * (1 - 0.5 * (chunks / len(matches)) ** 3) * precision * recall / (0.9 * precision + 0.1 * recall)


@given(TEXTS, TEXTS.filter(bool))
def test_equals_the_definition_on_random_texts(prediction: str, reference: str):
    assert sentence_meteor(prediction, reference) == pytest.approx(by_hand(prediction, reference))


def test_real_comments_keep_the_score_that_was_published():
    """Each comment against itself with words left out, and against another one.

    The means are those of telly's own METEOR and stemmer, which nltk's replaced.
    """
    lines = get_spec("search").sample.files()["test"].read_text(encoding="utf-8").splitlines()
    comments = [" ".join(summary_tokens(json.loads(line)["query"])) for line in lines]
    generator = random.Random(0)
    thinned = [" ".join(word for word in text.split() if generator.random() > 0.3) for text in comments]
    others = generator.sample(comments, len(comments))
    assert len(comments) == len(lines) >= 900
    assert meteor(thinned, comments) == pytest.approx(68.81273823138488, rel=1e-12)
    assert meteor(others, comments) == pytest.approx(7.986657455585757, rel=1e-12)
    for given_text, right in [*zip(thinned, comments, strict=True), *zip(others, comments, strict=True)]:
        expected = by_hand(given_text, right)
        assert sentence_meteor(given_text, right) == pytest.approx(expected), (given_text, right)


def test_the_comparison_can_fail():
    """A stemmer without nltk's own changes takes `dies` to `di`, which does not match `die`."""
    original = PorterStemmer(mode=PorterStemmer.ORIGINAL_ALGORITHM)
    assert original.stem("dies") != original.stem("die")
    assert sentence_meteor("dies", "die") == by_hand("dies", "die") == 50.0


def test_neither_synonyms_nor_a_corpus_are_needed():
    """A wordnet would be read from nltk's data, which is not installed; `large` would match `big`."""
    assert sentence_meteor("a large cat", "a big cat") < sentence_meteor("a big cat", "a big cat")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("caresses", "caress"), ("ponies", "poni"), ("dies", "die"), ("agreed", "agre"), ("feed", "feed"),
        ("hopping", "hop"), ("falling", "fall"), ("filing", "file"), ("happy", "happi"), ("enjoy", "enjoy"),
        ("relational", "relat"), ("hopefulness", "hope"), ("geologi", "geolog"), ("adoption", "adopt"),
        ("controlling", "control"), ("Skies", "sky"), ("as", "as"), ("", ""),
    ],
)  # fmt: skip
def test_stems_on_which_published_scores_rest(word: str, expected: str):
    assert PorterStemmer().stem(word) == expected
