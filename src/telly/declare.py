"""Declarations of settings: what help, tables in docs and every list of settings are derived from.

A setting is a field of a `telly.config.Config` with a `Setting` in its annotation; its type has the limits:

    class SearchOptions(Config):
        temperature: Annotated[PositiveFloat, Setting("Temperature of the softmax.", WEIGHTS, EVALUATION)] = 0.05

This module imports neither torch nor pydantic.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin


class Affects(StrEnum):
    """Aspects of a run that a setting can change.

    Attributes:
        WEIGHTS: the weights that training gives.
        EVALUATION: the scores that given weights get, those of baselines and of the untuned model among them.
        SPEED: time, memory and disk.
        LOCATION: where files are read or written, and how progress is reported.
    """

    WEIGHTS = "weights"
    EVALUATION = "evaluation"
    SPEED = "speed"
    LOCATION = "location"


WEIGHTS, EVALUATION, SPEED, LOCATION = Affects


class Group(StrEnum):
    """Headings under which help and docs list settings, in this order."""

    DATA = "Model and data"
    FREEZING = "Freezing"
    METHOD = "Method"
    CACHE = "Activation cache"
    TASK = "Task"
    TRAINING = "Training"
    EVALUATION = "Evaluation"
    RUN = "Run"


@dataclass(frozen=True, init=False)
class Setting:
    """Everything known about a setting besides its type and default.

    Attributes:
        help: a short sentence for help and docs.
        affects: what it can change; at least one.
        group: its heading in help and docs.
        option: its option on the command line, if that differs from `--` and its name with dashes.
        off: the option that turns a flag off, if it has one.
        metavar: placeholder for its value in help, such as `DIR`; by default derived from the type.
        default: text that help shows as the default, if the value itself would not be clear.
        label: its name in the model card; None leaves it out.
    """

    help: str
    affects: frozenset[Affects]
    group: Group
    option: str | None
    off: str | None
    metavar: str | None
    default: str | None
    label: str | None

    def __init__(
        self,
        help: str,
        *affects: Affects,
        group: Group = Group.TASK,
        option: str | None = None,
        off: str | None = None,
        metavar: str | None = None,
        default: str | None = None,
        label: str | None = None,
    ) -> None:
        if not affects:
            raise TypeError(f"a setting must declare what it affects: {help!r}")
        values = {
            "help": help,
            "affects": frozenset(affects),
            "group": group,
            "option": option,
            "off": off,
            "metavar": metavar,
            "default": default,
            "label": label,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)


class Declared(NamedTuple):
    """A setting with its name, type and default.

    Attributes:
        name: the key in TOML and Python.
        setting: its declaration.
        type: the annotation without `Annotated` and without `None`.
        default: the default; `...` where there is none.
    """

    name: str
    setting: Setting
    type: Any
    default: Any

    @property
    def option(self) -> str:
        """The option on the command line."""
        return self.setting.option or "--" + self.name.replace("_", "-")

    @property
    def shown_default(self) -> str:
        """The default as help and docs show it: in the declaration's words, else the value; blank if there is none."""
        value = self.default
        if self.setting.default is not None:
            return self.setting.default
        return "" if value is None or value is ... or isinstance(value, bool | dict | tuple) else str(value)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values it can take, where they are few and known."""
        if isinstance(self.type, type) and issubclass(self.type, StrEnum):
            return tuple(member.value for member in self.type)
        return tuple(map(str, get_args(self.type))) if get_origin(self.type) is Literal else ()


def settings_of(config: type) -> dict[str, Declared]:
    """The settings of a `Config` or of a dataclass by name, in the order of its fields.

    Raises:
        TypeError: a field has no `Setting`.
    """
    fields: dict[str, Any] = (
        {field.name: field for field in dataclasses.fields(config)}
        if dataclasses.is_dataclass(config)
        else getattr(config, "model_fields", {})
    )
    hints = typing.get_type_hints(config, include_extras=True)
    declared = {}
    for name, field in fields.items():
        kind, setting = _parts(hints[name])
        if setting is None:
            raise TypeError(f"{config.__name__}.{name}: declare help and `affects` with a Setting in its annotation")
        declared[name] = Declared(name, setting, kind, _default(field))
    return declared


def _default(field: Any) -> Any:
    """The default of a field of a dataclass or of a `Config`; `...` where there is none."""
    if isinstance(field, dataclasses.Field):
        return ... if field.default is dataclasses.MISSING else field.default
    return field.get_default(call_default_factory=True) if not field.is_required() else ...


def _parts(hint: Any) -> tuple[Any, Setting | None]:
    """The type that an annotation wraps, without None, and its `Setting`."""
    setting = None
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        setting = next((extra for extra in extras if isinstance(extra, Setting)), None)
    if get_origin(hint) in (Union, types.UnionType):
        members = [arg for arg in get_args(hint) if arg is not type(None)]
        if len(members) == 1:
            inner, nested = _parts(members[0])
            return inner, setting or nested
    return hint, setting
