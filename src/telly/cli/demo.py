"""`telly demo`: the main job on the embedded model and data, in minutes."""

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
    epochs: int = typer.Option(EPOCHS, help="Epochs of every run."),
    limit: int = typer.Option(TRAIN_EXAMPLES, help="Training examples."),
    eval_limit: int = typer.Option(EVAL_EXAMPLES, help="Validation and test examples."),
) -> None:
    """Tune the embedded model for code search: fully, frozen at K=9, and from the store at K=9 and K=11."""
    from telly.cli.console import print_records
    from telly.runs.folder import RunFolder

    typer.echo(
        f"Code search on CPython's standard library: {limit} functions to train on, {eval_limit} to find.\n"
        "Four runs: everything trained; K=9 frozen but run in every epoch; K=9 and K=11 from the store.\n",
        err=True,
    )
    records = []
    for freeze, cache in VARIANTS:
        config = demo_config(freeze, cache, output, epochs, limit, eval_limit)
        typer.echo(f"--- {config.variant} ---", err=True)
        records.append(run_alone(config))
    print_records(records)
    typer.echo("")
    for record in records:
        folder = RunFolder(Path(record.config.output or ""))
        files = ", ".join(file.name for file in (folder.record, folder.metrics, folder.settings))
        typer.echo(f"{folder.path}: {files}, {folder.model.name}/")


def demo_config(freeze: str, cache: bool, output: Path, epochs: int, limit: int, eval_limit: int) -> TuneConfig:
    """The settings of one of the demo's runs."""
    from telly.settings.config import TuneConfig
    from telly.settings.resolve import caches_in

    name = "base" if freeze == "base" else f"k{freeze}-{'cached' if cache else 'frozen'}"
    return TuneConfig.parse(
        {
            "freeze": freeze,
            "cache": cache,
            "cache_always": cache,  # the comparison must not hang on how busy the machine is
            "epochs": epochs,
            "limit": limit,
            "eval_limit": eval_limit,
            "cache_dir": caches_in(output),
            "output": output / name,
        },
        "demo",
    )


def run_alone(config: TuneConfig) -> RunRecord:
    """A run in a process of its own, so that its peak memory is its own; an error ends this process with its code."""
    from telly.config import to_toml
    from telly.runs.folder import RunFolder
    from telly.runs.record import RunRecord

    with tempfile.TemporaryDirectory() as folder:
        file = RunFolder(Path(folder)).settings
        file.write_text(to_toml(config), encoding="utf-8")
        command = [sys.executable, "-m", "telly", "tune", config.task, "--config", str(file), "--overwrite", "--json"]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode:
        raise typer.Exit(answer.returncode)
    return RunRecord.parse(answer.stdout, shlex.join(command))
