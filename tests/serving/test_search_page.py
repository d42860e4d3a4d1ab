"""The search page in a real browser, against a server process; hostile code in the tree must stay text."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from chromium import chromium
from serving.conftest import HOSTILE, HOSTILE_FILE, TOKEN, Served, serving
from using.conftest import DATES, FILES, GO

LONG = (
    "def long_date(text):\n" + "".join(f"    step_{n} = text.count('{n}')\n" for n in range(80)) + "    return text\n"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def server(browser: Any, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("served") / "shop"
    (root / "shop").mkdir(parents=True)
    for name, text in {"dates.py": DATES, "shop/files.py": FILES, "shop/retry.go": GO, HOSTILE_FILE: HOSTILE,
                       "long.py": LONG}.items():  # fmt: skip
        (root / name).write_text(text)
    for number in range(12):
        (root / f"many{number}.py").write_text(f"def many_{number}(item):\n    return item.many({number})\n")
    with serving(str(root), "--model", str(model_folder), "--index", str(root.parent / "index")) as served:
        yield served


@contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """A page; what the console says, and what is asked of others, must be nothing."""
    complaints: list[str] = []
    allowed: list[str] = []
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", **options})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: complaints.append(request.url)
            if not request.url.startswith((f"{url.partition('?')[0]}", "data:")) else None)  # fmt: skip
    page.complaints, page.allowed = complaints, allowed
    page.goto(url)
    yield page
    context.close()
    assert [text for text in complaints if not any(part in text for part in allowed)] == []


@pytest.fixture
def page(browser: Any, server: Served) -> Iterator[Any]:
    with opened(browser, f"{server.url}/") as found:
        found.locator("#name:not(:empty)").wait_for()
        yield found


def search(page: Any, query: str, by: str = "Both") -> list[str]:
    """Search as a person does; the places that were found."""
    page.locator("#query").fill("")
    page.get_by_label(by, exact=True).check()
    page.locator("#query").fill(query)
    with page.expect_response("**/api/search"):
        page.keyboard.press("Enter")
    page.locator("#results:not([aria-busy])").wait_for(state="attached")
    page.locator("#status", has_text=re.compile(r" in [\d.]+ m?s$|^No")).wait_for()
    return list(page.locator("#results .file").all_inner_texts())


def test_it_greets_with_what_is_served(page: Any) -> None:
    assert page.locator("h1").inner_text() == "Search shop"
    assert re.fullmatch(r"20 functions, indexed on \w+ \d+, \d{4} with .*/tiny", page.locator("#about").inner_text())
    assert page.locator("#welcome").is_visible() and page.locator("#results li").count() == 0
    assert page.evaluate("document.activeElement.id") == "query"
    page.locator("#welcome button").first.click()
    page.locator("#results li").first.wait_for()
    assert page.locator("#query").input_value() == "how do I parse a date"
    assert not page.locator("#welcome").is_visible()


def test_results_have_place_signature_description_and_marked_code(page: Any) -> None:
    found = search(page, "read a date from a text", "Words")
    assert found[0] == "dates.py:4"
    first = page.locator("#results li").first
    assert first.locator("h2").inner_text() == "def parse_date(text)"
    assert first.locator(".description").inner_text() == "Read a date from a text."
    assert first.locator(".description mark").all_inner_texts() == ["Read", "date", "text"], "not: a, from"
    assert first.locator("pre").inner_text().startswith('    parts = text.split("-")\n'), (
        "the heading is the first line"
    )
    assert first.locator("pre mark").all_inner_texts() == ["text"]
    assert first.locator("pre .k-string").inner_text() == '"-"'
    assert first.locator("h2 .k-keyword").inner_text() == "def"
    assert re.match(r"python · score \d+\.\d{4} · ", first.locator(".scores").inner_text()) is None
    assert re.fullmatch(r"python · score \d+\.\d{4}", first.locator(".scores").inner_text())
    assert re.fullmatch(r"\d+ functions in [\d.]+ m?s", page.locator("#status").inner_text())
    search(page, "read a date from a text")
    assert " · meaning " in page.locator(".scores").first.inner_text()


def test_hostile_code_and_names_stay_text(page: Any) -> None:
    found = search(page, "read a date markup steal")
    at = found.index(f"{HOSTILE_FILE}:1")
    item = page.locator("#results > li").nth(at)
    assert "<svg onload='window.hacked = 3'>" in item.locator("pre").inner_text()
    assert '"</script><script>window.hacked = 1</script>"' in item.locator("h2").inner_text()
    assert page.locator("#results :is(img, svg, script, b, iframe)").count() == 0
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    page.goto(f"{page.url.partition('?')[0]}?q=" + "%3Cimg%20src%3Dx%20onerror%3D%22window.hacked%3D4%22%3E&by=%22%3E")
    page.locator("#results li").first.wait_for()
    assert page.evaluate("window.hacked") is None and page.locator("main img").count() == 0


def test_whatever_the_server_answers_is_text(page: Any) -> None:
    bad = '"><img src=x onerror="window.hacked = 5"><script>window.hacked = 6</script>'
    pieces = [{"text": bad, "kind": 'x" onclick="window.hacked = 7', "match": True}]
    marked = {"signature": pieces, "description": pieces, "lines": [pieces] * 2, "more": 0}
    hit = {"path": bad, "line": bad, "name": f"a.{bad}", "language": bad, "description": bad, "marked": marked}
    hit |= {"score": 1, "similarity": 0.5, "bm25": None}
    page.route("**/api/search", lambda route: route.fulfill(json={"hits": [hit]}))
    search(page, "anything")
    assert page.locator("#results").inner_text().count(bad) == 7
    assert page.locator("#results :is(img, script)").count() == 0
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None


def test_the_policy_would_stop_it_even_so(page: Any) -> None:
    page.allowed += ["TrustedHTML", "Content Security Policy", "TrustedScript"]
    assert page.evaluate("try { document.body.innerHTML = '<b>x</b>'; 'set' } catch { 'refused' }") == "refused"
    assert page.evaluate("fetch('https://example.org/').then(() => 'sent', () => 'refused')") == "refused"
    page.complaints[:] = [text for text in page.complaints if text != "https://example.org/"]


def test_long_functions_unfold(page: Any) -> None:
    search(page, "long date")
    item = page.locator("#results > li", has_text="long.py").first
    assert item.locator("pre").inner_text().count("\n") == 7
    button = item.locator(".unfold")
    assert button.inner_text() == "Show 51 more lines"
    button.click()
    assert item.locator("pre").inner_text().count("\n") == 58 and button.get_attribute("aria-expanded") == "true"
    assert item.locator(".note").inner_text() == "22 more lines are in the file."
    button.click()
    assert item.locator("pre").inner_text().count("\n") == 7 and not item.locator(".note").is_visible()


def test_more_functions_and_none(page: Any) -> None:
    assert len(search(page, "many", "Words")) == 10
    page.locator("#more").click()
    page.locator("#results > li").nth(11).wait_for()
    assert page.locator("#results > li").count() == 12 and not page.locator("#more").is_visible()
    assert page.evaluate("[...document.querySelectorAll('#results > li')].indexOf(document.activeElement)") == 10
    assert search(page, "zebra", "Words") == []
    assert "No function has one of these words" in page.locator("#status").inner_text()
    page.locator("#query").fill("")
    page.keyboard.press("Enter")
    page.locator("#welcome").wait_for()
    assert page.locator("#status").inner_text() == ""


def test_the_keyboard_is_enough(page: Any) -> None:
    page.locator("#theme").focus()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.type("many/")
    assert page.locator("#query").input_value() == "many/"
    page.keyboard.press("Enter")
    page.locator("#results li").first.wait_for()
    where = "[...document.querySelectorAll('#results > li')].indexOf(document.activeElement)"
    for key, expected in (
        ("ArrowDown", 0),
        ("ArrowDown", 1),
        ("ArrowUp", 0),
        ("ArrowUp", -1),
        ("ArrowDown", 0),
        ("Escape", -1),
    ):
        page.keyboard.press(key)
        assert page.evaluate(where) == expected, key
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.locator("input[name=by]:checked").get_attribute("value") == "dense"


def test_addresses_name_a_search(browser: Any, page: Any, server: Served) -> None:
    search(page, "many", "Words")
    assert page.url == f"{server.url}/?q=many&by=bm25" and page.title() == "many - telly search"
    search(page, "parse date", "Both")
    assert page.url == f"{server.url}/?q=parse+date"
    page.go_back()
    page.locator("#results .file", has_text="many0.py").wait_for()
    assert page.locator("#query").input_value() == "many"
    assert page.locator("input[name=by]:checked").get_attribute("value") == "bm25"
    with opened(browser, f"{server.url}/?q=retry&by=bm25") as other:
        other.locator("#results .file", has_text="retry.go:4").wait_for()


def test_what_fails_is_said(page: Any) -> None:
    page.allowed += ["Failed to load resource", "ERR_FAILED"]
    search(page, "date")
    page.route("**/api/search", lambda route: route.abort())
    page.keyboard.press("Enter")
    page.get_by_text("The server does not answer. Is it still running?").wait_for()
    assert page.locator("#results li").count() == 0 and page.locator("#problem").get_attribute("role") == "alert"
    page.unroute("**/api/search")
    page.route("**/api/search", lambda route: route.fulfill(status=504, json={"error": "took <b>too</b> long"}))
    page.keyboard.press("Enter")
    page.get_by_text("took <b>too</b> long").wait_for()
    page.unroute("**/api/search")
    search(page, "date")
    assert not page.locator("#problem").is_visible()


def test_it_says_that_it_searches(page: Any) -> None:
    waiting: list[Any] = []

    def hold(route: Any) -> None:
        waiting.append(route)

    page.route("**/api/search", hold)
    page.locator("#query").fill("date")
    page.keyboard.press("Enter")
    page.get_by_text("Searching …").wait_for()
    assert page.locator("#results").get_attribute("aria-busy") == "true"
    page.locator("#query").fill("many")  # the answer to the former question must not come after this one's
    page.keyboard.press("Enter")
    deadline = time.monotonic() + 20
    while len(waiting) < 2 and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    waiting[1].continue_()
    page.locator("#results .file", has_text="many0.py").wait_for()
    with suppress(Exception):  # the page has given it up
        waiting[0].fulfill(json={"hits": []})
    page.wait_for_timeout(200)
    assert page.locator("#results").get_attribute("aria-busy") is None
    assert page.locator("#results .file").first.inner_text().startswith("many")


def test_a_place_is_copied(page: Any) -> None:
    search(page, "retry", "Words")
    page.get_by_label("Copy shop/retry.go:4").click()
    page.get_by_text("Copied", exact=True).wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "shop/retry.go:4"


def contrast(page: Any, selector: str) -> float:
    """Of an element's text with what is behind it, as WCAG counts it."""
    return page.locator(selector).first.evaluate("""element => {
      const light = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number).map((v) => v / 255)
        .map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, n) => sum + v * [.2126, .7152, .0722][n], 0);
      let behind = element;
      while (/, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
      const [a, b] = [light(getComputedStyle(element).color), light(getComputedStyle(behind).backgroundColor)];
      return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    }""")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_can_be_read(browser: Any, server: Served, scheme: str, tmp_path: Path) -> None:
    with opened(browser, f"{server.url}/?q=read+a+date+with+markup+weeks&by=bm25", color_scheme=scheme) as page:
        page.locator("#results li").first.wait_for()
        behind = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert behind == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 30)"}[scheme]
        for selector in ("#about", "#status", ".scores", ".name", "h2 .k-keyword", "h2 .k-function", "pre .k-string",
                         "pre mark", ".description mark", ".copy", "#search button", "fieldset span"):  # fmt: skip
            assert contrast(page, selector) >= 4.5, selector
        page.screenshot(path=tmp_path / f"{scheme}.png")
        page.locator("#theme").click()
        assert page.locator("#theme").inner_text() == "Theme: light"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_phone_scrolls_code_and_not_the_page(browser: Any, server: Served) -> None:
    with opened(browser, f"{server.url}/?q=steal+cookie+weeks", viewport={"width": 360, "height": 740}, has_touch=True,
                is_mobile=True) as page:  # fmt: skip
        page.locator("#results li").first.wait_for()
        for path in ("", "docs"):
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            page.goto(f"{server.url}/docs")
        page.go_back()
        for name in ("Search", "Both", "Words"):
            box = page.locator("#search").get_by_text(name, exact=True).bounding_box()
            assert box and box["height"] >= 30 and box["x"] + box["width"] <= 360


