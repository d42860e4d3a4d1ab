"""Spellings of the same label: `1`, `1.0` and `True`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

_WHOLE_NUMBER = re.compile(r"(?:\+|-(?=0*\.?0*$))?(-?[0-9]+)(?:\.0*)?")
_TRUTH = {"true": "1", "false": "0"}
BINARY = {"0", "1"}


def number_form(label: str) -> str:
    """A label without surrounding white space; `1.0` and `+1` become `1`, and `-0` becomes `0`."""
    text = label.strip()
    whole = _WHOLE_NUMBER.fullmatch(text)
    return whole[1] if whole else text


def binary_form(label: str) -> str:
    """As `number_form`; in addition true and false, in any case, become `1` and `0`."""
    text = number_form(label)
    return _TRUTH.get(text.lower(), text)


def form_key(label: str) -> str:
    """A key shared by all spellings of one label, whatever their form and case."""
    return binary_form(label).casefold()


def same_but_for_form(labels: Iterable[str]) -> list[list[str]]:
    """Groups of labels that look like one label spelled differently; each group and the list are sorted."""
    groups: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        groups[form_key(label)].add(label)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)
