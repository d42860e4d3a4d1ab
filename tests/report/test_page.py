"""The page in a real browser: Debian's chromium, driven by Playwright, from disk and without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from handwritten_runs import write_all

from chromium import chromium
from tiny_runs import run_telly

RESULTS = "#results-search-2"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    runs = write_all(folder / "runs")
    run_telly("report", str(runs), "--output", str(folder / "out"), "--with-paper", "--resamples", "300")
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Any, page_file: Path) -> Iterator[Any]:
    """The report, open; what the console says and what is asked of the network must be nothing."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light", offline=True)
    opened = context.new_page()
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: complaints.append(request.url)
              if not request.url.startswith(("file:", "data:")) else None)  # fmt: skip
    opened.goto(page_file.as_uri())
    yield opened
    context.close()
    assert not complaints


def column(page: Any, number: int, table: str = RESULTS) -> list[str]:
    """Texts of a column's visible cells."""
    cells = page.locator(f"{table} tbody tr:visible > :nth-child({number})")
    return [text.split("\n")[0].strip() for text in cells.all_inner_texts()]


def test_it_loads_with_all_figures(page: Any):
    assert page.title() == "Tuning code models with frozen layers"
    figures = page.locator(".drawing svg")
    assert figures.count() == 2 * 4 + 2 + 2
    for i in range(figures.count()):
        box = figures.nth(i).bounding_box()
        assert box and box["width"] > 250 and box["height"] > 80
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_tables_sort_up_down_and_back_with_what_is_missing_last(page: Any):
    before = column(page, 1)
    head = page.locator(f"{RESULTS} thead th").nth(4)  # convergence s
    for way, expected in (
        ("ascending", ["K=11 cached", "K=9 cached", "K=6 frozen", "base", "untuned"]),
        ("descending", ["base", "K=6 frozen", "K=9 cached", "K=11 cached", "untuned"]),
    ):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == way
        assert column(page, 1) == expected
    head.locator("button").click()
    assert head.get_attribute("aria-sort") is None and column(page, 1) == before


def test_tables_sort_with_the_keyboard(page: Any):
    page.locator(f"{RESULTS} thead button").first.focus()
    page.keyboard.press("Enter")
    assert column(page, 1) == ["base", "K=6 frozen", "K=9 cached", "K=11 cached", "untuned"], "9 comes before 11"
    assert page.locator(f"{RESULTS} thead th").first.get_attribute("aria-sort") == "ascending"


def test_tables_filter(page: Any):
    page.locator(f"{RESULTS} input").fill("cached k=9")
    assert column(page, 1) == ["K=9 cached"]
    assert page.locator(f"{RESULTS} output").inner_text() == "1 of 5"
    page.locator(f"{RESULTS} input").fill("nothing like it")
    assert column(page, 1) == []
    page.locator(f"{RESULTS} input").fill("")
    assert len(column(page, 1)) == 5


def test_hovering_and_focus_tell_the_run(page: Any):
    tooltip = page.locator("#tooltip")
    assert not tooltip.is_visible()
    page.locator(f"{RESULTS} tbody tr").nth(3).locator("td").nth(1).hover()
    assert "seeds 0, 1, 2" in tooltip.inner_text() and "search-9-s0" in tooltip.inner_text()
    page.keyboard.press("Escape")
    assert not tooltip.is_visible()
    page.keyboard.press("Tab")
    point = page.locator("#search-2 .drawing .tip").first
    point.focus()
    assert "mrr" in tooltip.inner_text() and "telly-mini" in tooltip.inner_text()


def test_both_themes_and_the_button(browser: Any, page: Any, tmp_path: Path):
    def colors() -> tuple[str, str, str]:
        style = "getComputedStyle(document.querySelector('{}')).{}"
        return (page.evaluate(style.format("body", "backgroundColor")), page.evaluate(style.format("body", "color")),
                page.evaluate(style.format(".drawing svg", "color")))  # fmt: skip

    light = colors()
    page.screenshot(path=tmp_path / "light.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    dark = colors()
    page.screenshot(path=tmp_path / "dark.png", full_page=True)
    assert light[0] == "rgb(255, 255, 255)" and dark[0] == "rgb(21, 24, 30)"
    assert light[1] == light[2] != dark[1] == dark[2], "figures follow the theme"
    assert (tmp_path / "light.png").read_bytes() != (tmp_path / "dark.png").read_bytes()
    page.locator("#theme").click()
    assert page.locator("#theme").inner_text() == "Theme: light" and colors() == light


def test_a_phone_scrolls_tables_and_not_the_page(page: Any):
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(f"(e => e.scrollWidth > e.clientWidth)(document.querySelector('{RESULTS} .scroll'))")


def test_print_shows_no_controls_and_cuts_no_table(page: Any, tmp_path: Path):
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible() and not page.locator("#theme").is_visible()
    page.set_viewport_size({"width": 1032, "height": 700})  # A4 across, 12 mm margins
    for table in page.locator("table").all():
        box = table.bounding_box()
        assert box and box["x"] + box["width"] <= 1032 + 1
    page.emulate_media(media="screen")
    page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    assert (tmp_path / "report.pdf").stat().st_size > 20_000
