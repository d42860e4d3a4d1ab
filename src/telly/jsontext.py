"""JSON objects of which no key is lost: a key that is given twice is noticed instead of overwritten."""

from __future__ import annotations

from collections import Counter
from typing import Any


class RepeatedKeys(dict[str, Any]):
    """An object in which keys are given more than once; as a dictionary it has the last value of each.

    Attributes:
        repeated: the keys that are given more than once, in the order of their first occurrence.
    """

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]


def object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` for `json` that gives a `RepeatedKeys` where a key is given more than once."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else RepeatedKeys(pairs)


def repeated_keys(value: object) -> list[str]:
    """The keys that an object read with `object_of_pairs` has more than once; objects within it are not looked at."""
    return value.repeated if isinstance(value, RepeatedKeys) else []
