"""`telly advise`: choose K before running a full grid."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telly.cli.groups import SectionedCommand

if TYPE_CHECKING:
    from telly.cli.options import SettingOverrides
    from telly.data.schema import Schema

EPILOG = """Examples:

  telly advise --task search --data train.jsonl --valid valid.jsonl

Tunes all weights (base) on a few percent of the data, measures which layers changed, tries up to four K from the
activation cache on the same examples, and prints the K to use with its reason, saving and risk. Without --valid, part
of the training file is held out for validation. Without --data, the embedded sample is used.

  telly advise --task search --data train.jsonl --budget 30m --budget 4GB --tolerance 2%

Considers only variants that train within 30 minutes and 4 GB on this machine; accepts a loss of 2 % of base's score.

  telly tune search --data train.jsonl --valid valid.jsonl --freeze auto

Chooses K with a tolerance of 1 %, then tunes with it.
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None)


def advise(
    overrides: SettingOverrides,
    budget: Annotated[
        list[str] | None,
        typer.Option(metavar="30m|4GB", help="Maximum training time or memory; give the option twice to limit both."),
    ] = None,
    tolerance: Annotated[
        str, typer.Option(metavar="PERCENT", help="Acceptable loss, in percent of base's score.")
    ] = "1%",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file with settings for telly tune; options override it.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for advice.json. [default: not written]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the advice as JSON.")] = False,
) -> None:
    """Recommend K based on a short pilot of base, a few pilots from the activation cache, and a cost model."""

    from telly.advice.advise import advise as recommend
    from telly.advice.budget import parse_budget, parse_tolerance
    from telly.cli.console import print_advice
    from telly.config import read_toml
    from telly.settings.config import TuneConfig
    from telly.tasks import get_spec

    limits, max_loss = parse_budget(budget or []), parse_tolerance(tolerance)
    values = {"task": "search"} | (read_toml(config) if config else {}) | overrides.values
    get_spec(str(values["task"]))  # an unknown task is reported before errors in its settings
    data = values.get("data")
    if data is not None:
        # Advice holds out part of a single file; a folder or hub data set has a validation split of its own.
        values.setdefault("valid", data)
    settings = TuneConfig.parse(values, str(config or "options"), overrides.options)
    advice = recommend(settings, tolerance=max_loss, budget=limits, output=output)
    advice["command"] = command_of(values, config, advice["variant"])
    if as_json:
        typer.echo(json.dumps(advice, indent=1))
        return
    print_advice(advice)
    if output is not None:
        typer.echo(f"\nadvice: {output}/advice.json")


def command_of(values: dict[str, Any], config: Path | None, variant: str) -> str:
    """The `telly tune` command that follows the advice."""
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


def _schema(arguments: dict[str, Any]) -> Schema:
    """Columns of the task named by an option or in the config file."""
    from telly.config import read_toml
    from telly.tasks import get_spec

    in_file = read_toml(arguments["config"]) if arguments["config"] is not None else {}
    schema: Schema = get_spec(arguments.get("task", in_file.get("task", "search"))).schema.for_training()
    return schema


def _register() -> None:
    """Create the command. Runs when this module is imported, which `telly --help` does not do."""
    from telly.cli.options import with_settings
    from telly.settings.lists import SETTINGS

    # Typer resolves annotations, but the class of this one is imported for type checking only.
    advise.__annotations__["overrides"] = Any
    settings = {name: declared for name, declared in SETTINGS.items() if name not in ("freeze", "output")}
    app.command("advise", cls=SectionedCommand, epilog=EPILOG)(with_settings(advise, settings, _schema))


_register()
