"""`telly ls`: the tasks."""

from __future__ import annotations

import typer


def ls() -> None:
    """List tasks with their columns, metrics and presets."""
    from telly.declare import settings_of
    from telly.tasks import TASKS

    for task in TASKS.values():
        preset = task.preset
        typer.echo(f"{task.name}: {task.schema.summary}")
        for column in task.schema.for_training().columns:
            typer.echo(f"  column {column.name} ({column.kind}), read from {', '.join(column.source_names)}")
        typer.echo(f"  metrics: {', '.join(task.metrics)}")
        options = settings_of(task.options)
        for name, declared in options.items():
            if declared.choices:
                typer.echo(f"  {name}s: {', '.join(declared.choices)}")
        limits = ", ".join(f"{name} {n}" for name, n in preset.max_tokens.items())
        typer.echo(
            f"  preset: at most {limits} tokens, batch {preset.batch_size}, learning rate {preset.learning_rate:g}, "
            f"{preset.epochs} epochs, best by {preset.metric}"
            + (f", beam {options['beams'].default}" if "beams" in options else "")
        )
