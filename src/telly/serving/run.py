"""A server process: its address first, then what it answers from, then requests until it is interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from telly.errors import ConfigError
from telly.serving.settings import ServerSettings, bind, check_token, find_address, url
from telly.using.search import Say

GOODBYE_SECONDS = 3
"""That requests have to end after an interruption."""
MAX_CONNECTIONS = 200


def serve(
    path: Path | str,
    settings: ServerSettings,
    *,
    models: Sequence[str] = (),
    index: Path | None = None,
    update: bool = False,
    say: Say = lambda _line: None,
    ready: Say = lambda _url: None,
) -> None:
    """Serve a source tree until interrupted.

    Args:
        path: the tree; its index is made first if there is none.
        settings: where, who may ask, and for how much.
        models: for the tasks, as `telly.serving.library.models_by_task` takes them.
        index: the index's folder. [default: in the user's cache folder]
        update: bring the index up to date first.
        say: told what a person should know.
        ready: told the server's address, when it is about to answer.

    Raises:
        ConfigError: the extra is not installed, the address cannot be had, or a token is missing.
        TellyError: as `telly.serving.library.Library.open`.
    """
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise ConfigError("serving needs FastAPI and uvicorn: pip install 'telly[serve]'")
    address = find_address(settings.host, settings.port)
    check_token(address, settings.token)
    with bind(address) as bound:
        import uvicorn

        from telly.serving.app import create_app
        from telly.serving.library import Library

        library = Library.open(Path(path), models, index, update=update, say=say)
        config = uvicorn.Config(
            create_app(library, settings),
            http="h11",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,  # queries are nobody's business
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=GOODBYE_SECONDS,
        )
        bound.listen()
        ready(url(bound))
        with suppress(KeyboardInterrupt):  # it is how a server is stopped
            uvicorn.Server(config).run(sockets=[bound])
