"""`telly plan`: what every variant trains and costs, before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

EPILOG = """Examples:

  telly plan --model DIR

needs only DIR/config.json: no weights are read and no memory is taken for them.

  telly plan --data train.jsonl --batch-size 32

adds estimates for your data on this machine: peak memory, size of the store, seconds per epoch.
"""


def plan(
    model: str | None = typer.Option(None, help="Model folder, config.json or hub id. [default: the embedded model]"),
    task: str = typer.Option("search", help="Task whose length limits hold."),
    data: str | None = typer.Option(None, help="Training data to estimate for; `sample` is the package's own."),
    columns: list[str] = typer.Option([], "--map", help="OURS=YOURS: name of a column in your data; repeatable."),
    batch_size: int | None = typer.Option(None, help="Examples a step. [default: the task's preset]"),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Print, for base and every K, the trained parameters and the estimated costs."""
    from telly.freezing.cost import measure_flops, plan_costs
    from telly.models.load import EMBEDDED, load_config, model_from_config

    name = model or EMBEDDED
    config = load_config(name)
    shape = model_from_config(config)
    work = _workload(name, task, data, columns, batch_size) if data else None
    costs = plan_costs(shape, work, measure_flops(int(config.hidden_size)) if work else None)
    if as_json:
        variants = [cost.to_dict() for cost in costs]
        typer.echo(json.dumps({"model": name, "layers": len(costs) - 1, "variants": variants}, indent=1))
        return
    from telly.report.table import print_costs

    print_costs(name, costs)


def _workload(name: str, task_name: str, data: str, columns: list[str], batch_size: int | None) -> Any:
    from telly.data.readers import read
    from telly.data.sample import sample_files
    from telly.data.schema import parse_mapping
    from telly.freezing.cost import Workload
    from telly.models.load import load_tokenizer
    from telly.tasks import get_task

    task = get_task(task_name)
    source = str(sample_files()["train"]) if data == "sample" and not Path(data).exists() else data
    encoded = task.encode(
        read(source, task.schema, parse_mapping(columns, task.schema)), load_tokenizer(name), task.preset.max_tokens
    )
    per_example = sum(float(encoded.table.lengths[rows].mean()) for rows in encoded.rows.values())
    tokens = int(per_example * len(encoded))
    return Workload(
        tokens=tokens,
        stored_tokens=int(encoded.table.lengths.sum()),
        batch_tokens=int(per_example * (batch_size or task.preset.batch_size)),
        mean_length=tokens / max(1, len(encoded.rows) * len(encoded)),
    )
