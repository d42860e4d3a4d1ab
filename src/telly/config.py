"""Base class of all settings: typed, validated at construction; unknown keys are refused with the nearest name."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from telly.errors import ConfigError


class Config(BaseModel):
    """Settings that check themselves. `parse` reports all problems at once, as one `ConfigError`."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    renamed: ClassVar[Mapping[str, str]] = {}
    """Current name of a setting by its former name, which is refused."""

    @model_validator(mode="before")
    @classmethod
    def _suggest_names(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values.keys() - cls.model_fields.keys():
                if key in cls.renamed:
                    raise ValueError(f"{key!r} is now called {cls.renamed[key]!r}; rename it")
                near = difflib.get_close_matches(key, cls.model_fields, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(cls.model_fields))}"
                raise ValueError(f"unknown setting {key!r}{hint}")
        return values

    @classmethod
    def parse(cls, values: dict[str, Any], origin: str = "settings", options: Mapping[str, str] | None = None) -> Self:
        """Build from a dictionary.

        Args:
            values: settings by name.
            origin: source of the settings, for the error.
            options: command-line options by setting, for settings given as options; the error then names the option.

        Raises:
            ConfigError: one line per problem, each with the setting's name, the rule and the value found.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            lines = []
            for problem in error.errors():
                message = problem["msg"].removeprefix("Value error, ")
                if problem["loc"]:
                    where = ".".join(str(part) for part in problem["loc"])
                    message = f"{where}: {message} (found {problem['input']!r})"
                # A check of several settings starts its message with the name of one of them.
                name = message.partition(":")[0]
                option = (options or {}).get(name.partition(".")[0])
                lines.append("  " + (option + message.removeprefix(name) if option else message))
            raise ConfigError(f"{origin}:\n" + "\n".join(lines)) from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: the file is missing, cannot be read or is not TOML; the text names the file and line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; expected a TOML file with settings") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror or error}; expected a TOML file with settings"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def to_toml(config: Config) -> str:
    """Settings as TOML that reads back to the same settings; what is None is left out."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
