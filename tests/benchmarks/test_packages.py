"""The rank that fused search gives a function, against numbers worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.packages import ALONE, fused_rank, render

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


def result(beside: str) -> dict[str, Any]:
    """Two packages: fused is .1 above BM25 with the whole interval, and .01 below it."""
    mrr = {"bm25": 0.5, "untuned": 0.4, "tuned": 0.5, "untuned, fused": 0.5, "tuned, fused": 0.6}
    package = {
        "name": "a",
        "version": "1",
        "functions": {"train": 1500, "valid": 100, "test": 400},
        "mrr": mrr,
        "gain": {"of": "tuned, fused", "difference": 0.1, "low": 0.05, "high": 0.15},
        "seconds": {"mine": 10.0, "tune": 80.0, "index": 20.0, "search": 10.0} if beside == ALONE else None,
    }
    below = package | {"name": "b", "gain": {"of": "tuned, fused", "difference": -0.01, "low": -0.05, "high": 0.03}}
    made = {"commit": "0123456789", "dirty": False, "processor": "A", "cpus": 2}
    return {"beside": beside, "packages": [package, below], "command": "c", "date": "2026-01-02", "provenance": made}


def test_seconds_are_given_only_of_a_machine_that_did_nothing_else() -> None:
    alone, busy = render(result(ALONE)), render(result("a test suite"))
    assert "| +0.100 (+0.050 to +0.150) | 10 | 80 | 20 | 10 | 120 |" in alone and "2.0 minutes" in alone
    assert "| +0.100 (+0.050 to +0.150) |\n" in busy and "minutes" not in busy
    assert "No seconds are given: beside it ran a test suite." in busy
    for text in (alone, busy):
        head, line, *rows = (row for row in text.splitlines() if row.startswith("|"))
        assert {row.count("|") for row in (head, line, *rows)} == {head.count("|")}
        assert (
            "Tuned, fused scores above BM25 on 1 of 2 (to reach: 4; **not met**), on 1 with the whole interval" in text
        )
