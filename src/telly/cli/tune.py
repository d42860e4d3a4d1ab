"""`telly tune TASK`: tune a model, with a subcommand per task."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telly.cli.groups import LazyCommands, LazyGroup, SectionedCommand, loaded
from telly.tasks import TASKS

if TYPE_CHECKING:
    from telly.cli.options import SettingOverrides

EXAMPLES = """Examples:

  telly tune {task} --freeze 9

Tunes the embedded model on the embedded sample; layers 0 to 8 are frozen and run once.

  telly tune {task} --model DIR --freeze 9 \\
    {data}

Tunes your model on your data ({layout}). Add --resume to continue an interrupted run.

  torchrun --standalone --nproc-per-node 2 -m telly tune {task} --freeze 9

Trains with two processes; --batch-size is the total over all processes.

  telly tune {task} --freeze 9 --method lora

Trains LoRA adapters in layers 9 and above; RUN/adapter, a few hundred KB, can be loaded with peft. Needs telly[peft].
"""


class TuneCommands(LazyGroup):
    """Command per task, with the options of that task; created on use."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = LazyCommands({task: partial(_command, task) for task in TASKS})

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the tasks with their summaries, without creating their commands."""
        with formatter.section("Tasks"):
            formatter.write_dl([(task, spec.summary) for task, spec in TASKS.items()])


app = typer.Typer(
    cls=TuneCommands,
    help="Tune a model on a task.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    subcommand_metavar="TASK [OPTIONS]",
)


@app.callback()
def _tune() -> None:
    """Tune a model on a task."""


def _command(task: str) -> Any:
    from telly.cli.options import with_settings
    from telly.settings.lists import SETTINGS, options_not_of

    def tune_task(
        overrides: SettingOverrides,
        config: Annotated[
            Path | None, typer.Option(metavar="FILE", help="TOML file with settings; options override it.")
        ] = None,
        resume: Annotated[
            bool, typer.Option("--resume", help="Continue an interrupted run in the same folder.")
        ] = False,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Replace an earlier run in the same folder.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
    ) -> None:
        run(task, overrides, config, resume=resume, overwrite=overwrite, as_json=as_json)

    tune_task.__doc__ = f"Tune for {TASKS[task].summary}."
    # Typer resolves annotations, but the class of this one is imported for type checking only.
    tune_task.__annotations__["overrides"] = Any
    settings = {name: declared for name, declared in SETTINGS.items() if name != "task"}
    schema = TASKS[task].schema.for_training()
    command = with_settings(tune_task, settings, lambda _arguments: schema, options_not_of(task))
    task_app = typer.Typer(add_completion=False, rich_markup_mode=None)
    example = TASKS[task].data_example
    epilog = EXAMPLES.format(task=task, data=example.options, layout=example.layout)
    task_app.command(task, cls=SectionedCommand, epilog=epilog)(command)
    return loaded(task_app, task)


def run(
    task: str, overrides: SettingOverrides, config_file: Path | None, *, resume: bool, overwrite: bool, as_json: bool
) -> None:
    """Merge config file and options, tune, and print the result."""
    from telly.advice.auto import tune
    from telly.config import read_toml, to_toml
    from telly.freezing.variants import ADAPTERS
    from telly.processes import interruptible
    from telly.runs.folder import RunFolder
    from telly.settings.config import TuneConfig

    values = read_toml(config_file) if config_file else {}
    values |= {"task": task} | overrides.values
    config = TuneConfig.parse(values, str(config_file or "options"), overrides.options).resolve()
    is_main = os.environ.get("RANK", "0") == "0"  # under torchrun only the first process prints
    if is_main and not as_json:
        typer.echo(to_toml(config), err=True)
    with interruptible():
        record = tune(config, resume=resume, overwrite=overwrite)
    if not is_main:
        return
    if as_json:
        typer.echo(json.dumps(record.to_dict(), indent=1))
        return
    from telly.cli.console import print_records

    print_records([record])
    folder = RunFolder(config.output)
    if record.verdict is not None:
        typer.echo(f"verdict: {record.verdict.sentence}")
    typer.echo(f"\nrecord: {folder.record}\nmodel:  {folder.model}")
    if config.method in ADAPTERS:
        typer.echo(f"adapter: {folder.adapter}")
    if folder.predictions.is_file():
        typer.echo(f"predictions on {record.tested_on}: {folder.predictions}")
