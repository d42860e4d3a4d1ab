"""`telly.score`: metrics of predictions in files, from any model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from telly.metrics.interval import PairedComparison
from telly.tasks.scoring import Scores
from telly.tasks.scoring import score as score_files


@dataclass(frozen=True)
class ScoreResult:
    """Scores of a file of predictions, and how they differ from another file's.

    Attributes:
        scores: scores of the predictions.
        other: scores of the other file's predictions; None without another file.
        comparisons: difference (first minus other), its interval and p-value, by metric.
    """

    scores: Scores
    other: Scores | None
    comparisons: dict[str, PairedComparison]


def score(
    task: str,
    gold: str | Path,
    predictions: str | Path,
    compare: str | Path | None = None,
    *,
    by_line: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> ScoreResult:
    """Score predictions against the right answers, with confidence intervals.

    Example:
        >>> import telly
        >>> telly.score("generate", "test.gold", "test.output").scores.values
        {'bleu': 30.06, 'exact_match': 16.45, 'edit_similarity': 61.7}

    Args:
        task: name of the task.
        gold: file of the right answers.
        predictions: file of the predictions, such as a run's `predictions.jsonl`.
        compare: predictions of another system for the same examples.
        by_line: match predictions to answers line by line, even if both have ids.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        ConfigError: there is no such task.
        DataError: a file cannot be read, or the files do not fit each other.
    """
    other = None if compare is None else Path(compare)
    return ScoreResult(*score_files(task, Path(gold), Path(predictions), other, resamples, seed, by_line))
