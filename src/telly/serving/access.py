"""Access control: a token, or requests from this machine only; and the headers that restrict browsers."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API = "/api/"
OPEN_PATHS = frozenset({"/api/health"})
"""Paths of the API that need no token."""
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names in `Host` by which a server without a token may be addressed."""
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
    """An error as JSON; names of headers have `_` for `-`."""
    return JSONResponse({"error": text}, status, {name.replace("_", "-"): value for name, value in headers.items()})


def needs_token(path: str) -> bool:
    """True for paths of the API that need the token."""
    return path.startswith(API) and path not in OPEN_PATHS


class SecurityHeaders:
    """Middleware that adds headers to every response: browsers may only run and fetch what the server itself sends."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class Gate:
    """Middleware that checks the token; without a token, requests must address this machine by its own name.

    Another site may point its host name at 127.0.0.1 (DNS rebinding), so that its pages can read answers as their own;
    their requests still have that name in `Host`. A token protects from that, too, since those pages do not know it.
    Requests from pages of other sites are refused in both cases, and there are no CORS headers.

    Args:
        app: the application that answers the requests let through.
        token: the token, if one is needed.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        refused = self._refusal(Headers(scope=scope), scope["path"]) if scope["type"] == "http" else None
        await (refused or self.app)(scope, receive, send)

    def _refusal(self, headers: Headers, path: str) -> JSONResponse | None:
        if self.token is None and _host_name(headers.get("host", "")) not in LOCAL_NAMES:
            return refusal(
                421, "without a token this server is reached as localhost only; for other names it needs one: "
                "telly serve --token-file FILE"
            )  # fmt: skip
        if path.startswith(API) and headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            return refusal(403, "this request is from a page of another site; the API is not for pages of other sites")
        if self.token is not None and needs_token(path) and not self._has_token(headers):
            return refusal(
                401,
                "this needs the server's token; expected the header `Authorization: Bearer TOKEN`",
                WWW_Authenticate='Bearer realm="telly"',
            )
        return None

    def _has_token(self, headers: Headers) -> bool:
        assert self.token is not None
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        # compared in constant time, which does not reveal how much is right; as bytes, since it may not be ASCII
        return scheme.lower() == "bearer" and hmac.compare_digest(credentials.strip().encode(), self.token.encode())


def _host_name(host: str) -> str:
    """A host's name without its port."""
    end = host.find("]") if host.startswith("[") else host.find(":") - 1
    return host[: end + 1].lower() if end >= 0 else host.lower()
