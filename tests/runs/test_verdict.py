"""The verdict of a run: better, not decided or worse than the untuned model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from telly.metrics.interval import mean_statistic, paired_bootstrap
from telly.metrics.per_example import write_per_example
from telly.metrics.significance import Verdict
from telly.runs.folder import RunFolder
from telly.runs.parts import UntunedComparison
from telly.tuning.baselines import compare_with_untuned

UNTUNED = np.tile([0.0, 1.0], 100)


def compared(tuned: np.ndarray, metric: str = "mrr", **more: Any) -> UntunedComparison:
    return UntunedComparison.of(metric, mean_statistic(tuned), mean_statistic(UNTUNED), "untuned", **more)


def test_verdicts_by_hand() -> None:
    """All examples gain a tenth: every resample has that difference. An unchanged model has none."""
    better = compared(UNTUNED + 0.1)
    assert better.verdict is Verdict.BETTER
    assert better.sentence == (
        "better than untuned: mrr 0.6000 against 0.5000, difference +0.1000 [+0.1000, +0.1000], paired bootstrap over "
        "200 examples"
    )
    assert compared(UNTUNED - 0.1).sentence.startswith("worse than untuned: mrr 0.4000 against 0.5000")
    same = compared(UNTUNED, "exact_match", notes=("greedily", "on valid"))
    assert same.sentence == (
        "not decided against untuned: exact_match 0.50 against 0.50, difference +0.00 [+0.00, +0.00], paired bootstrap "
        "over 200 examples; greedily; on valid"
    )


def test_the_interval_is_that_of_the_paired_bootstrap_and_decides() -> None:
    """Each of 200 examples changes at random: one gain more than losses is not decided, many more are better."""
    for gains, verdict in ((11, Verdict.OPEN), (40, Verdict.BETTER)):
        tuned = UNTUNED.copy()
        tuned[0 : 2 * gains : 2] = 1  # these were 0
        tuned[1:20:2] = 0  # ten were 1
        one = compared(tuned)
        known = paired_bootstrap({"mrr": mean_statistic(tuned)}, {"mrr": mean_statistic(UNTUNED)})["mrr"]
        assert (one.difference, one.low, one.high) == (known.difference, known.interval.low, known.interval.high)
        assert one.verdict is verdict


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """What the comparison reads of a run."""
    task = SimpleNamespace(preset=SimpleNamespace(metric="f1"))
    config = SimpleNamespace(metric="roc_auc", options=SimpleNamespace(beams=4))
    return SimpleNamespace(
        folder=RunFolder(tmp_path), record=SimpleNamespace(tested_on="valid"), config=config, task=task
    )


def test_an_unchanged_model_does_not_differ_by_rounding_and_notes_say_what_differs(run: Any) -> None:
    """The metric of the settings cannot be resampled, so the task's is compared."""
    rows = {"f1": np.random.default_rng(0).random((50, 3)), "mrr": np.random.default_rng(1).random((50, 1)) / 3}
    assert compare_with_untuned(run, "untuned") is None, "no scores"
    write_per_example(run.folder.scores, rows)
    write_per_example(run.folder.untuned_scores, rows)
    run.config.metric = "mrr"
    found = compare_with_untuned(run, "untuned")
    assert found is not None
    assert (found.metric, found.difference, found.verdict) == ("mrr", 0.0, Verdict.OPEN)
    assert found.notes == (
        "the tuned model decoded with 4 beams, the untuned one greedily",
        "these examples also chose the best epoch",
    )
    run.config.metric = "roc_auc"
    assert compare_with_untuned(run, "untuned").metric == "f1"  # type: ignore[union-attr]
    run.folder.untuned_scores.write_bytes(b"damaged")
    assert compare_with_untuned(run, "untuned") is None
