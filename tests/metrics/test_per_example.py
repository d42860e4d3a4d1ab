"""Per-example statistics in a file: they give back the metric, and a damaged file is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from telly.errors import DataError
from telly.metrics.classification import multiclass_statistics
from telly.metrics.interval import Statistic, values_of
from telly.metrics.judgments import Judgments
from telly.metrics.per_example import read_per_example, write_per_example
from telly.metrics.retrieval import retrieval_statistics
from telly.metrics.suites import completion_statistics, generation_statistics, summarization_statistics

TEXTS = (["a b c d e", "x y", "return x ;"], ["a b c d e f", "x z", "return x ;"])


def statistics_by_task() -> dict[str, dict[str, Statistic]]:
    gold, predicted = np.array([0, 1, 1, 0, 1]), np.array([0, 1, 0, 1, 1])
    return {
        "search": retrieval_statistics(np.array([1, 2, 30, 4]), Judgments.one_each(range(4))),
        "summarize": summarization_statistics(*TEXTS),
        "generate": generation_statistics(*TEXTS),
        "complete": completion_statistics(*TEXTS),
        "two classes": multiclass_statistics(gold, predicted, 2),
        "three classes": multiclass_statistics(gold + 1, predicted, 3),
    }


@pytest.mark.parametrize("name", statistics_by_task())
def test_what_is_saved_gives_back_the_metrics(name: str, tmp_path: Path):
    statistics = statistics_by_task()[name]
    write_per_example(tmp_path / "scores.npz", {metric: s.rows for metric, s in statistics.items()})
    found = read_per_example(tmp_path / "scores.npz")
    assert values_of(found) == pytest.approx(values_of(statistics), rel=1e-6)
    assert all(found[metric].rows.shape == s.rows.shape for metric, s in statistics.items())
    assert [file.name for file in tmp_path.iterdir()] == ["scores.npz"]


def test_rows_of_an_unknown_metric_are_not_written(tmp_path: Path):
    with pytest.raises(ValueError, match="novel: no metric is known that sums up rows of shape"):
        write_per_example(tmp_path / "scores.npz", {"novel": np.ones((3, 2))})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [None, b"", b"not a zip file"])
def test_a_missing_or_damaged_file_is_refused(content: bytes | None, tmp_path: Path):
    file = tmp_path / "scores.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as the scores of a run"):
        read_per_example(file)


def test_pickles_are_not_loaded(tmp_path: Path):
    np.savez(tmp_path / "scores.npz", mrr=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="cannot be read as the scores of a run"):
        read_per_example(tmp_path / "scores.npz")
