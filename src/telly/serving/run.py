"""The server process: bind the address, load index and model, answer requests until interrupted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from telly.errors import ConfigError
from telly.serving.settings import ServerSettings, bind, check_token, find_address, url

SHUTDOWN_SECONDS = 3
"""Seconds that running requests get to finish after an interruption."""
MAX_CONNECTIONS = 200


def serve(
    path: Path | str,
    settings: ServerSettings,
    *,
    models: Sequence[str] = (),
    index: Path | None = None,
    update: bool = False,
    on_ready: Callable[[str], None] = lambda _url: None,
) -> None:
    """Serve a source tree until interrupted.

    Args:
        path: the tree; its index is made first if there is none.
        settings: address, token and limits.
        models: models for the tasks, as for `telly.serving.library.models_by_task`.
        index: the index's folder. [default: in the user's cache folder]
        update: bring the index up to date first.
        on_ready: called with the server's URL before the first request is answered.

    Raises:
        ConfigError: the extra is not installed, the address cannot be bound, or a token is missing.
        TellyError: as `telly.serving.library.Library.open`.
    """
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise ConfigError("serving needs FastAPI and uvicorn: pip install 'telly[serve]'")
    address = find_address(settings.host, settings.port)
    check_token(address, settings.token)
    with bind(address) as bound:  # before the models are loaded, so that a taken port is reported at once
        import uvicorn

        from telly.serving.app import create_app
        from telly.serving.library import Library

        library = Library.open(Path(path), models, index, update=update)
        config = uvicorn.Config(
            create_app(library, settings),
            http="h11",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,  # queries are private
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        bound.listen()
        on_ready(url(bound))
        with suppress(KeyboardInterrupt):  # the usual way to stop a server
            uvicorn.Server(config).run(sockets=[bound])
