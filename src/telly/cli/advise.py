"""`telly advise`: which K to take, before the grid is run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

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
OPTIONS = {
    "model": "--model",
    "data": "--data",
    "valid": "--valid",
    "epochs": "--epochs",
    "batch_size": "--batch-size",
    "learning_rate": "--lr",
    "precision": "--precision",
    "metric": "--metric",
    "limit": "--limit",
    "seed": "--seed",
    "cache_dir": "--cache-dir",
}
"""Settings that `telly advise` has, as `telly tune` calls them."""
PAIRS = {"columns": "--map", "max_tokens": "--max-tokens"}


def advise(
    task: Annotated[
        str | None, typer.Option(help="What to tune for; telly ls has the tasks. [default: search]")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model folder or hub id. [default: telly-mini]")] = None,
    data: Annotated[str | None, typer.Option(help="Training data. [default: sample]")] = None,
    valid: Annotated[str | None, typer.Option(help="Validation data. [default: held out from --data]")] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--map", help="OURS=YOURS: name of a column in your data; repeatable.")
    ] = None,
    budget: Annotated[
        list[str] | None, typer.Option(help="Most time (30m, 2h) or memory (4GB) of the run; one of each.")
    ] = None,
    tolerance: Annotated[str, typer.Option(help="How much of base's score may be lost.")] = "1%",
    epochs: Annotated[int | None, typer.Option(help="Epochs of the run to come.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples a step of the run to come.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of Adam.")] = None,
    max_tokens: Annotated[list[str] | None, typer.Option(help="COLUMN=N: length limit; repeatable.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or bf16. [default: fp32]")] = None,
    metric: Annotated[str | None, typer.Option(help="Validation metric that counts. [default: the task's]")] = None,
    limit: Annotated[int | None, typer.Option(help="The run to come uses at most so many training examples.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random. [default: 0]")] = None,
    cache_dir: Annotated[Path | None, typer.Option(help="Where the pilots' stores lie while they run.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings of telly tune.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for advice.json. [default: none is written]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the advice as JSON.")] = False,
) -> None:
    """Propose K from a short pilot of base, a few pilots from the store, and the cost model."""

    from telly.advice.budget import parse_budget, parse_tolerance
    from telly.cli.tune import number, pairs
    from telly.config import read_toml
    from telly.data.schema import parse_mapping, schema_for

    limits, allowed = parse_budget(budget or []), parse_tolerance(tolerance)
    values = read_toml(config) if config else {}
    values["task"] = task or values.get("task", "search")
    given = {
        "model": model,
        "data": data,
        "valid": valid,
        "columns": parse_mapping(columns or [], schema_for(values["task"])) or None,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": lr,
        "max_tokens": {k: number(v, "--max-tokens") for k, v in pairs(max_tokens or [], "--max-tokens").items()},
        "precision": precision,
        "metric": metric,
        "limit": limit,
        "seed": seed,
        "cache_dir": cache_dir,
    }
    values |= {name: value for name, value in given.items() if value not in (None, {})}
    source = values.get("data")
    if source is not None:
        values.setdefault("valid", source)  # a file: held out; a folder or hub data set: its own validation split

    from telly.advice.advise import advise as ask
    from telly.cli.console import print_advice
    from telly.settings.config import TuneConfig

    settings = TuneConfig.parse(values, str(config or "options"))
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
    from telly.advice.draw import held_out

    parts = ["telly", "tune", str(values["task"])]
    if config is not None:
        parts += ["--config", str(config)]
    for name, option in OPTIONS.items():
        if name not in values or (config is not None and name in _kept_in(config)):
            continue
        value = str(values[name])
        if name == "valid" and held_out(values.get("data"), value):
            value = "VALIDATION-DATA"
        parts += [option, value]
    for name, option in PAIRS.items():
        for key, value in values.get(name, {}).items():
            parts += [option, f"{key}={value}"]
    return shlex.join([*parts, "--freeze", variant])


def _kept_in(config: Path) -> set[str]:
    from telly.config import read_toml

    return set(read_toml(config))
