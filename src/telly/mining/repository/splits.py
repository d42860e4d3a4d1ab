"""Assignment of files to splits by a hash of the path, or by the date of the last change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from telly.errors import ConfigError

SPLITS = ("train", "valid", "test")
SplitCriterion = Literal["file", "date"]


@dataclass(frozen=True)
class SplitRatios:
    """Fractions of the data for validation and test; the rest is for training.

    They are fractions of the files in `by_path`, about met, and of the functions in `by_date`, at most met.

    Raises:
        ConfigError: a ratio is below 0 or at least 1, or nothing is left for training.
    """

    valid: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        for name, ratio in (("valid", self.valid), ("test", self.test)):
            if not 0 <= ratio < 1:
                raise ConfigError(f"the share of {name} must be at least 0 and less than 1, found {ratio:g}")
        if self.valid + self.test >= 1:
            raise ConfigError(f"valid and test take {self.valid + self.test:g} of the data; leave some for training")


def by_path(path: str, ratios: SplitRatios) -> str:
    """The split of a file by its path alone, so that it stays there when the repository grows."""
    digest = hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    fraction = int.from_bytes(digest, "big") / 2**64
    if fraction < ratios.test:
        return "test"
    return "valid" if fraction < ratios.test + ratios.valid else "train"


def by_date(functions: Mapping[str, int], dates: Mapping[str, int], ratios: SplitRatios) -> dict[str, str]:
    """Splits of the files: the newest are for the test, those before them for validation.

    Args:
        functions: number of functions of each file.
        dates: time of the last change of each file; a file without one counts as new.
        ratios: ratios of the functions. A file is never divided, nor are files of the same date, since they were
            written together: they go to the older of the splits.
    """
    undated = float("inf")
    total = sum(functions.values())
    newest_first = sorted(functions, key=lambda path: dates.get(path, undated), reverse=True)
    paths_by_date: dict[float, list[str]] = {}
    for path in newest_first:
        paths_by_date.setdefault(dates.get(path, undated), []).append(path)
    splits: dict[str, str] = {}
    count = 0
    limits = (("test", ratios.test * total), ("valid", (ratios.test + ratios.valid) * total))
    # From the newest on: files of one date are in the test split, or in validation, only if all of them fit.
    for paths in paths_by_date.values():
        count += sum(functions[path] for path in paths)
        split = next((name for name, limit in limits if count <= limit), "train")
        splits.update(dict.fromkeys(paths, split))
    return splits
