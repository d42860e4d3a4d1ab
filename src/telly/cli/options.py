"""The settings of a run as options of a command, derived from their declarations."""

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
class GivenSettings:
    """The settings that were given as options.

    Attributes:
        values: by the setting's name, as `TuneConfig` takes them.
        options: the option of each, by the setting's name; errors name it.
    """

    values: dict[str, Any]
    options: dict[str, str]


def with_settings(
    command: Callable[..., None],
    declared: Mapping[str, Declared],
    schema: Callable[[dict[str, Any]], Schema],
    hidden: Collection[str] = (),
) -> Callable[..., None]:
    """A command with an option per setting.

    Args:
        command: takes what was given, a `GivenSettings`, as its first argument, and its own options.
        declared: the settings.
        schema: gives the columns that `--map` may name, from the given settings and own options.
        hidden: settings that help does not show: those of other tasks, whose use the checks of settings explain.
    """
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    order = list(Group)
    settings = sorted(declared.values(), key=lambda one: order.index(one.setting.group))

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for old in RENAMED_OPTIONS:
            if values.pop(_hidden(old), None) is not None:
                raise ConfigError(f"{old} is now called {RENAMED_OPTIONS[old]}; rename it")
        options = {name: values.pop(name) for name in declared}
        given = {name: value for name, value in options.items() if value not in (None, [], ())}
        if "columns" in given:
            given["columns"] = parse_mapping(given["columns"], schema(values | given))
        given |= {
            name: _pairs(declared[name], value) for name, value in given.items() if _is_pairs(declared[name], value)
        }
        command(GivenSettings(given, {name: declared[name].option for name in given}), **values)

    parameters = [
        *(_parameter(one, hidden=one.name in hidden) for one in settings),
        *own,
        *map(_former, RENAMED_OPTIONS),
    ]
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    )
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__
    return run


def as_arguments(declared: Declared, value: Any) -> list[str]:
    """The words of a command line that give a setting this value."""
    if isinstance(value, bool):
        return [declared.option] if value else [declared.setting.off] if declared.setting.off else []
    if isinstance(value, Mapping):
        return [word for name, part in value.items() for word in (declared.option, f"{name}={part}")]
    if isinstance(value, list | tuple):
        return [word for part in value for word in (declared.option, str(part))]
    return [declared.option, str(value)]


def _parameter(declared: Declared, *, hidden: bool) -> inspect.Parameter:
    setting = declared.setting
    several = get_origin(declared.type) in (dict, tuple)
    kind: Any = list[str] if several else declared.type if declared.type in _TYPES else str
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


def _former(option: str) -> inspect.Parameter:
    """A hidden option, so that its use can be answered with the new name."""
    return inspect.Parameter(
        _hidden(option),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[str | None, typer.Option(option, hidden=True)],
    )


def _hidden(option: str) -> str:
    return "former_" + option.strip("-").replace("-", "_")


def _pairs(declared: Declared, texts: list[str]) -> dict[str, Any]:
    """`NAME=VALUE` texts as a dictionary; whole numbers where the setting has numbers.

    Raises:
        ConfigError: a text has no `=`, a name comes twice, or a value is no whole number.
    """
    option, numbers = declared.option, get_args(declared.type)[1] is not str
    found: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (sign and name and value):
            raise ConfigError(f"{option}: expected NAME=VALUE, found {text!r}")
        if name in found:
            raise ConfigError(f"{option}: {name} is given twice")
        found[name] = _number(value, option) if numbers else value
    return found


def _number(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{option}: expected a whole number, found {text!r}") from None
