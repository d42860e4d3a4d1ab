"""Near-duplicates: the estimate of similarity, what it is taken of, and which text stays."""

from __future__ import annotations

import random

import numpy as np
import pytest

from telly.mining.duplicates import NearDuplicates, signature


def words(shared: int, own: int, seed: int, text: str = "") -> str:
    """A text of words, the first of which every seed of the same text shares."""
    rng = random.Random(seed)
    return " ".join([f"{text}{n}" for n in range(shared)] + [f"o{rng.randrange(10**9)}" for _ in range(own)])


def similarity(one: str, other: str, language: str = "") -> float:
    return float(np.mean(signature(one, language) == signature(other, language)))


@pytest.mark.parametrize(("shared", "own"), [(404, 0), (364, 40), (204, 200), (4, 400)])
def test_the_share_of_equal_values_estimates_jaccards_similarity_of_shingles(shared: int, own: int) -> None:
    """A text of n words has n - 4 shingles of five; of two texts with s first words in common s - 4 are shared."""
    expected = (shared - 4) / (shared - 4 + 2 * own)
    found = [similarity(*(words(shared, own, 2 * n + at, f"w{n}_") for at in (0, 1))) for n in range(20)]
    assert np.mean(found) == pytest.approx(expected, abs=3 * (expected * (1 - expected) / 64 / 20) ** 0.5 + 1e-9)


def test_shingles_are_of_five_tokens_in_their_order() -> None:
    assert similarity("a b c d e", "a  b\nc\td e") == 1
    assert similarity("a b c d e", "e d c b a") == 0
    assert 0 < similarity("a b c d e f", "a b c d e g") < 1, "one of three shingles is shared"
    assert similarity("a.b(c)", "a . b ( c )") == 1, "signs are tokens"
    assert similarity("a b", "a b c") == 0, "a shorter text is one shingle"


def test_the_first_of_near_duplicates_stays() -> None:
    near = NearDuplicates()
    assert near.add(signature(words(300, 10, 1)))
    assert near.has(signature(words(300, 10, 2))), "296 of 316 shingles are shared"
    assert not near.add(signature(words(300, 10, 2)))
    assert not near.has(signature(words(300, 300, 3))), "296 of 606 are .49"
    assert near.add(signature(words(300, 300, 3)))
    assert not near.add(signature(words(300, 300, 3)))


def test_the_threshold_decides() -> None:
    one, other = signature(words(300, 30, 1)), signature(words(300, 30, 2))  # 296 of 356 are .83
    share = float(np.mean(one == other))
    for similarity_, expected in ((share, False), (share + 0.01, True)):
        near = NearDuplicates(similarity_)
        near.add(one)
        assert near.add(other) is expected


def test_indentation_counts_in_python_alone() -> None:
    loop = "for a in b:\n    if a:\n        c(a)\n        d(a)\nreturn b"
    moved = "for a in b:\n    if a:\n        c(a)\n    d(a)\nreturn b"
    assert similarity(loop, moved) == similarity(loop, moved, "ruby") == 1
    assert similarity(loop, moved, "python") < 0.8
    wider = loop.replace("    ", "\t")
    assert similarity(loop, wider, "python") == 1, "how far a block is indented does not count"
    commented = loop.replace("        d(a)", "# c\n        d(a)")
    assert np.array_equal(signature(commented.replace("# c\n", ""), "python"), signature(loop, "python"))
    assert similarity(loop + "\n        # e", loop + " # e", "python") == 1, "nor where a comment stands"
