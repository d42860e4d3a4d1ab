"""The rank that fused search gives a function, against numbers worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.packages import fused_rank

COSINES = np.array([0.9, 0.8, 0.1, 0.7], dtype=np.float32)  # order: 0, 1, 3, 2


@pytest.mark.parametrize(
    ("words", "target", "rank"),
    [
        # By words the order is 1, 3; 1/61 + 1/62 for function 1 beats the 1/62 + 1/63 of 3 and the 1/61 of 0.
        ([0.0, 5.0, 0.0, 2.0], 1, 1),
        ([0.0, 5.0, 0.0, 2.0], 3, 2),
        ([0.0, 5.0, 0.0, 2.0], 0, 3),
        # No word is known: the vectors' order alone.
        ([0.0, 0.0, 0.0, 0.0], 0, 1),
        ([0.0, 0.0, 0.0, 0.0], 2, 4),
        # By words 2 is first: 1/61 + 1/64 lies before the 1/61 of 0.
        ([0.0, 0.0, 9.0, 0.0], 2, 1),
    ],
)
def test_the_rank_in_the_fused_order(words: list[float], target: int, rank: int) -> None:
    assert fused_rank(COSINES, np.array(words, dtype=np.float32), target) == rank


def test_a_tie_counts_against_the_target() -> None:
    words = np.array([1.0, 9.0, 0.0, 0.0], dtype=np.float32)  # 0 and 1 are first and second, and second and first
    assert fused_rank(COSINES, words, 0) == 2
    assert fused_rank(COSINES, words, 1) == 2


def test_a_function_that_neither_order_has_is_last() -> None:
    rng = np.random.default_rng(0)
    cosines = np.sort(rng.random(300).astype(np.float32))[::-1].copy()
    assert fused_rank(cosines, np.zeros(300, dtype=np.float32), 299) == 300
    assert fused_rank(cosines, np.zeros(300, dtype=np.float32), 99) == 100
