"""`telly serve` in a process of its own: what it prints, refuses and survives."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serving.conftest import TOKEN, serving
from telly.cli import app
from tiny_runs import run_telly

SLOW = "import time, telly.serving.library as l\nl.Library.generate = lambda self, text: time.sleep(600)"


def test_help_has_worked_examples() -> None:
    text = CliRunner().invoke(app, ["serve", "--help"]).output
    assert "  telly serve ~/src/shop\n" in text and "--token-file token" in text


def test_it_makes_an_index_answers_and_ends(hostile_tree: Path, model_folder: Path) -> None:
    with serving(str(hostile_tree), "--model", str(model_folder), "--timeout", "5") as server:
        assert f"search: {server.url}  API: {server.url}/docs  no token; Ctrl-C stops" in server.said
        assert server.ask("GET", "/api/health").json["status"] == "ok"
        answer = server.ask("POST", "/api/search", {"query": "read a date", "top": 3})
        assert answer.status == 200 and len(answer.json["hits"]) == 3
        assert "server" not in answer.headers and "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert server.ask("GET", "/api/about", Host=f"evil.example:{server.port}").status == 421
        found = run_telly("search", "read a date", str(hostile_tree), "--top", "3", "--json").out
        assert json.loads(found) == answer.json, "the command, while it is served"


def test_bodies_without_a_length_are_cut_off(hostile_tree: Path, model_folder: Path) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65536

    with serving(str(hostile_tree), "--model", str(model_folder), "--max-request-kb", "1") as server:
        assert server.ask("POST", "/api/search", {"query": "x" * 2000}).status == 413
        with pytest.raises((ConnectionError, BrokenPipeError)):
            server.ask("POST", "/api/search", endless())
        assert 0 < sent < 5000
        said = b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
            line.sendall(said + b"Transfer-Encoding: chunked\r\n\r\n800\r\n" + b"x" * 0x800 + b"\r\n")
            assert line.recv(4096).startswith(b"HTTP/1.1 413 ")
        assert server.ask("GET", "/api/about").status == 200


def test_slow_answers_and_slow_bodies_end(hostile_tree: Path, model_folder: Path) -> None:
    with serving(str(hostile_tree), "--model", str(model_folder), "--timeout", "1", setup=SLOW) as server:
        late = threading.Thread(target=lambda: server.ask("POST", "/api/generate", {"description": "add"}))
        late.start()
        answer = server.ask("POST", "/api/generate", {"description": "add"})
        assert answer.status == 504 and "took longer than 1 s" in answer.json["error"]
        late.join()
        assert server.ask("GET", "/api/search?query=date").status == 200
        said = b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
            line.sendall(said)
            assert line.recv(4096).startswith(b"HTTP/1.1 408 ")
        # the end of the block interrupts it while the thread still generates: it must end all the same


def test_others_need_a_token(hostile_tree: Path, model_folder: Path, tmp_path: Path) -> None:
    model = ("--model", str(model_folder))
    refused = run_telly("serve", str(hostile_tree), "--host", "0.0.0.0", "--port", "0", *model, code=2)
    assert refused.error.startswith("--host: on 0.0.0.0 other machines can reach this server, so it needs a token: ")
    assert not (tmp_path / "cache").exists(), "nothing is made before"
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    with serving(str(hostile_tree), "--host", "0.0.0.0", "--token-file", str(file), *model) as server:
        assert "with token" in server.said and TOKEN not in server.said
        assert server.ask("GET", "/api/about", Host="shop.example").status == 401
        assert server.ask("GET", "/api/about", Host="shop.example", Authorization=f"Bearer {TOKEN}").status == 200
        assert server.ask("GET", "/", Host="shop.example").status == 200
        err = (server.telly._folder / "err").read_text()
        assert f"other users of this machine can read the token; chmod 600 {file}" in err and TOKEN not in err


def test_a_token_counts_on_localhost_too(
    hostile_tree: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = f"import os; os.environ['TELLY_TOKEN'] = {TOKEN!r}"
    with serving(str(hostile_tree), "--model", str(model_folder), setup=setup) as server:
        assert server.ask("GET", "/api/about").status == 401
        assert server.ask("GET", "/api/about", Authorization=f"Bearer {TOKEN}").status == 200


def test_a_taken_port_and_a_strange_host(hostile_tree: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_telly("serve", str(hostile_tree), "--port", str(port), code=2)
    assert ended.error == (
        f"--port: {port} is taken by another program; give another one, or --port 0 for any that is free"
    )
    ended = run_telly("serve", str(hostile_tree), "--host", "no such host", code=2)
    assert ended.error.startswith("--host: 'no such host' is not an address of this machine; expected 127.0.0.1")
    ended = run_telly("serve", str(hostile_tree / "nothing"), "--port", "0", code=2)
    assert ended.error.endswith("no such folder; expected a folder of sources")


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'fastapi' else real(name, *more)\n"
        "sys.argv = ['telly', 'serve', '.']\n"
        "from telly.cli import main; main()"
    )
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert ended.returncode == 2
    assert ended.stderr == "telly: error: serving needs FastAPI and uvicorn: pip install 'telly[serve]'\n"
    assert time.monotonic() - started < 60
