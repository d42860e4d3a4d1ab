"""Address, token and limits of a server; a token comes from a file or the environment, never from a command."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from telly.errors import ConfigError

TOKEN_VARIABLE = "TELLY_TOKEN"
MIN_TOKEN = 16
"""Minimum number of characters; `secrets.token_urlsafe` makes twice as many."""
MAKE_TOKEN = "python -c 'import secrets; print(secrets.token_urlsafe(24))' > token && chmod 600 token"


@dataclass(frozen=True)
class ServerSettings:
    """Address, token and limits of a server.

    Attributes:
        host: address to listen on; a token is required unless it is this machine's own.
        port: port; 0 for any that is free.
        token: token that requests to the API must send; None for no token.
        max_request_bytes: maximum size of a request's body.
        seconds: maximum duration of a request.
        max_concurrent: maximum number of requests to the API at a time, waiting ones included.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    max_request_bytes: int = 256 * 1024
    seconds: float = 60
    max_concurrent: int = 16


def read_token(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token from a file, else from the environment, else None.

    Raises:
        ConfigError: the file cannot be read, or the token is too short or has characters that a header cannot hold.
    """
    if file is None:
        if TOKEN_VARIABLE not in environment:
            return None
        return _checked(environment[TOKEN_VARIABLE], TOKEN_VARIABLE)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not text"
        raise ConfigError(f"--token-file: {file}: cannot be read: {why}; make one: {MAKE_TOKEN}") from None
    return _checked(text, f"--token-file: {file}")


def _checked(text: str, source: str) -> str:
    token = text.strip()
    if len(token) < MIN_TOKEN or not all("!" <= char <= "~" for char in token):
        found = f"{len(token)} characters" if len(token) < MIN_TOKEN else "other characters"
        raise ConfigError(
            f"{source}: expected a token of at least {MIN_TOKEN} ASCII letters, digits or punctuation marks without "
            f"spaces, found {found}; make one: {MAKE_TOKEN}"
        )
    return token


def others_can_read(file: Path) -> bool:
    """True if other users of the machine can read a file."""
    return os.name == "posix" and bool(file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


@dataclass(frozen=True)
class Address:
    """Address that a server listens on."""

    family: socket.AddressFamily
    name: tuple[Any, ...]

    @property
    def local(self) -> bool:
        """True if only programs of this machine can reach it."""
        return ipaddress.ip_address(str(self.name[0]).partition("%")[0]).is_loopback


def find_address(host: str, port: int) -> Address:
    """Look up the address of a host.

    Raises:
        ConfigError: there is no such host.
    """
    try:
        family, _, _, _, name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError):
        raise ConfigError(
            f"--host: {host!r} is not an address of this machine; expected 127.0.0.1, or 0.0.0.0 for all networks"
        ) from None
    return Address(family, name)


def check_token(address: Address, token: str | None) -> None:
    """Refuse to serve other machines without a token.

    Raises:
        ConfigError: other machines could reach the server, and there is no token.
    """
    if not address.local and token is None:
        raise ConfigError(
            f"--host: on {address.name[0]} other machines can reach this server, so it needs a token: "
            f"--token-file FILE, or the variable {TOKEN_VARIABLE}; make one: {MAKE_TOKEN}"
        )


def bind(address: Address) -> socket.socket:
    """Bind a socket to the address; it does not listen yet.

    Raises:
        ConfigError: the port is taken or not allowed, or the address is another machine's.
    """
    bound = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        # a restarted server need not wait for old connections; on Windows the option would share the port
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address.name)
    except OSError as error:
        bound.close()
        host, port = address.name[:2]
        if error.errno == errno.EADDRINUSE:
            text = f"--port: {port} is taken by another program; give another one, or --port 0 for any that is free"
        elif error.errno == errno.EACCES:
            text = f"--port: {port} needs more rights than you have; give one from 1024 on"
        else:
            text = f"--host: cannot listen on {host}: {error.strerror or error}; expected an address of this machine"
        raise ConfigError(text) from None
    return bound


def url(bound: socket.socket) -> str:
    """URL of the server for a browser."""
    host, port = bound.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
