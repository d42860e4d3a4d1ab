"""Checks of JSON values: keys given more than once, and lists of texts instead of tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
    """Build an object for `json` (its `object_pairs_hook`): a `RepeatedKeys` if a key is given more than once."""
    unique = dict(pairs)
    return unique if len(unique) == len(pairs) else RepeatedKeys(pairs)


def repeated_keys(value: object) -> list[str]:
    """Keys given more than once in an object read with `object_of_pairs`; nested objects are not searched."""
    return value.repeated if isinstance(value, RepeatedKeys) else []


def is_list_of_texts(values: Sequence[str], *, prose: bool) -> bool:
    """Return whether a list holds several texts rather than the tokens of one text.

    Args:
        values: the list.
        prose: whether it is natural language, whose tokens hold no blanks; code tokens, such as literals, may.
    """
    spaced = sum(len(value.split()) > 1 for value in values)
    return len(values) > 1 and spaced > 0 and (prose or 2 * spaced >= len(values))
