"""`telly demo`: the main job on the embedded model and data, in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from telly.tuning.config import TuneConfig

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
    from telly.tuning.run import interruptible, tune

    typer.echo(
        f"Code search on CPython's standard library: {limit} functions to train on, {eval_limit} to find.\n"
        "Four runs: everything trained; K=9 frozen but run in every epoch; K=9 and K=11 from the store.\n",
        err=True,
    )
    records = []
    with interruptible():
        for freeze, cache in VARIANTS:
            config = demo_config(freeze, cache, output, epochs, limit, eval_limit)
            typer.echo(f"--- {config.variant_name} ---", err=True)
            records.append(tune(config, overwrite=True))
    print_records(records)
    typer.echo("")
    for record in records:
        typer.echo(f"{record.config['output']}: record.json, metrics.jsonl, config.toml, model/")


def demo_config(freeze: str, cache: bool, output: Path, epochs: int, limit: int, eval_limit: int) -> TuneConfig:
    """The settings of one of the demo's runs."""
    from telly.tuning.config import TuneConfig

    name = "base" if freeze == "base" else f"k{freeze}-{'cached' if cache else 'frozen'}"
    return TuneConfig(
        freeze=freeze,
        cache=cache,
        epochs=epochs,
        limit=limit,
        eval_limit=eval_limit,
        cache_dir=output / "stores",
        output=output / name,
    )