def test_the_reference_is_a_page_without_requests_to_others(browser: Any, server: Served) -> None:
    with opened(browser, f"{server.url}/") as page:
        page.locator(".tools a").click()
        page.locator("h1", has_text="API telly").wait_for()
        assert page.locator("section.call").count() == 9
        page.locator(".contents a", has_text="/api/generate").click()
        assert page.url.startswith(f"{server.url}/docs#")
        page.locator("#theme").click()
        assert page.locator("#theme").inner_text() == "Theme: light"


def test_a_person_types_the_token_once_a_tab(browser: Any, model_folder: Path, server: Served, tmp_path: Path) -> None:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "dates.py").write_text(DATES)
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    with (
        serving(str(root), "--model", str(model_folder), "--token-file", str(file)) as closed,
        opened(browser, f"{closed.url}/?q=date") as page,
    ):
        page.allowed += ["401 (Unauthorized)"]
        page.locator("#token").wait_for()
        assert page.locator("#token").get_attribute("type") == "password"
        assert page.evaluate("document.activeElement.id") == "token" and not page.locator("#search").is_visible()
        page.keyboard.type("not the token of this server")
        page.keyboard.press("Enter")
        page.get_by_text("That is not the server's token.").wait_for()
        page.keyboard.type(TOKEN)
        page.keyboard.press("Enter")
        page.locator("#results .file", has_text="dates.py:4").wait_for()
        assert TOKEN not in page.url and not page.locator("#access").is_visible()
        page.reload()
        page.locator("#results li").first.wait_for()
        page.locator("#forget").click()
        page.locator("#token").wait_for()
        page.locator("#results li").first.wait_for(state="detached")
        assert page.evaluate("sessionStorage.length + document.cookie.length") == 0
