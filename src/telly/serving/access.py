"""Access: a token, or this machine alone; and the headers that restrict browsers."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API = "/api/"
OPEN = frozenset({"/api/health"})
"""Paths of the API that need no token."""
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def refusal(status: int, text: str, **headers: str) -> JSONResponse:
    """An error as JSON."""
    return JSONResponse({"error": text}, status, {name.replace("_", "-"): value for name, value in headers.items()})


def needs_token(path: str) -> bool:
    """True for paths of the API that need the token."""
    return path.startswith(API) and path not in OPEN


class Protected:
    """Middleware that adds headers to every response: browsers may only run and fetch what the server itself sends."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, sent)


class Gate:
    """Middleware that checks the token; without a token, requests must address this machine by its own name.

    A page of another site may point its name at 127.0.0.1 (DNS rebinding) and then read answers as its own; its
    requests still have that name in `Host`. A token protects from that too: the other page does not know it. What
    another site's page asks for is refused either way; there are no CORS headers.

    Args:
        app: what is behind the gate.
        token: the token, if one is needed.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        refused = self._refused(Headers(scope=scope), scope["path"]) if scope["type"] == "http" else None
        await (refused or self.app)(scope, receive, send)

    def _refused(self, headers: Headers, path: str) -> JSONResponse | None:
        if self.token is None and _name(headers.get("host", "")) not in LOCAL_NAMES:
            return refusal(
                421, "this server without a token is reached as localhost only; to be reached by another name it "
                "needs one: telly serve --token-file FILE"
            )  # fmt: skip
        if path.startswith(API) and headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            return refusal(403, "a page of another site asked for this; the API is not for pages of other sites")
        if self.token is not None and needs_token(path) and not self._has_token(headers):
            return refusal(
                401,
                "this needs the server's token; expected the header `Authorization: Bearer TOKEN`",
                WWW_Authenticate='Bearer realm="telly"',
            )
        return None

    def _has_token(self, headers: Headers) -> bool:
        assert self.token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # compared as bytes, and in a time that does not tell how much of it is right
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token.encode())


def _name(host: str) -> str:
    """A host's name without its port."""
    end = host.find("]") if host.startswith("[") else host.find(":") - 1
    return host[: end + 1].lower() if end >= 0 else host.lower()
