"""`telly plan`: trained parameters and estimated costs of base and every K."""

from __future__ import annotations

import json

import typer

EPILOG = """Examples:

  telly plan --model DIR

Reads only DIR/config.json: no weights are loaded.

  telly plan --data train.jsonl --batch-size 32

Adds estimates for your data on this machine: peak memory, size of the activation cache, seconds per epoch.
"""


def plan(
    model: str | None = typer.Option(None, help="Model folder, config.json or hub id. [default: the embedded model]"),
    task: str = typer.Option("search", help="Task whose head and length limits apply."),
    data: str | None = typer.Option(None, help="Training data to estimate for; `sample` is the embedded sample."),
    columns: list[str] = typer.Option(
        [], "--map", help="Read the task's column NAME from COLUMN of your data; repeatable."
    ),
    batch_size: int | None = typer.Option(None, help="Examples per batch. [default: the task's preset]"),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Print the trained parameters and estimated costs of base and every K."""
    from telly.data.schema import parse_mapping
    from telly.models.folder import EMBEDDED
    from telly.settings.config import TuneConfig
    from telly.tasks import get_spec
    from telly.tuning.estimate import variant_costs

    name = model or EMBEDDED
    values = {"model": name, "task": task, "columns": parse_mapping(columns, get_spec(task).schema.for_training())}
    config = TuneConfig.parse(values | ({"batch_size": batch_size} if batch_size is not None else {}))
    costs = variant_costs(config, data)
    if as_json:
        variants = [cost.to_dict() for cost in costs]
        typer.echo(json.dumps({"model": name, "layers": len(costs) - 1, "variants": variants}, indent=1))
        return
    from telly.cli.console import print_costs

    print_costs(name, costs)
