"""Former names of settings and options: records under them are read, new input under them is refused."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

RENAMED = {"top": "method"}
"""Today's key of a setting, by its former one."""
RENAMED_OPTIONS = {"--top": "--method"}
"""Today's option of `telly tune`, by its former one."""


def current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that an earlier version has written, under today's names."""
    return {RENAMED.get(name, name): value for name, value in values.items()}


def same_settings(left: str, right: str) -> bool:
    """Whether two TOML texts hold the same settings, whichever version has written them."""
    return _plain(left) == _plain(right)


def _plain(text: str) -> dict[str, Any] | str:
    """The settings of a TOML text; the text itself where it is none, which equals no settings."""
    try:
        values = current_names(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        return text
    # K was written as text before it was a number.
    return values | ({"freeze": str(values["freeze"])} if "freeze" in values else {})
