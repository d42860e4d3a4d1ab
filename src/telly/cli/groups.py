"""Commands in groups, each loaded when it is used; options under headings; examples in help that can be pasted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from telly.cli.placeholders import PLACEHOLDERS

ARGUMENTS, OTHER = "Arguments", "Options"


class CommandEntry(NamedTuple):
    """A command of `telly`, as its help lists it.

    Attributes:
        name: the command's name.
        group: the heading it is listed under.
        summary: what it does, short enough for one line of a terminal.
        module: module of `telly.cli` that has it as `app`, or as a function of the command's name.
        epilog: name of the module's text with examples.
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
    """The command of a Typer app; in its help examples can be pasted, and placeholders say what a value is."""
    command = typer.main.get_command(app)
    command.name = name
    within = getattr(command, "commands", {})
    for one in (command, *(() if isinstance(within, LazyCommands) else within.values())):
        one.epilog = pasteable(one.epilog) if one.epilog else None
        for parameter in one.params:
            if parameter.metavar is None and not getattr(parameter, "is_flag", False):
                is_argument = parameter.param_type_name == "argument"
                parameter.metavar = parameter.name.upper() if is_argument else PLACEHOLDERS.get(parameter.name)
    return command


def pasteable(text: str) -> str:
    r"""Keep the line breaks of indented paragraphs, which are commands and files; `\b` tells click to."""
    return re.sub(r"(?:(?<=\n\n)|^)(?=  \S)", "\b\n", text)


class LazyCommands(MutableMapping[str, Any]):
    """Commands by name; each is made when it is first asked for.

    Args:
        makers: what makes a command, by its name.
    """

    def __init__(self, makers: dict[str, Callable[[], Any]]) -> None:
        self._makers = makers
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command
        self._makers.setdefault(name, lambda: command)

    def __delitem__(self, name: str) -> None:
        del self._makers[name]
        self._made.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


class CommandList(TyperGroup):
    """A group whose help shows the whole summary of each command, which Typer would cut."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, each with the first sentence of its help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, str(self.commands[name].help).split("\n\n")[0]) for name in self.commands])


class LazyGroup(TyperGroup):
    """A group of commands that are loaded when they are used, so that help stays quick."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of help."""
        return list(self.commands)


class CommandGroups(LazyGroup):
    """`telly` itself: its help lists commands under headings, with their whole summaries."""

    entries: tuple[CommandEntry, ...] = ()

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = LazyCommands({entry.name: entry.load for entry in self.entries})

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands; none of them is loaded for that."""
        width = max(len(entry.name) for entry in self.entries)
        for group in dict.fromkeys(entry.group for entry in self.entries):
            with formatter.section(group):
                formatter.write_dl([(e.name.ljust(width), e.summary) for e in self.entries if e.group == group])


class SectionedCommand(TyperCommand):
    """A command whose help lists options under the headings that they name as `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options by heading; those without one come last."""
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
