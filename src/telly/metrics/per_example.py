"""Per-example statistics that a run saves beside its record, so that intervals and paired tests need no model."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from telly.disk import whole_file
from telly.errors import DataError
from telly.metrics import classification
from telly.metrics.bleu import bleu_of_sums
from telly.metrics.interval import Floats, Statistic, mean_statistic

_OF_SUMS: Mapping[str, Callable[[Floats], Floats]] = {"bleu": bleu_of_sums, **classification.OF_SUMS}
"""Functions from summed rows to the metric, for metrics that are not the mean of one value per example."""


def write_per_example(file: Path, per_example: Mapping[str, Floats]) -> None:
    """Write per-example rows of metrics, [examples, columns] each, as 32-bit floats; the file is whole or absent.

    Raises:
        ValueError: rows of several columns for a metric without a function of their sums.
    """
    for name, rows in per_example.items():
        statistic_from_rows(name, rows)  # refuses what `read_per_example` could not read back
    with whole_file(file) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **{name: rows.astype(np.float32) for name, rows in per_example.items()})  # type: ignore[arg-type]


def read_per_example(file: Path) -> dict[str, Statistic]:
    """Read the metrics of a file that `write_per_example` wrote.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: statistic_from_rows(name, arrays[name].astype(np.float64)) for name in arrays.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file}: cannot be read as the scores of a run ({error}); run it again") from None


def statistic_from_rows(name: str, rows: Floats) -> Statistic:
    """Build a metric from its rows: one column is averaged, several columns need the function of that name.

    Raises:
        ValueError: there is no such function, or the rows have another shape.
    """
    if rows.ndim == 2 and rows.shape[1] == 1 and len(rows):
        return mean_statistic(rows[:, 0])
    if rows.ndim != 2 or not len(rows) or name not in _OF_SUMS:
        raise ValueError(f"{name}: no metric is known that sums up rows of shape {rows.shape}")
    return Statistic(rows, _OF_SUMS[name])
