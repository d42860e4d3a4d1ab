"""Command-line options derived from the declarations of settings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer

from telly.data.schema import Schema, parse_mapping
from telly.declare import Declared, Group
from telly.errors import ConfigError
from telly.settings.renamed import RENAMED_OPTIONS

_METAVARS = {int: "N", float: "X", Path: "DIR"}
_TYPES = (int, float, bool, Path)


@dataclass(frozen=True)
class SettingOverrides:
    """Settings given as options.

    Attributes:
        values: values by name of the setting, as `TuneConfig` takes them.
        options: options by name of the setting, for error messages.
    """

    values: dict[str, Any]
    options: dict[str, str]


def with_settings(
    command: Callable[..., None],
    declared: Mapping[str, Declared],
    schema: Callable[[dict[str, Any]], Schema],
    hidden: Collection[str] = (),
) -> Callable[..., None]:
    """Add an option per setting to a command.

    Args:
        command: function of a `SettingOverrides` and of the command's own options.
        declared: settings by name.
        schema: function from all arguments to the schema whose columns `--map` may name.
        hidden: settings left out of help: those of other tasks, which `TuneConfig` refuses with an explanation.
    """
    _, *own_options = inspect.signature(command, eval_str=True).parameters.values()
    order = list(Group)
    by_group = sorted(declared.values(), key=lambda entry: order.index(entry.setting.group))

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for old in RENAMED_OPTIONS:
            if values.pop(_hidden(old), None) is not None:
                raise ConfigError(f"{old} is now called {RENAMED_OPTIONS[old]}; rename it")
        arguments = {name: values.pop(name) for name in declared}
        # Unused options are None, or empty if they are repeatable.
        overrides = {name: value for name, value in arguments.items() if value not in (None, [], ())}
        if "columns" in overrides:
            overrides["columns"] = parse_mapping(overrides["columns"], schema(values | overrides))
        overrides |= {
            name: _pairs(declared[name], value) for name, value in overrides.items() if _is_pairs(declared[name], value)
        }
        command(SettingOverrides(overrides, {name: declared[name].option for name in overrides}), **values)

    parameters = [
        *(_parameter(entry, hidden=entry.name in hidden) for entry in by_group),
        *own_options,
        *map(_renamed, RENAMED_OPTIONS),
    ]
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    )
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__  # else `inspect.signature` follows it to the original command
    return run


def as_arguments(declared: Declared, value: Any) -> list[str]:
    """Command-line arguments that give a setting this value."""
    if isinstance(value, bool):
        return [declared.option] if value else [declared.setting.off] if declared.setting.off else []
    if isinstance(value, Mapping):
        return [text for name, item in value.items() for text in (declared.option, f"{name}={item}")]
    if isinstance(value, list | tuple):
        return [text for item in value for text in (declared.option, str(item))]
    return [declared.option, str(value)]


def _parameter(declared: Declared, *, hidden: bool) -> inspect.Parameter:
    setting = declared.setting
    repeatable = get_origin(declared.type) in (dict, tuple)
    kind: Any = list[str] if repeatable else declared.type if declared.type in _TYPES else str
    names = f"{declared.option}/{setting.off}" if setting.off else declared.option
    metavar = setting.metavar or "|".join(declared.choices) or _METAVARS.get(declared.type)
    option = typer.Option(
        names,
        metavar=None if kind is bool else metavar,
        help=setting.help + _default(declared),
        rich_help_panel=setting.group.value,
        show_default=False,
        hidden=hidden,
    )
    return inspect.Parameter(
        declared.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _is_pairs(declared: Declared, value: Any) -> bool:
    return get_origin(declared.type) is dict and isinstance(value, list)


def _default(declared: Declared) -> str:
    return f" [default: {declared.shown_default}]" if declared.shown_default else ""


def _renamed(option: str) -> inspect.Parameter:
    """Hidden parameter for a former option, whose use is answered with the new name."""
    return inspect.Parameter(
        _hidden(option),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[str | None, typer.Option(option, hidden=True)],
    )


def _hidden(option: str) -> str:
    return "former_" + option.strip("-").replace("-", "_")


def _pairs(declared: Declared, texts: list[str]) -> dict[str, Any]:
    """Parse `NAME=VALUE` texts into a dictionary, with integer values if the setting has them.

    Raises:
        ConfigError: a text has no `=`, a name occurs twice, or a value is not an integer.
    """
    option, is_integer = declared.option, get_args(declared.type)[1] is not str
    pairs: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (sign and name and value):
            raise ConfigError(f"{option}: expected NAME=VALUE, found {text!r}")
        if name in pairs:
            raise ConfigError(f"{option}: {name} is given twice")
        pairs[name] = _integer(value, option) if is_integer else value
    return pairs


def _integer(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{option}: expected a whole number, found {text!r}") from None
