"""Former names of settings and options; old records that use them are read, new input is refused."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from telly.errors import ConfigError

RENAMED = {"top": "method"}
"""Current name of a setting by its former one."""
RENAMED_OPTIONS = {"--top": "--method"}
"""Current option of `telly tune` by its former one."""


def current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings written by an earlier version, under their current names."""
    return {RENAMED.get(name, name): value for name, value in values.items()}


def same_settings(left: str, right: str) -> bool:
    """Check if two TOML texts contain the same settings, regardless of the version that wrote them."""
    return _comparable(left) == _comparable(right)


def _comparable(text: str) -> dict[str, Any] | str:
    """All settings of a TOML text, or the text itself if it is not TOML, so that it equals no settings.

    A setting that the version had not, and which therefore is not in the text, has its default.
    """
    from telly.settings.config import TuneConfig  # here, because that module refers to the renamed settings

    try:
        values = current_names(tomllib.loads(text))
        config = TuneConfig.parse(values)
    except tomllib.TOMLDecodeError:
        return text
    except ConfigError:  # a method whose package is not installed here, for instance
        return values
    return config.model_dump() | asdict(config.options)
