"""`telly plan`: what every variant trains and costs, before anything runs."""

from __future__ import annotations

import json

import typer

EPILOG = """Examples:

  telly plan --model DIR

needs only DIR/config.json: no weights are read and no memory is taken for them.

  telly plan --data train.jsonl --batch-size 32

adds estimates for your data on this machine: peak memory, size of the store, seconds per epoch.
"""


def plan(
    model: str | None = typer.Option(None, help="Model folder, config.json or hub id. [default: the embedded model]"),
    task: str = typer.Option("search", help="Task whose head and length limits hold."),
    data: str | None = typer.Option(None, help="Training data to estimate for; `sample` is the package's own."),
    columns: list[str] = typer.Option([], "--map", help="OURS=YOURS: name of a column in your data; repeatable."),
    batch_size: int | None = typer.Option(None, help="Examples a step. [default: the task's preset]"),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Print, for base and every K, the trained parameters and the estimated costs."""
    from telly.data.schema import parse_mapping
    from telly.models.folder import EMBEDDED
    from telly.settings.config import TuneConfig
    from telly.tasks import get_spec
    from telly.tuning.estimate import variant_costs

    name = model or EMBEDDED
    given = {"model": name, "task": task, "columns": parse_mapping(columns, get_spec(task).schema)}
    settings = TuneConfig.parse(given | ({"batch_size": batch_size} if batch_size is not None else {}))
    costs = variant_costs(settings, data)
    if as_json:
        variants = [cost.to_dict() for cost in costs]
        typer.echo(json.dumps({"model": name, "layers": len(costs) - 1, "variants": variants}, indent=1))
        return
    from telly.cli.console import print_costs

    print_costs(name, costs)
