"""The API in this process: answers as the commands give them, limits, and who is let in."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel
from typer.testing import CliRunner

from serving.conftest import HOSTILE_FILE, TOKEN
from telly.cli import app as commands
from telly.errors import ConfigError
from telly.mining.repository.languages import NAMES
from telly.serving import messages
from telly.serving.app import create_app
from telly.serving.highlight import _lexer, marked
from telly.serving.library import Library, models_by_task
from telly.serving.settings import ServerSettings, check_token, find_address, read_token
from telly.using.locations import functions_of_text
from telly.using.search import build_index
from using.conftest import DATES

HERE = "http://localhost:8000"
CLOSED = [
    ("GET", "/api/about", None),
    ("GET", "/api/search?query=date", None),
    ("POST", "/api/search", {"query": "date"}),
    ("POST", "/api/clones", {}),
    ("POST", "/api/summarize", {"code": DATES}),
    ("POST", "/api/complete", {"code": DATES}),
    ("POST", "/api/generate", {"description": "add"}),
    ("POST", "/api/classify", {"code": DATES}),
]


def client(library: Library, **settings: Any) -> TestClient:
    app = create_app(library, ServerSettings(**settings))
    return TestClient(app, base_url=HERE, raise_server_exceptions=False)


def command(*args: str) -> Any:
    result = CliRunner().invoke(commands, [*args, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_search_is_what_the_command_prints(library: Library, model_folder: Path) -> None:
    http = client(library)
    for options in ({}, {"top": 3, "by": "bm25", "lines": 0}, {"top": 2, "by": "dense", "lines": 40}):
        flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        expected = command("search", "read a date", str(library.root), "--model", str(model_folder), *flags)
        posted = http.post("/api/search", json={"query": "read a date", **options})
        got = http.get("/api/search", params={"query": "read a date", **options})
        assert posted.status_code == got.status_code == 200
        assert posted.json() == got.json() == expected and expected["hits"]
        messages.SearchAnswer.model_validate(posted.json(), extra="forbid")


def test_texts_are_answered_as_files_are(library: Library, model_folder: Path) -> None:
    http, model, file = client(library), ("--model", str(model_folder)), str(library.root / "dates.py")
    summaries = http.post("/api/summarize", json={"code": DATES}).json()
    expected = command("summarize", file, *model)
    assert summaries["summaries"] == [{**row, "path": ""} for row in expected["summaries"]] and len(DATES) > 1
    messages.SummariesAnswer.model_validate(summaries, extra="forbid")
    line = http.post("/api/complete", json={"code": DATES, "line": 7}).json()
    assert line == command("complete", f"{file}:7", *model) and line["indent"] == "    "
    for code in (DATES, f"{DATES}\n\n"):
        answer = http.post("/api/complete", json={"code": code}).json()
        assert answer["line"] == code.count("\n") + 1, "the line after the last, which may be empty"
    code = http.post("/api/generate", json={"description": "merge the rows"}).json()
    assert code == command("generate", "merge the rows", *model)
    clones = http.post("/api/clones", json={"min_similarity": 1, "min_lines": 4}).json()
    expected = command("clones", str(library.root), "--min-similarity", "1", "--min-lines", "4", *model)
    assert clones == {**expected, "total": 1}
    messages.ClonesAnswer.model_validate(clones, extra="forbid")


def test_models_are_loaded_once(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    import telly.serving.library as module

    loaded: list[str] = []
    real = module.TunedModel.load
    monkeypatch.setattr(
        module.TunedModel, "load", lambda model, tasks, **more: loaded.append(tasks[0]) or real(model, tasks, **more)
    )
    http = client(library)
    for _ in range(2):
        assert http.post("/api/generate", json={"description": "add"}).status_code == 200
        assert http.get("/api/search", params={"query": "date"}).status_code == 200
    assert loaded == ["generate"]


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/api/search", {"query": "  "}, 422, "the query is blank; expected words"),
        ("/api/search", {"query": "x" * 1001}, 422, "query: String should have at most 1000 characters"),
        ("/api/search", {"query": "x", "top": 101}, 422, "top: Input should be less than or equal to 100"),
        ("/api/search", {"query": "x", "by": "magic"}, 422, "by: Input should be 'fused', 'dense' or 'bm25'"),
        ("/api/search", {"query": "x", "topp": 3}, 422, "topp: Extra inputs are not permitted"),
        ("/api/search", {}, 422, "query: Field required"),
        ("/api/search", "{", 422, "JSON decode error"),
        ("/api/search", '{"query": "\\ud800"}', 422, "query: "),
        ("/api/search", "[" * 50_000, 422, ""),
        ("/api/summarize", {"code": "x = 1"}, 422, "no functions found in the code; expected python"),
        ("/api/summarize", {"code": "x", "language": "cobol"}, 422, "language: unknown language; known: python, java"),
        (
            "/api/summarize",
            {"code": "def f(x):\n    return x\n" * 51},
            422,
            "the code has 51 functions; expected at most",
        ),
        ("/api/complete", {"code": DATES, "line": 99}, 422, "line: expected a line from 2 to 19, found 99"),
        ("/api/generate", {"description": " \n"}, 422, "the description is blank; expected what the code should do"),
        (
            "/api/clones",
            {"min_similarity": 2},
            422,
            "expected a cosine above 0 and at most 1, found 2",
        ),
        ("/api/classify", {"code": DATES}, 409, "was not tuned for classify, so it has no classes to choose from;"),
        ("/api/nothing", {}, 404, "there is no /api/nothing; /docs lists what there is"),
        ("/api/about", {}, 405, "/api/about is not for POST"),
    ],
)
def test_errors_say_what_was_expected(library: Library, path: str, body: Any, status: int, text: str) -> None:
    sent = (
        {"json": body} if isinstance(body, dict) else {"content": body, "headers": {"Content-Type": "application/json"}}
    )
    answer = client(library).post(path, **sent)
    assert text in answer.json()["error"] and set(answer.json()) == {"error"}
    assert answer.status_code == status or (text == "" and 400 <= answer.status_code < 500)


def test_a_failure_tells_nothing_of_the_inside(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library.searcher, "search", lambda *_: 1 / 0)
    answer = client(library).get("/api/search", params={"query": "date"})
    assert answer.status_code == 500
    assert answer.json() == {"error": "the server failed on this request; its log says why"}


def test_only_json_is_read_so_that_other_sites_must_ask_first(library: Library) -> None:
    text = json.dumps({"query": "date"})
    answer = client(library).post("/api/search", content=text, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422
    for site in ("cross-site", "same-site"):
        answer = client(library).get("/api/search?query=date", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 403 and "another site" in answer.json()["error"]
    answer = client(library).get("/api/about", headers={"Sec-Fetch-Site": "same-origin", "Origin": HERE})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:9", "[::1]:8000", "LOCALHOST"])
def test_this_machines_names_are_let_in(library: Library, host: str) -> None:
    assert client(library).get("/api/about", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:8000", "127.0.0.1.evil.example", "evil@localhost", ""]
)
def test_a_name_that_was_pointed_here_is_refused(library: Library, host: str) -> None:
    for path in ("/", "/api/health", "/api/about", "/docs", "/page/search.js"):
        answer = client(library).get(path, headers={"Host": host})
        assert answer.status_code == 421 and "localhost only" in answer.json()["error"]
    with_token = client(library, token=TOKEN)
    assert with_token.get("/", headers={"Host": host}).status_code == 200
    assert with_token.get("/api/about", headers={"Host": host}).status_code == 401


@pytest.mark.parametrize(("method", "path", "body"), CLOSED)
def test_a_token_is_asked_for_everywhere(library: Library, method: str, path: str, body: Any) -> None:
    http = client(library, token=TOKEN)
    wrong = [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        TOKEN,
        f"Basic {TOKEN}",
        "Bearer é",
    ]
    for given in wrong:
        headers = {} if given is None else {"Authorization": given.encode()}
        answer = http.request(method, path, json=body, headers=headers)  # type: ignore[arg-type]
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert TOKEN not in answer.text
    answer = http.request(method, path, json=body, headers={"Authorization": f"bearer {TOKEN}"})
    assert answer.status_code == (409 if path == "/api/classify" else 200)


def test_every_call_is_open_or_asks_for_the_token(library: Library) -> None:
    http = client(library, token=TOKEN)
    listed = {
        (method.upper(), path)
        for path, methods in http.get("/openapi.json").json()["paths"].items()
        for method in methods
    }
    assert listed == {(method, path.partition("?")[0]) for method, path, _ in CLOSED} | {("GET", "/api/health")}
    assert http.get("/api/health").json()["status"] == "ok"
    for odd in ("/api//about", "/api/./about", "//api/about", "/API/about", "/api/about/", "/api/health/../about"):
        assert http.get(odd, follow_redirects=False).status_code != 200


def test_a_request_is_at_most_so_large(library: Library) -> None:
    http = client(library, max_request_bytes=2048)
    fits = {"query": "x" * 900}
    assert http.post("/api/search", json=fits).status_code == 200
    answer = http.post("/api/search", json={"query": "x" * 4000})
    assert answer.status_code == 413 and "larger than 2 KB" in answer.json()["error"]

    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield b"x" * 100

    answer = http.post("/api/search", content=chunks(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    answer = http.post("/api/search", content=b"x", headers={"Content-Length": "-5"})
    assert answer.status_code == 413


def test_a_request_takes_at_most_so_long_and_the_next_one_works(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, stop, calls = library.searcher.search, threading.Event(), []

    def slow(query: str, top: int, by: Any) -> Any:
        calls.append(query)
        if query == "slow":
            stop.wait(30)
        return real(query, top, by)

    monkeypatch.setattr(library.searcher, "search", slow)
    with client(library, seconds=0.4) as http:
        started = time.monotonic()
        answer = http.get("/api/search?query=slow")
        assert answer.status_code == 504 and time.monotonic() - started < 5
        assert answer.json()["error"] == "the answer took longer than 0.4 s, which is this server's limit (--timeout)"
        assert http.get("/api/about").status_code == 200, "the event loop lives"
        assert http.get("/api/search?query=waits").status_code == 504, "the former is not done yet"
        stop.set()
        deadline = time.monotonic() + 10
        while http.get("/api/search?query=date").status_code != 200 and time.monotonic() < deadline:
            pass
        assert http.get("/api/search?query=date").status_code == 200
        assert "waits" not in calls, "what was given up before its turn is never begun"


def test_so_many_requests_are_worked_on(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, begun = threading.Event(), threading.Event()
    real = library.searcher.search

    def slow(*args: Any) -> Any:
        begun.set()
        stop.wait(5)
        return real(*args)

    monkeypatch.setattr(library.searcher, "search", slow)
    with client(library, max_concurrent=1) as http:
        first: list[int] = []
        thread = threading.Thread(target=lambda: first.append(http.get("/api/search?query=date").status_code))
        thread.start()
        assert begun.wait(20)
        answer = http.get("/api/search?query=date")
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"
        assert http.get("/api/health").status_code == http.get("/").status_code == 200
        stop.set()
        thread.join(20)
        assert first == [200]
        assert http.get("/api/search?query=date").status_code == 200, "its place is free again"


def test_marks_are_pieces_that_make_the_text_again(library: Library) -> None:
    answer = client(library).post(
        "/api/search", json={"query": "how do I read a Date", "marked": True, "lines": 50, "by": "bm25"}
    )
    messages.SearchAnswer.model_validate(answer.json(), extra="forbid")
    hits = {hit["name"]: hit for hit in answer.json()["hits"]}
    for hit in hits.values():
        shown = hit["marked"]
        assert "\n".join("".join(piece["text"] for piece in line) for line in shown["lines"]) == hit["snippet"]
        for name in ("signature", "description"):
            assert "".join(piece["text"] for piece in shown[name]) == hit[name]
    found = hits["parse_date"]["marked"]
    assert [piece["text"] for piece in found["signature"] if piece["match"]] == ["date"]
    assert [piece["text"] for piece in found["description"] if piece["match"]] == ["Read", "date"], "not: a, do"
    assert {"text": "def", "kind": "keyword", "match": False} in found["signature"]
    assert "<b>" in "".join(piece["text"] for line in hits["steal"]["marked"]["lines"] for piece in line)
    assert hits["steal"]["path"] == HOSTILE_FILE


@pytest.mark.parametrize("language", NAMES)
def test_every_language_has_its_colours(language: str) -> None:
    assert _lexer(language) is not None


def test_long_code_is_plain_after_a_while() -> None:
    code = "def f(date):\n" + "    date = 'text'\n" * 2000
    [location] = functions_of_text(code, "python")
    started = time.monotonic()
    shown = marked("date", location, 10_000)
    assert time.monotonic() - started < 5 and shown["more"] == 0
    assert "\n".join("".join(piece["text"] for piece in line) for line in shown["lines"]) == location.function.code
    assert [piece["kind"] for piece in shown["lines"][1]] == ["", "", "", "string"]
    assert [(piece["text"], piece["kind"], piece["match"]) for piece in shown["lines"][-1]] == [
        ("    ", "", False),
        ("date", "", True),
        (" = 'text'", "", False),
    ]


def test_a_new_index_is_taken_over(library: Library, model_folder: Path) -> None:
    http = client(library)
    assert "find_zebra" not in http.get("/api/search?query=zebra").text
    (library.root / "new.py").write_text("def find_zebra(animals):\n    return animals['zebra']\n")
    build_index(library.root, model=str(model_folder))
    assert http.get("/api/search?query=zebra&by=bm25").json()["hits"][0]["name"] == "find_zebra"
    assert http.get("/api/about").json()["functions"] == 8


def test_pages_load_nothing_from_elsewhere(library: Library) -> None:
    http = client(library, token=TOKEN)
    for path in ("/", "/docs"):
        answer = http.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
        assert "unsafe" not in policy and answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "http:" not in answer.text and "https:" not in answer.text and "style=" not in answer.text
    for name in ("base.css", "search.css", "search.js", "theme.js"):
        assert http.get(f"/page/{name}").status_code == 200
    for name in ("reference.html.j2", "../app.py", "..%2fapp.py", "__init__.py"):
        assert http.get(f"/page/{name}").status_code == 404


def test_the_reference_has_every_call_and_field(library: Library) -> None:
    http = client(library)
    page, openapi = http.get("/docs").text, http.get("/openapi.json").json()
    for path in openapi["paths"]:
        assert f"</span> {path}</h2>" in page
    used = {
        name
        for model in vars(messages).values()
        if isinstance(model, type) and issubclass(model, BaseModel) and model not in {BaseModel, messages.ErrorMessage}
        for name in model.model_fields
    }
    assert len(used) > 30 and all(f">{name}</code>" in page for name in used)
    assert "at most 1,000 characters" in page and "required" in page and "by default 10" in page
    calls_with_errors = sum(
        len(call["responses"]) > 1 for methods in openapi["paths"].values() for call in methods.values()
    )
    assert page.count("<summary>Errors</summary>") == calls_with_errors == 8
    assert page.count("The token is missing or wrong.") == 8


def test_tokens_come_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_token(file, {"TELLY_TOKEN": "another-one-of-some-length"}) == TOKEN
    assert read_token(None, {"TELLY_TOKEN": TOKEN}) == TOKEN
    assert read_token(None, {}) is None
    assert TOKEN not in repr(ServerSettings(token=TOKEN))
    for text in ("short", "", "with a space in the middle", "ümläüts-are-no-header-signs"):
        file.write_text(text)
        with pytest.raises(ConfigError, match="expected a token of at least 16 ASCII letters") as error:
            read_token(file, {})
        assert not text or text not in str(error.value)
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory; make one: python -c"):
        read_token(tmp_path / "none", {})


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("192.0.2.1", False)],
)
def test_which_addresses_are_this_machines(host: str, local: bool) -> None:
    address = find_address(host, 0)
    assert address.local is local
    check_token(address, TOKEN)
    if not local:
        with pytest.raises(ConfigError, match="other machines can reach this server, so it needs a token"):
            check_token(address, None)


def test_two_models_for_a_task_are_refused(model_folder: Path) -> None:
    assert models_by_task([str(model_folder)]) == {"": str(model_folder)}
    with pytest.raises(ConfigError, match=r"--model: both .* and telly-mini are not tuned; give one of them"):
        models_by_task([str(model_folder), "telly-mini"])
