"""The command line: one file a subcommand, parsing and printing only.

Importing this module must stay cheap (`telly --help` shows within a third of a second), so torch, transformers and
datasets are imported inside the commands.
"""

from __future__ import annotations

import logging
import os
import sys

import typer

from telly.cli import (
    advise,
    cache,
    classify,
    clones,
    compare,
    complete,
    data,
    demo,
    export,
    generate,
    index,
    listing,
    plan,
    pretrain,
    probe,
    report,
    score,
    search,
    serve,
    study,
    summarize,
    tune,
)
from telly.cli.messages import show_messages
from telly.errors import TellyError

USER_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(
    help="Fine-tune pre-trained code models cheaply: frozen layers run once, the top trains from the store.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(tune.app, name="tune")
app.command("plan", epilog=plan.EPILOG)(plan.plan)
app.command("advise", epilog=advise.EPILOG)(advise.advise)
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")
app.command("pretrain", epilog=pretrain.EPILOG)(pretrain.pretrain)
app.command("demo")(demo.demo)
app.command("score", epilog=score.EPILOG)(score.score)
app.command("compare", epilog=compare.EPILOG)(compare.compare)
app.command("probe", epilog=probe.EPILOG)(probe.probe)
app.command("report", epilog=report.EPILOG)(report.report)
app.command("export", epilog=export.EPILOG)(export.export)
app.command("push", epilog=export.PUSH_EPILOG)(export.push)
app.command("study", epilog=study.EPILOG)(study.study)
app.command("index", epilog=index.EPILOG)(index.index)
app.command("search", epilog=search.EPILOG)(search.search)
app.command("serve", epilog=serve.EPILOG)(serve.serve)
app.command("clones", epilog=clones.EPILOG)(clones.clones)
app.command("summarize", epilog=summarize.EPILOG)(summarize.summarize)
app.command("complete", epilog=complete.EPILOG)(complete.complete)
app.command("generate", epilog=generate.EPILOG)(generate.generate)
app.command("classify", epilog=classify.EPILOG)(classify.classify)
app.command("ls")(listing.ls)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Fine-tune pre-trained code models cheaply: frozen layers run once, the top trains from the store."""
    show_messages()
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("telly"))
        raise typer.Exit


def main() -> None:
    """Entry point: errors a user can mend become one clear line and exit code 2; Ctrl-C exits with 130."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.getLogger("telly").propagate = False  # a library that configures the root logger would print all twice
    try:
        app()
    except TellyError as error:
        print(f"telly: error: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        print("telly: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
