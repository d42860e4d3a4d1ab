"""Baselines of other runs, and the comparison of a tuned model with the untuned one.

Scores without tuning are the same for runs that differ only in the parameters they train.
"""

from __future__ import annotations

from pathlib import Path

from telly.errors import DataError
from telly.metrics.interval import Floats
from telly.metrics.per_example import read_per_example
from telly.runs.folder import RECORD_FILE, RunFolder
from telly.runs.parts import UntunedComparison
from telly.runs.record import RunRecord
from telly.settings.lists import BASELINE_SETTINGS
from telly.tuning.session import Run


def reuse_baselines(runs: Path, record: RunRecord) -> tuple[dict[str, dict[str, float]], dict[str, Floats]]:
    """Find the baselines of a finished run with the same weights, data and evaluation settings.

    The untuned model's scores are the same for every K, except for the rounding of cached states.

    Args:
        runs: folder whose sub-folders may be runs.
        record: record of the run that needs baselines, with its model and data.

    Returns:
        the baselines, and the untuned model's statistics per example; both empty if no run matches.
    """
    for file in sorted(runs.glob(f"*/{RECORD_FILE}")):
        try:
            other = RunRecord.read(file)
            if other.status == "finished" and other.baselines and _conditions(other) == _conditions(record):
                untuned = read_per_example(RunFolder(file.parent).untuned_scores)
                return other.baselines, {name: statistic.rows for name, statistic in untuned.items()}
        except DataError:
            continue
    return {}, {}


def has_scores(file: Path) -> bool:
    """True if statistics per example can be read from a file."""
    try:
        return bool(read_per_example(file))
    except DataError:
        return False


def compare_with_untuned(run: Run, untuned: str) -> UntunedComparison | None:
    """Compare the tuned model with the untuned one on the test examples, by what the run has saved of both.

    The metric is the one that selected the best epoch or, if it cannot be resampled, the task's usual one.

    Args:
        run: the run, with its test scores.
        untuned: name of the untuned model among the baselines.

    Returns:
        the comparison, or None if there are no statistics per example.
    """
    folder, record = run.folder, run.record
    if not (has_scores(folder.scores) and has_scores(folder.untuned_scores)):
        return None
    # Both from files, which have 32-bit values: an unchanged model must not differ by the rounding.
    tuned, before = read_per_example(folder.scores), read_per_example(folder.untuned_scores)
    names = (run.config.metric, run.task.preset.metric)
    metric = next((name for name in names if name in tuned and name in before), None)
    if metric is None:
        return None
    beams = getattr(run.config.options, "beams", 1)
    notes = []
    if beams > 1:
        notes.append(f"the tuned model decoded with {beams} beams, the untuned one greedily")
    if record.tested_on == "valid":
        notes.append("these examples also chose the best epoch")
    return UntunedComparison.of(metric, tuned[metric], before[metric], untuned, tuple(notes))


def _conditions(record: RunRecord) -> tuple[object, ...]:
    data = {split: info.fingerprint for split, info in record.data.items()}
    settings = [record.config.values.get(name) for name in BASELINE_SETTINGS]
    weights = record.model and record.model.layers_fingerprint
    return record.baselines_version, weights, record.embedding and record.embedding.fingerprint, data, settings
