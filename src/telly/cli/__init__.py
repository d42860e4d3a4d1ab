"""Command line: one module per command, for parsing and printing only.

To keep `telly --help` fast, a command's module is imported when the command is used, and heavy libraries when it runs.
"""

from __future__ import annotations

import logging
import os
import sys

import typer

from telly.cli.groups import CommandEntry, CommandGroups
from telly.cli.messages import show_messages
from telly.errors import TellyError

USER_ERROR = 2
INTERRUPTED = 130
SUMMARY = (
    "Fine-tune pre-trained code models cheaply: frozen layers run once, the rest trains from the activation cache."
)
COMMANDS = (
    CommandEntry("tune", "Tune", "Tune a model on a task", "tune"),
    CommandEntry("study", "Tune", "Run a grid of models, tasks, variants and seeds", "study"),
    CommandEntry("data", "Tune", "Make data from a repository, and check data", "data"),
    CommandEntry("cache", "Tune", "List, verify and remove activation caches", "cache"),
    CommandEntry("pretrain", "Tune", "Pre-train a small model on Python sources", "pretrain"),
    CommandEntry("demo", "Tune", "Compare full and frozen tuning, in minutes", "demo"),
    CommandEntry("advise", "Decide", "Choose K by short pilot runs", "advise"),
    CommandEntry("plan", "Decide", "Show parameters and costs of base and every K", "plan"),
    CommandEntry("ls", "Decide", "List tasks with their columns and presets", "listing"),
    CommandEntry("report", "Analyse", "Write a page of all results, with tests", "report"),
    CommandEntry("score", "Analyse", "Score predictions, with confidence intervals", "score"),
    CommandEntry("compare", "Analyse", "Compare models layer by layer", "compare"),
    CommandEntry("probe", "Analyse", "Probe what each layer knows about code", "probe"),
    CommandEntry("search", "Use", "Find functions by what they do", "search"),
    CommandEntry("index", "Use", "Index a source tree for search", "index"),
    CommandEntry("clones", "Use", "Find clones in a source tree", "clones"),
    CommandEntry("summarize", "Use", "Describe functions in words", "summarize"),
    CommandEntry("complete", "Use", "Complete a line of code", "complete"),
    CommandEntry("generate", "Use", "Write the code that a text describes", "generate"),
    CommandEntry("classify", "Use", "Classify functions", "classify"),
    CommandEntry("serve", "Use", "Serve all of these over HTTP", "serve"),
    CommandEntry("export", "Share", "Write a model for sentence-transformers or ONNX", "export"),
    CommandEntry("push", "Share", "Upload a model to the Hugging Face hub", "export", epilog="PUSH_EPILOG"),
)
"""All commands in the order of help."""


class TellyCommands(CommandGroups):
    """The commands of `telly`."""

    entries = COMMANDS


app = typer.Typer(
    cls=TellyCommands,
    help=SUMMARY,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Attach the log handler; print the version if `--version` is given."""
    show_messages()
    if version:
        from importlib.metadata import version as installed_version

        typer.echo(installed_version("telly"))
        raise typer.Exit


def main() -> None:
    """Entry point: a `TellyError` becomes one line on stderr and exit code 2, Ctrl-C exit code 130."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.getLogger("telly").propagate = False  # else messages appear twice if a library configures the root logger
    try:
        app()
    except TellyError as error:
        print(f"telly: error: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        print("telly: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
