"""The test scores of every example that a run keeps beside its record: intervals and paired tests need no model."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from telly.errors import DataError
from telly.metrics import classification
from telly.metrics.bleu import bleu_of_sums
from telly.metrics.interval import Floats, Statistic, mean_statistic

_OF_SUMS: Mapping[str, Callable[[Floats], Floats]] = {"bleu": bleu_of_sums, **classification.OF_SUMS}
"""Metrics that are no means of one value an example."""


def write_scores(file: Path, scores: Mapping[str, Floats]) -> None:
    """Write the rows of metrics, [examples, columns] each, as 32-bit floats; the file is whole or not there.

    Raises:
        ValueError: rows of several columns, of a metric of which is not known what it makes of their sums.
    """
    for name, rows in scores.items():
        restored(name, rows)
    partial = file.with_suffix(f".{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            np.savez_compressed(stream, **{name: rows.astype(np.float32) for name, rows in scores.items()})  # type: ignore[arg-type]
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def read_scores(file: Path) -> dict[str, Statistic]:
    """The metrics of a file of `write_scores`.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with np.load(file, allow_pickle=False) as found:
            return {name: restored(name, found[name].astype(np.float64)) for name in found.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file}: cannot be read as the scores of a run ({error}); run it again") from None


def restored(name: str, rows: Floats) -> Statistic:
    """A metric from its rows: one column is averaged, several have the function of that name.

    Raises:
        ValueError: there is none.
    """
    if rows.ndim == 2 and rows.shape[1] == 1 and len(rows):
        return mean_statistic(rows[:, 0])
    if rows.ndim != 2 or not len(rows) or name not in _OF_SUMS:
        raise ValueError(f"{name}: no metric is known that sums up rows of shape {rows.shape}")
    return Statistic(rows, _OF_SUMS[name])
