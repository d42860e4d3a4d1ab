"""A small tree with hostile code in it, and a server of it in a process of its own."""

from __future__ import annotations

import http.client
import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from telly.serving.library import Library
from tiny_runs import Ended, Telly
from using.conftest import model_folder, own_cache, tree, tuned  # noqa: F401 - the same tree and model

HOSTILE = '''def steal(cookie="</script><script>window.hacked = 1</script>"):
    """Read a date <img src=x onerror="window.hacked = 2"> & more."""
    markup = "<svg onload='window.hacked = 3'>"
    return markup + "<b>date</b>"
'''
HOSTILE_FILE = "<img src=x onerror=alert(1)>.py"
TOKEN = "a-token-of-some-length"


@pytest.fixture
def hostile_tree(tree: Path) -> Path:  # noqa: F811
    """The tree with a function and a file name that would like to be markup."""
    (tree / HOSTILE_FILE).write_text(HOSTILE)
    return tree


@pytest.fixture
def library(hostile_tree: Path, model_folder: Path) -> Library:  # noqa: F811
    return Library.open(hostile_tree, [str(model_folder)])


@dataclass
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Served:
    """A server in a process of its own."""

    telly: Telly
    port: int
    said: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """A request; a body that is no text is sent as JSON, an iterator in chunks without a length."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            body = json.dumps(body) if isinstance(body, dict) else body
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, sent, encode_chunked=isinstance(body, Iterator))
            found = connection.getresponse()
            return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read().decode())
        finally:
            connection.close()


@contextmanager
def serving(*args: str, setup: str = "", ends_within: float = 20) -> Iterator[Served]:
    """A server on a free port; it is interrupted in the end, and must end well."""
    telly = Telly("serve", *args, "--port", "0", setup=setup)
    out = telly._folder / "out"
    end = time.monotonic() + 120
    while not (found := re.search(r"http://\S+:(\d+)", out.read_text() if out.exists() else "")):
        assert not telly.ended and time.monotonic() < end, telly.end()
        time.sleep(0.02)
    try:
        yield Served(telly, int(found[1]), out.read_text())
    finally:
        started = time.monotonic()
        telly.signal(signal.SIGINT)
        ended: Ended = telly.end()
    assert ended.code == 0 and ended.err.rstrip().endswith("stopped"), ended.err
    assert "Traceback" not in ended.err, ended.err
    assert time.monotonic() - started < ends_within
