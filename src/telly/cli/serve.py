"""`telly serve`: search and the tuned models over HTTP, with a search page."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from telly.cli.using import IndexFolder

EPILOG = """Examples:

  telly serve ~/src/shop

Serves a search page at http://127.0.0.1:8000 to this machine only; /docs describes the API. Ctrl-C stops the server.

  telly serve ~/src/shop --model runs/search-k9 --model runs/summarize-k9 --update

Uses these runs, each for its task, and updates the index first.

  python -c 'import secrets; print(secrets.token_urlsafe(24))' > token && chmod 600 token
  telly serve ~/src/shop --host 0.0.0.0 --token-file token

Serves other machines, which must send the token: curl -H "Authorization: Bearer $(cat token)" ... The connection is
not encrypted; in an untrusted network, run it behind an HTTPS proxy. The token can also be set as TELLY_TOKEN.
"""

logger = logging.getLogger(__name__)


def serve(
    path: Annotated[Path, typer.Argument(help="Source folder; its index is created if there is none.")] = Path(),
    model: Annotated[
        list[str] | None,
        typer.Option(help="A run, used for its task, or a model, used for tasks without a run; repeatable. "
                     "[default: each task's newest run]"),
    ] = None,
    index_folder: IndexFolder = None,
    host: Annotated[str, typer.Option(help="Address to listen on; addresses other than this machine's need a token.")]
    = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that requests must send. [default: TELLY_TOKEN]")
    ] = None,
    max_request_kb: Annotated[int, typer.Option(min=1, help="Maximum size of a request, in KB.")] = 256,
    timeout: Annotated[float, typer.Option(min=0.1, help="Maximum duration of a request, in seconds.")] = 60,
    update: Annotated[bool, typer.Option("--update", help="Update the index first.")] = False,
) -> None:  # fmt: skip
    """Serve search, clones, summaries, completions, code and classes over HTTP, with a search page."""
    from telly.serving.run import serve as run
    from telly.serving.settings import ServerSettings, others_can_read, read_token

    token = read_token(token_file)
    if token_file is not None and others_can_read(token_file):
        logger.warning("%s: other users of this machine can read the token; chmod 600 %s", token_file, token_file)

    def announce(url: str) -> None:
        typer.echo(f"search: {url}  API: {url}/docs  {'with' if token else 'no'} token; Ctrl-C stops")

    settings = ServerSettings(host, port, token, max_request_kb * 1024, timeout)
    run(path, settings, models=model or (), index=index_folder, update=update, on_ready=announce)
    logger.info("stopped")
