"""Reuse of baselines: scores without tuning are the same for runs that differ only in the parameters they train."""

from __future__ import annotations

from pathlib import Path

from telly.errors import DataError
from telly.runs.folder import RECORD_FILE
from telly.runs.record import RunRecord
from telly.settings.lists import BASELINE_SETTINGS


def reuse_baselines(runs: Path, record: RunRecord) -> dict[str, dict[str, float]]:
    """Find the baselines of a finished run with the same weights, data and evaluation settings; empty if none matches.

    The untuned model's scores are the same for every K, except for the rounding of cached states.

    Args:
        runs: folder whose sub-folders may be runs.
        record: record of the run that needs baselines, with its model and data.
    """
    for file in sorted(runs.glob(f"*/{RECORD_FILE}")):
        try:
            other = RunRecord.read(file)
        except DataError:
            continue
        if other.status == "finished" and other.baselines and _conditions(other) == _conditions(record):
            return other.baselines
    return {}


def _conditions(record: RunRecord) -> tuple[object, ...]:
    data = {split: info.fingerprint for split, info in record.data.items()}
    settings = [record.config.values.get(name) for name in BASELINE_SETTINGS]
    weights = record.model and record.model.layers_fingerprint
    return record.baselines_version, weights, record.embedding and record.embedding.fingerprint, data, settings
