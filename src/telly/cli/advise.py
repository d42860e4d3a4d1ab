"""`telly advise`: which K to take, before the grid is run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telly.cli.groups import SectionedCommand

if TYPE_CHECKING:
    from telly.cli.options import GivenSettings
    from telly.data.schema import Schema

EPILOG = """Examples:

  telly advise --task search --data train.jsonl --valid valid.jsonl

tunes base on a few percent of the data, looks which layers that changed, tries up to four K from the store on the
same examples, and prints a K with its reason, what it saves and what may be wrong with it. Without --valid, examples of
the training file are held out to score on. Without --data, the package's sample.

  telly advise --task search --data train.jsonl --budget 30m --budget 4GB --tolerance 2%

takes only what trains within 30 minutes and 4 GB here, and may lose 2 % of base's score.

  telly tune search --data train.jsonl --valid valid.jsonl --freeze auto

asks for advice with a tolerance of 1 %, and tunes with the K it gets.
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None)


def advise(
    given: GivenSettings,
    budget: Annotated[
        list[str] | None,
        typer.Option(metavar="30m|4GB", help="Maximum time or memory of the run; may be given once for each."),
    ] = None,
    tolerance: Annotated[str, typer.Option(metavar="PERCENT", help="How much of base's score may be lost.")] = "1%",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file with settings of telly tune; options override it.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for advice.json. [default: none is written]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the advice as JSON.")] = False,
) -> None:
    """Propose K from a short pilot of base, a few pilots from the activation cache, and the cost model."""

    from telly.advice.advise import advise as ask
    from telly.advice.budget import parse_budget, parse_tolerance
    from telly.cli.console import print_advice
    from telly.config import read_toml
    from telly.settings.config import TuneConfig
    from telly.tasks import get_spec

    limits, allowed = parse_budget(budget or []), parse_tolerance(tolerance)
    values = {"task": "search"} | (read_toml(config) if config else {}) | given.values
    get_spec(str(values["task"]))  # a task that does not exist is refused before its settings are
    source = values.get("data")
    if source is not None:
        values.setdefault("valid", source)  # a file: held out; a folder or hub data set: its own validation split
    settings = TuneConfig.parse(values, str(config or "options"), given.options)
    advice = ask(settings, tolerance=allowed, budget=limits, output=output)
    advice["command"] = command_of(values, config, advice["variant"])
    if as_json:
        typer.echo(json.dumps(advice, indent=1))
        return
    print_advice(advice)
    if output is not None:
        typer.echo(f"\nadvice: {output}/advice.json")


def command_of(values: dict[str, Any], config: Path | None, variant: str) -> str:
    """The `telly tune` command of the advice."""
    from telly.advice.samples import must_hold_out
    from telly.cli.options import as_arguments
    from telly.config import read_toml
    from telly.settings.lists import SETTINGS

    parts = ["telly", "tune", str(values["task"])]
    in_file = set() if config is None else read_toml(config).keys()
    if config is not None:
        parts += ["--config", str(config)]
    for name, declared in SETTINGS.items():
        if name in ("task", "freeze") or name not in values or name in in_file:
            continue
        value = values[name]
        if name == "valid" and must_hold_out(values.get("data"), value):
            value = "VALIDATION-DATA"
        parts += as_arguments(declared, value)
    return shlex.join([*parts, "--freeze", variant])


def _schema(given: dict[str, Any]) -> Schema:
    """The columns of the task that was given as an option or in the file."""
    from telly.config import read_toml
    from telly.tasks import get_spec

    in_file = read_toml(given["config"]) if given["config"] is not None else {}
    schema: Schema = get_spec(given.get("task", in_file.get("task", "search"))).schema
    return schema


def _register() -> None:
    """Make the command; called when this module is imported, which `telly --help` does not do."""
    from telly.cli.options import with_settings
    from telly.settings.lists import SETTINGS

    advise.__annotations__["given"] = Any
    asked = {name: declared for name, declared in SETTINGS.items() if name not in ("freeze", "output")}
    app.command("advise", cls=SectionedCommand, epilog=EPILOG)(with_settings(advise, asked, _schema))


_register()
