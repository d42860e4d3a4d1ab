"""`telly serve`: search and the tuned models over HTTP, and a page for search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from telly.cli.using import IndexFolder, say

EPILOG = """Examples:

  telly serve ~/src/shop

a page for search at http://127.0.0.1:8000, for this machine only; the API is described at /docs. Ctrl-C stops it.

  telly serve ~/src/shop --model runs/search-k9 --model runs/summarize-k9 --update

with these runs, each for its task, and the index brought up to date first.

  python -c 'import secrets; print(secrets.token_urlsafe(24))' > token && chmod 600 token
  telly serve ~/src/shop --host 0.0.0.0 --token-file token

for other machines, which need the token: curl -H "Authorization: Bearer $(cat token)" ... The connection is not
encrypted; put a proxy with HTTPS before it in a network that you do not trust. TELLY_TOKEN holds the token as well.
"""


def serve(
    path: Annotated[Path, typer.Argument(help="A folder of sources; its index is made if there is none.")] = Path(),
    model: Annotated[
        list[str] | None,
        typer.Option(help="A run, for its task, or another model, for tasks without a run here; repeatable. "
                     "[default: each task's newest run]"),
    ] = None,
    index_folder: IndexFolder = None,
    host: Annotated[str, typer.Option(help="The address to listen on; others than this machine's need a token.")]
    = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="A file with the token that requests must bring. [default: TELLY_TOKEN]")
    ] = None,
    max_request_kb: Annotated[int, typer.Option(min=1, help="Largest body of a request.")] = 256,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a request may take.")] = 60,
    update: Annotated[bool, typer.Option("--update", help="Bring the index up to date first.")] = False,
) -> None:  # fmt: skip
    """Serve search, clones, summaries, lines, code and classes over HTTP, with a page for search."""
    from telly.serving.run import serve as run
    from telly.serving.settings import ServerSettings, others_can_read, read_token

    token = read_token(token_file)
    if token_file is not None and others_can_read(token_file):
        say(f"{token_file}: other users of this machine can read the token; chmod 600 {token_file}")

    def announce(url: str) -> None:
        typer.echo(f"search: {url}  API: {url}/docs  {'with' if token else 'no'} token; Ctrl-C stops")

    settings = ServerSettings(host, port, token, max_request_kb * 1024, timeout)
    run(path, settings, models=model or (), index=index_folder, update=update, on_ready=announce)
    say("stopped")
