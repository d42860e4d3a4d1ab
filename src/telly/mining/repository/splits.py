"""Which split a file belongs to: by a hash of its path, or by when it was last changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from telly.errors import ConfigError

SPLITS = ("train", "valid", "test")
By = Literal["file", "date"]


@dataclass(frozen=True)
class SplitRatios:
    """Which part of the functions is for validation and which for the test; the rest is for training.

    Raises:
        ConfigError: a share is no share, or nothing is left for training.
    """

    valid: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        for name, share in (("valid", self.valid), ("test", self.test)):
            if not 0 <= share < 1:
                raise ConfigError(f"the share of {name} must be at least 0 and less than 1, found {share:g}")
        if self.valid + self.test >= 1:
            raise ConfigError(f"valid and test take {self.valid + self.test:g} of the data; leave some for training")


def by_path(path: str, shares: SplitRatios) -> str:
    """The split of a file by its path alone, so it stays there when the repository grows."""
    digest = hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    if place < shares.test:
        return "test"
    return "valid" if place < shares.test + shares.valid else "train"


def by_date(functions: Mapping[str, int], dates: Mapping[str, int], shares: SplitRatios) -> dict[str, str]:
    """The splits of files: the newest are for the test, those before them for validation.

    Args:
        functions: how many functions each file has.
        dates: when each file was last changed; a file without a date counts as new.
        shares: of the functions. A file is never divided, and files of one date are neither: they go to the split
            that is older in time, since they were written together.
    """
    newest = float("inf")
    total = sum(functions.values())
    order = sorted(functions, key=lambda path: dates.get(path, newest), reverse=True)
    same: dict[float, list[str]] = {}
    for path in order:
        same.setdefault(dates.get(path, newest), []).append(path)
    found: dict[str, str] = {}
    taken = 0
    limits = (("test", shares.test * total), ("valid", (shares.test + shares.valid) * total))
    for paths in same.values():
        taken += sum(functions[path] for path in paths)
        split = next((name for name, limit in limits if taken <= limit), "train")
        found.update(dict.fromkeys(paths, split))
    return found
