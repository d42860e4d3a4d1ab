"""`telly tune TASK`."""

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
    from telly.cli.options import GivenSettings

EXAMPLES = """Examples:

  telly tune {task} --freeze 9

tunes the embedded model on the sample; layers 0 to 8 are frozen and run once.

  telly tune {task} --model DIR --freeze 9 \\
    {data}

tunes your model on your data ({layout}). The same command with --resume continues an interrupted run.

  torchrun --standalone --nproc-per-node 2 -m telly tune {task} --freeze 9

trains with two processes; --batch-size is the number of examples over all of them.

  telly tune {task} --freeze 9 --method lora

trains LoRA adapters in the layers from 9 on; RUN/adapter is a few hundred KB that peft loads. Needs telly[peft].
"""


class TuneCommands(LazyGroup):
    """A command per task; each has the options of its task, whose declarations are imported when it is used."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = LazyCommands({task: partial(_command, task) for task in TASKS})

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the tasks with their summaries; no command is made for that."""
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
    from telly.settings.lists import SETTINGS, lacking

    def tune_task(
        given: GivenSettings,
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
        run(task, given, config, resume=resume, overwrite=overwrite, as_json=as_json)

    tune_task.__doc__ = f"Tune for {TASKS[task].summary}."
    tune_task.__annotations__["given"] = Any
    settings = {name: declared for name, declared in SETTINGS.items() if name != "task"}
    command = with_settings(tune_task, settings, lambda _given: TASKS[task].schema, lacking(task))
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    example = TASKS[task].data_example
    epilog = EXAMPLES.format(task=task, data=example.options, layout=example.layout)
    alone.command(task, cls=SectionedCommand, epilog=epilog)(command)
    return loaded(alone, task)


def run(
    task: str, given: GivenSettings, config_file: Path | None, *, resume: bool, overwrite: bool, as_json: bool
) -> None:
    """Merge file and options, tune, print the result."""
    from telly.advice.auto import tune
    from telly.config import read_toml, to_toml
    from telly.freezing.variants import ADAPTERS
    from telly.processes import interruptible
    from telly.runs.folder import RunFolder
    from telly.settings.config import TuneConfig

    values = read_toml(config_file) if config_file else {}
    values |= {"task": task} | given.values
    config = TuneConfig.parse(values, str(config_file or "options"), given.options).resolve()
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
    folder = RunFolder(config.output)
    typer.echo(f"\nrecord: {folder.record}\nmodel:  {folder.model}")
    if config.method in ADAPTERS:
        typer.echo(f"adapter: {folder.adapter}")
    if folder.predictions.is_file():
        typer.echo(f"predictions on {record.tested_on}: {folder.predictions}")
