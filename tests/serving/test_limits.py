"""Limits and headers without a library behind them: what a request costs it gives back, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telly.serving.access import SecurityHeaders
from telly.serving.limits import Limits
from telly.serving.settings import ServerSettings

PATH = "/api/search"


async def ask(app: ASGIApp, path: str = PATH, body: Iterable[bytes] = (b"",), stalls: bool = False) -> list[Message]:
    """Send a request in these pieces and return what was answered; a stalling client never sends the last one."""
    pieces = list(body)
    sent: list[Message] = []

    async def receive() -> Message:
        if not pieces:
            await asyncio.sleep(60)
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces) or stalls}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "path": path, "headers": []}, receive, send)
    return sent


def status(messages: list[Message]) -> Any:
    return messages[0]["status"]


async def ok(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"public")]})
    await send({"type": "http.response.body", "body": b""})


class Switch:
    """An app that does what it is told to next."""

    def __init__(self) -> None:
        self.ends = "well"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.ends == "late":
            await asyncio.sleep(60)
        if self.ends == "with an error":
            raise RuntimeError("broken")
        await ok(scope, receive, send)
        if self.ends == "late after its start":
            await asyncio.sleep(60)


@pytest.mark.parametrize("ends", ["late", "with an error", "late after its start", "body late", "body too large"])
def test_a_request_gives_its_place_back_however_it_ends(ends: str):
    """One at a time: were a place lost, every later request would be answered 503."""
    app = Switch()
    limits = Limits(app, ServerSettings(seconds=0.05, max_concurrent=1, max_request_bytes=10))
    expected = {"late": 504, "body late": 408, "body too large": 413}

    async def run() -> None:
        for _ in range(3):
            app.ends = ends
            if ends in {"with an error", "late after its start"}:
                with pytest.raises(RuntimeError if ends == "with an error" else TimeoutError):
                    await ask(limits)
            else:
                body = [b"x" * 11] if ends == "body too large" else [b""]
                assert status(await ask(limits, body=body, stalls=ends == "body late")) == expected[ends]
            app.ends = "well"
            assert status(await ask(limits)) == 200

    asyncio.run(run())


def test_as_many_as_allowed_are_worked_on_and_pages_are_always_there():
    """Of four requests at once two are answered late, and two at once with 503; a page does not count."""
    app = Switch()
    app.ends = "late"
    limits = Limits(app, ServerSettings(seconds=0.1, max_concurrent=2))

    async def run() -> None:
        found = await asyncio.gather(*(ask(limits) for _ in range(4)))
        assert sorted(map(status, found)) == [503, 503, 504, 504]
        waiting = [asyncio.create_task(ask(limits)) for _ in range(2)]
        await asyncio.sleep(0)
        app.ends = "well"
        assert status(await ask(limits, path="/")) == status(await ask(limits, path="/api/health")) == 200
        await asyncio.gather(*waiting)

    asyncio.run(run())


def test_every_answer_may_be_kept_nowhere_and_run_nothing_foreign():
    """The exact headers, also where the app behind has said otherwise."""
    (start, _) = asyncio.run(ask(SecurityHeaders(ok)))
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    assert found["cache-control"] == "no-store"
    assert found["x-content-type-options"] == "nosniff"
    assert found["referrer-policy"] == "no-referrer"
    assert found["cross-origin-resource-policy"] == found["cross-origin-opener-policy"] == "same-origin"
    assert "default-src 'none'" in found["content-security-policy"]
    assert len(found) == 6 and len(start["headers"]) == 6
