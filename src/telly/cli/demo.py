"""`telly demo`: full and frozen tuning of the embedded model on the embedded sample, in minutes."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from telly.runs.record import RunRecord
    from telly.settings.config import TuneConfig

VARIANTS = (("base", False), ("9", False), ("9", True), ("11", True))
TRAIN_EXAMPLES = 600
EVAL_EXAMPLES = 500
EPOCHS = 3


def demo(
    output: Path = typer.Option(Path("runs/demo"), help="Folder of the runs."),
    epochs: int = typer.Option(EPOCHS, help="Epochs per run."),
    limit: int = typer.Option(TRAIN_EXAMPLES, help="Number of training examples."),
    eval_limit: int = typer.Option(EVAL_EXAMPLES, help="Number of validation and of test examples."),
) -> None:
    """Tune the embedded model for code search: full, frozen at K=9, and from the activation cache at K=9 and K=11."""
    from telly.cli.console import print_records
    from telly.runs.folder import RunFolder

    typer.echo(
        f"Code search on CPython's standard library: {limit} functions for training, {eval_limit} for evaluation.\n"
        "Four runs: full tuning; K=9, frozen layers run in every epoch; K=9 and K=11 from the activation cache.\n",
        err=True,
    )
    records = []
    for freeze, cache in VARIANTS:
        config = demo_config(freeze, cache, output, epochs, limit, eval_limit)
        typer.echo(f"--- {config.variant} ---", err=True)
        records.append(run_in_process(config))
    print_records(records)
    typer.echo("")
    for record in records:
        folder = RunFolder(Path(record.config.output or ""))
        files = ", ".join(file.name for file in (folder.record, folder.metrics, folder.settings))
        typer.echo(f"{folder.path}: {files}, {folder.model.name}/")


def demo_config(freeze: str, cache: bool, output: Path, epochs: int, limit: int, eval_limit: int) -> TuneConfig:
    """Settings of one run of the demo."""
    from telly.settings.config import TuneConfig
    from telly.settings.resolve import caches_in

    name = "base" if freeze == "base" else f"k{freeze}-{'cached' if cache else 'frozen'}"
    return TuneConfig.parse(
        {
            "freeze": freeze,
            "cache": cache,
            "cache_always": cache,  # the comparison must not depend on how busy the machine is
            "epochs": epochs,
            "limit": limit,
            "eval_limit": eval_limit,
            "cache_dir": caches_in(output),
            "output": output / name,
        },
        "demo",
    )


def run_in_process(config: TuneConfig) -> RunRecord:
    """Run in a separate process, so that peak memory is that of this run alone; exit with its code if it fails."""
    from telly.config import to_toml
    from telly.runs.folder import RunFolder
    from telly.runs.record import RunRecord

    with tempfile.TemporaryDirectory() as folder:
        file = RunFolder(Path(folder)).settings
        file.write_text(to_toml(config), encoding="utf-8")
        command = [sys.executable, "-m", "telly", "tune", config.task, "--config", str(file), "--overwrite", "--json"]
        process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        raise typer.Exit(process.returncode)
    return RunRecord.parse(process.stdout, shlex.join(command))
