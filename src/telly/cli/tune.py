"""`telly tune TASK`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from telly.data.schema import SCHEMAS

app = typer.Typer(help="Tune a model on a task.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _tune() -> None:
    """Tune a model on a task."""


EXAMPLES = """Examples:

  telly tune {task} --freeze 9

tunes the embedded model on the sample; layers 0 to 8 are frozen and run once.

  telly tune {task} --model DIR {data} --freeze 9 --precision bf16

tunes your model on your data ({layout}). An interrupted run goes on with the same command and --resume.

  torchrun --standalone --nproc-per-node 2 -m telly tune {task} --freeze 9

trains with two processes; --batch-size is the number of examples over all of them.

  telly tune {task} --freeze 9 --method lora

trains LoRA adapters in the layers from 9 on; RUN/adapter is a few hundred KB that peft loads. Needs telly[peft].
"""
FILES = "--data train.jsonl --valid valid.jsonl --test test.jsonl"
LAYOUTS = {
    "clone": (
        "--data DIR --valid DIR --test DIR",
        "DIR as BigCloneBench has it: data.jsonl, train.txt, valid.txt, test.txt",
    ),
}


def _command(task: str) -> Callable[..., None]:
    """The command of one task; all have the same options, and a task refuses those it has no use for."""

    def tune_task(
        model: str | None = typer.Option(
            None, help="Model folder or hub id. [default: the embedded model, telly-mini]"
        ),
        data: str | None = typer.Option(
            None, help="Training data (JSONL, CSV, Parquet, folder, hub id). [default: sample]"
        ),
        valid: str | None = typer.Option(None, help="Validation data; chooses the best epoch."),
        test: str | None = typer.Option(None, help="Test data. [default: validation data stand in]"),
        columns: list[str] = typer.Option([], "--map", help="OURS=YOURS: name of a column in your data; repeatable."),
        freeze: str | None = typer.Option(
            None, help="base, auto (see telly advise), or K: freeze embeddings and layers 0 .. K-1. [default: base]"
        ),
        method: str | None = typer.Option(
            None, help="What is trained of the other layers: full, lora, ia3, bitfit, or head-only. [default: full]"
        ),
        lora_rank: int | None = typer.Option(None, help="Rank of LoRA. [default: 8]"),
        lora_alpha: float | None = typer.Option(None, help="LoRA is scaled by alpha / rank. [default: the rank]"),
        lora_dropout: float | None = typer.Option(None, help="Dropout before LoRA. [default: 0]"),
        lora_target: list[str] = typer.Option(
            [], help="End of the names of modules with LoRA; repeatable. [default: peft's choice]"
        ),
        cache: bool | None = typer.Option(
            None, "--cache/--no-cache", help="Run frozen layers once. [default: on if it pays]"
        ),
        cache_always: bool | None = typer.Option(
            None, "--cache-always", help="Use the store even where it does not pay."
        ),
        cache_dir: Path | None = typer.Option(None, help="Folder of the stores. [default: in your cache folder]"),
        cache_budget: float | None = typer.Option(None, help="Most disk the run's stores may take, in GB."),
        cache_dtype: str | None = typer.Option(
            None, help="Precision of stored states: bf16, fp32, int8. [default: bf16]"
        ),
        epochs: int | None = typer.Option(None, help="At most so many epochs."),
        batch_size: int | None = typer.Option(None, help="Examples a step, over all processes."),
        lr: float | None = typer.Option(
            None, help="Learning rate of Adam. [default: the task's or model's, ten times that with --method]"
        ),
        temperature: float | None = typer.Option(None, help="Of the softmax over candidates; search, clone-retrieval."),
        head: str | None = typer.Option(
            None, help="clone: pair (the paper's) or cosine. [default: pair; telly-mini: cosine]"
        ),
        shared_batches: bool | None = typer.Option(
            None,
            "--shared-batches/--random-batches",
            help="clone: batches of pairs that share functions. [default: shared with cosine]",
        ),
        beams: int | None = typer.Option(None, help="Beam on test data; tasks that write. Validation is greedy."),
        max_tokens: list[str] = typer.Option([], help="COLUMN=N: length limit, such as code=256; repeatable."),
        precision: str | None = typer.Option(None, help="fp32 or bf16. [default: fp32]"),
        patience: int | None = typer.Option(
            None, help="Stop after so many epochs without a better metric. [default: 3]"
        ),
        metric: str | None = typer.Option(None, help="Validation metric that chooses the best epoch."),
        limit: int | None = typer.Option(None, help="Use at most so many training examples."),
        eval_limit: int | None = typer.Option(None, help="Use at most so many validation and test examples."),
        save_steps: int | None = typer.Option(None, help="Save every so many steps as well as every epoch."),
        seed: int | None = typer.Option(None, help="Seed of everything random. [default: 0]"),
        report_to: list[str] = typer.Option([], help="Tracker, such as tensorboard or wandb; repeatable."),
        config: Path | None = typer.Option(None, help="TOML file with these settings; options given here go first."),
        output: Path | None = typer.Option(None, help="The run's folder. [default: runs/TASK-MODEL-VARIANT-SEED]"),
        resume: bool = typer.Option(False, "--resume", help="Go on with an interrupted run in the same folder."),
        overwrite: bool = typer.Option(False, "--overwrite", help="Replace an earlier run in the same folder."),
        as_json: bool = typer.Option(False, "--json", help="Print the record as JSON."),
    ) -> None:
        from telly.data.schema import parse_mapping

        given: dict[str, Any] = {
            "model": model,
            "data": data,
            "valid": valid,
            "test": test,
            "columns": parse_mapping(columns, SCHEMAS[task]) or None,
            "freeze": freeze,
            "method": method,
            "lora_rank": lora_rank,
            "lora_alpha": lora_alpha,
            "lora_dropout": lora_dropout,
            "lora_targets": lora_target or None,
            "cache": cache,
            "cache_always": cache_always,
            "cache_dir": cache_dir,
            "cache_budget_gb": cache_budget,
            "cache_dtype": cache_dtype,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": lr,
            "temperature": temperature,
            "head": head,
            "beams": beams,
            "shared_batches": shared_batches,
            "max_tokens": {k: number(v, "--max-tokens") for k, v in pairs(max_tokens, "--max-tokens").items()} or None,
            "precision": precision,
            "patience": patience,
            "metric": metric,
            "limit": limit,
            "eval_limit": eval_limit,
            "save_steps": save_steps,
            "seed": seed,
            "report_to": report_to or None,
            "output": output,
        }
        run(task, given, config, resume=resume, overwrite=overwrite, as_json=as_json)

    tune_task.__doc__ = f"Tune for {SCHEMAS[task].summary}."
    return tune_task


def _epilog(task: str) -> str:
    data, layout = LAYOUTS.get(task, (FILES, "docs/data.md has the names of columns; --map gives others"))
    return EXAMPLES.format(task=task, data=data, layout=layout)


for _task in SCHEMAS:
    app.command(_task, epilog=_epilog(_task))(_command(_task))


def run(
    task: str, given: dict[str, Any], config_file: Path | None, *, resume: bool, overwrite: bool, as_json: bool
) -> None:
    """Merge file and options, tune, print the result."""
    from telly.advice.auto import tune
    from telly.config import read_toml, to_toml
    from telly.freezing.variants import ADAPTERS
    from telly.processes import interruptible
    from telly.runs.folder import RunFolder
    from telly.settings.config import TuneConfig

    values = read_toml(config_file) if config_file else {}
    values |= {"task": task} | {name: value for name, value in given.items() if value is not None}
    config = TuneConfig.parse(values, str(config_file or "options")).resolve()
    main = os.environ.get("RANK", "0") == "0"  # under torchrun one process speaks for all
    if main and not as_json:
        typer.echo(to_toml(config), err=True)
    with interruptible():
        record = tune(config, resume=resume, overwrite=overwrite)
    if not main:
        return
    if as_json:
        typer.echo(json.dumps(record.to_dict(), indent=1))
        return
    from telly.cli.console import print_records

    print_records([record])
    assert config.output is not None  # resolved
    folder = RunFolder(config.output)
    typer.echo(f"\nrecord: {folder.record}\nmodel:  {folder.model}")
    if config.method in ADAPTERS:
        typer.echo(f"adapter: {folder.adapter}")
    if folder.predictions.is_file():
        typer.echo(f"predictions on {record.tested_on}: {folder.predictions}")


def pairs(values: list[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` texts as a dictionary.

    Raises:
        ConfigError: a text has no `=`, or a name comes twice.
    """
    from telly.errors import ConfigError

    found: dict[str, str] = {}
    for text in values:
        name, sign, value = text.partition("=")
        if not (sign and name and value):
            raise ConfigError(f"{option}: expected NAME=VALUE, found {text!r}")
        if name in found:
            raise ConfigError(f"{option}: {name} is given twice")
        found[name] = value
    return found


def number(text: str, option: str) -> int:
    """A whole number.

    Raises:
        ConfigError: the text is none.
    """
    from telly.errors import ConfigError

    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{option}: expected a whole number, found {text!r}") from None
