"""Limits on requests: bytes, seconds, and number at a time."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telly.serving.access import needs_token, refusal
from telly.serving.settings import ServerSettings


class Limits:
    """Middleware that limits the number of requests at a time, the size of their bodies and the time of their answers.

    A body that declares too large a size is refused before it is read, one without a declared size (chunked) as soon as
    it is too large. When the time is over, the application is cancelled.

    Args:
        app: the application that answers.
        settings: the limits.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self.app = app
        self.settings = settings
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if not needs_token(scope["path"]):  # pages and health are answered even if the server is busy
            await self._within_time(scope, receive, send)
            return
        if self._active >= self.settings.max_concurrent:
            text = f"the server is busy with {self._active} requests, which is its limit; try again"
            await refusal(503, text, Retry_After="1")(scope, receive, send)
            return
        self._active += 1
        try:
            await self._within_time(scope, receive, send)
        finally:
            self._active -= 1

    async def _within_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = body_read = False

        async def track_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            async with asyncio.timeout(self.settings.seconds):
                body = await self._body(scope, receive)
                if body is None:
                    await self._too_large()(scope, receive, track_start)
                    return
                body_read = True
                await self.app(scope, _replayed(body, receive), track_start)
        except TimeoutError:
            if started:  # too late for another status; the server closes the connection
                raise
            late = f"took longer than {self.settings.seconds:g} s, which is this server's limit"
            timeout = refusal(504, f"the answer {late} (--timeout)")
            await (timeout if body_read else refusal(408, f"the request's body {late}"))(scope, receive, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None if it is too large."""
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > self.settings.max_request_bytes:
            return None
        body = bytearray()
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self.settings.max_request_bytes:
                return None
            more = message.get("more_body", False)
        return bytes(body)

    def _too_large(self) -> ASGIApp:
        limit = self.settings.max_request_bytes // 1024
        return refusal(
            413, f"the request's body is larger than {limit:,} KB, which is this server's limit (--max-request-kb)",
            Connection="close",
        )  # fmt: skip


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the application the body, which has been read already, as one message."""
    replayed = False

    async def replay() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
