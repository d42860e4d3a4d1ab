"""Limits of requests: bytes, seconds, and number at a time."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telly.serving.access import needs_token, refusal
from telly.serving.settings import ServerSettings


class Limits:
    """Middleware that reads a request's body within its limits, and then has it answered within its time.

    A body that says too large a size is refused before it is read, one that says none (chunked) as soon as it is too
    large. Whatever is behind is cancelled when the time is over.

    Args:
        app: what answers.
        settings: the limits.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self.app = app
        self.settings = settings
        self._working = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if not needs_token(scope["path"]):  # pages and health are there however busy the server is
            await self._within_time(scope, receive, send)
            return
        if self._working >= self.settings.at_a_time:
            text = f"{self._working} requests are being worked on, which is as many as this server takes; try again"
            await refusal(503, text, Retry_After="1")(scope, receive, send)
            return
        self._working += 1
        try:
            await self._within_time(scope, receive, send)
        finally:
            self._working -= 1

    async def _within_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = body_read = False

        async def sent(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            async with asyncio.timeout(self.settings.seconds):
                body = await self._body(scope, receive)
                if body is None:
                    await self._too_large()(scope, receive, sent)
                    return
                body_read = True
                await self.app(scope, _replayed(body, receive), sent)
        except TimeoutError:
            if started:
                raise
            late = f"took longer than {self.settings.seconds:g} s, which is this server's limit"
            gone = refusal(504, f"the answer {late} (--timeout)")
            await (gone if body_read else refusal(408, f"the request's body {late}"))(scope, receive, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None where it is too large."""
        said = Headers(scope=scope).get("content-length", "0")
        if not said.isdecimal() or int(said) > self.settings.max_request_bytes:
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
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
