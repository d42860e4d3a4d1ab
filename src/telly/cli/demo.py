"""`telly demo`: the main job on the embedded model and data, in minutes."""

from __future__ import annotations

from pathlib import Path

import typer

VARIANTS = (("base", False), ("9", False), ("9", True), ("11", True))
TRAIN_EXAMPLES = 1200
EVAL_EXAMPLES = 500
EPOCHS = 3


def demo(
    output: Path = typer.Option(Path("runs/demo"), help="Folder of the runs."),
    epochs: int = typer.Option(EPOCHS, help="Epochs of every run."),
    limit: int = typer.Option(TRAIN_EXAMPLES, help="Training examples."),
    eval_limit: int = typer.Option(EVAL_EXAMPLES, help="Validation and test examples."),
) -> None:
    """Tune the embedded model for code search: fully, frozen at K=9, and from the store at K=9 and K=11."""
    from telly.report.table import print_records
    from telly.tuning.config import TuneConfig
    from telly.tuning.run import interruptible, tune

    typer.echo(
        f"Code search on CPython's standard library: {limit} functions to train on, {eval_limit} to find.\n"
        "Four runs: everything trained; K=9 frozen but run in every epoch; K=9 and K=11 from the store.\n",
        err=True,
    )
    records = []
    with interruptible():
        for freeze, cache in VARIANTS:
            name = "base" if freeze == "base" else f"k{freeze}-{'cached' if cache else 'frozen'}"
            config = TuneConfig(
                freeze=freeze,
                cache=cache,
                epochs=epochs,
                limit=limit,
                eval_limit=eval_limit,
                cache_dir=output / "stores",
                output=output / name,
            )
            typer.echo(f"--- {config.variant_name} ---", err=True)
            records.append(tune(config, overwrite=True))
    print_records(records)
    typer.echo("")
    for record in records:
        typer.echo(f"{record.config['output']}: record.json, metrics.jsonl, config.toml, model/")
