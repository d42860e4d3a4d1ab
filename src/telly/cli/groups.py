"""Command groups: lazy loading, grouped options, and help texts whose examples can be pasted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from telly.cli.placeholders import PLACEHOLDERS

ARGUMENTS, OTHER = "Arguments", "Options"
"""Headings of arguments and of options without a heading."""


class CommandEntry(NamedTuple):
    """Entry of a command in the help of `telly`.

    Attributes:
        name: command name.
        group: heading that it is listed under.
        summary: description, short enough for one line of a terminal.
        module: module of `telly.cli` that defines the command, as `app` or as a function of the command's name.
        epilog: name of the module's constant with the examples.
    """

    name: str
    group: str
    summary: str
    module: str
    epilog: str = "EPILOG"

    def load(self) -> Any:
        """Import the command."""
        module = import_module(f"telly.cli.{self.module}")
        if hasattr(module, "app"):
            return loaded(module.app, self.name)
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(self.name, cls=SectionedCommand, epilog=getattr(module, self.epilog, None))(
            getattr(module, self.name)
        )
        return loaded(app, self.name)


def loaded(app: typer.Typer, name: str) -> Any:
    """Build the command of a Typer app, with examples that can be pasted and placeholders for values."""
    command = typer.main.get_command(app)
    command.name = name
    subcommands = getattr(command, "commands", {})
    if isinstance(subcommands, LazyCommands):
        subcommands = {}  # each of them comes through this function when it is made
    for each in (command, *subcommands.values()):
        each.epilog = pasteable(each.epilog) if each.epilog else None
        for parameter in each.params:
            if parameter.metavar is None and not getattr(parameter, "is_flag", False):
                is_argument = parameter.param_type_name == "argument"
                parameter.metavar = parameter.name.upper() if is_argument else PLACEHOLDERS.get(parameter.name)
    return command


def pasteable(text: str) -> str:
    r"""Mark indented paragraphs (commands and files) with `\b`, so that click keeps their line breaks."""
    return re.sub(r"(?:(?<=\n\n)|^)(?=  \S)", "\b\n", text)


class LazyCommands(MutableMapping[str, Any]):
    """Commands by name, each created on first access.

    Args:
        factories: functions that create a command, by its name.
    """

    def __init__(self, factories: dict[str, Callable[[], Any]]) -> None:
        self._factories = factories
        self._commands: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._commands:
            self._commands[name] = self._factories[name]()
        return self._commands[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._commands[name] = command
        self._factories.setdefault(name, lambda: command)

    def __delitem__(self, name: str) -> None:
        del self._factories[name]
        self._commands.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._factories)

    def __len__(self) -> int:
        return len(self._factories)


class CommandList(TyperGroup):
    """Group whose help shows the summary of each command uncut."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, each with the first paragraph of its help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, str(self.commands[name].help).split("\n\n")[0]) for name in self.commands])


class LazyGroup(TyperGroup):
    """Group whose commands are loaded on use, which keeps help fast."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Command names in the order of help."""
        return list(self.commands)


class CommandGroups(LazyGroup):
    """Root group: help lists the commands under headings, without loading them."""

    entries: tuple[CommandEntry, ...] = ()

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = LazyCommands({entry.name: entry.load for entry in self.entries})

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands under their headings, from `entries`."""
        width = max(len(entry.name) for entry in self.entries)
        for group in dict.fromkeys(entry.group for entry in self.entries):
            with formatter.section(group):
                formatter.write_dl([(e.name.ljust(width), e.summary) for e in self.entries if e.group == group])


class SectionedCommand(TyperCommand):
    """Command whose help lists options under the heading given as their `rich_help_panel`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Parts of the usage line; required arguments without the braces that Typer puts around them."""
        return [re.sub(r"^\{(.+)\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options by heading, and last the options without a heading."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                name, text = record
                if parameter.param_type_name == "argument":
                    heading, name = ARGUMENTS, name.partition(" <")[0]  # Typer adds the name of the Python type
                else:
                    heading = getattr(parameter, "rich_help_panel", None) or OTHER
                sections.setdefault(heading, []).append((name, text))
        for heading in sorted(sections, key=lambda heading: (heading == OTHER, heading != ARGUMENTS)):
            with formatter.section(heading):
                formatter.write_dl(sections[heading])
