"""Every table of README and docs that comes from a result file is what the file says, and no such table is missed."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import quality, run

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"<!-- ([\w-]+):begin -->\n(.*?)\n?<!-- \1:end -->", re.DOTALL)
FROM_CODE = {"library", "loop", "columns", "presets", "families", "refused"}
"""Blocks that come from the code, and have tests of their own."""
PROGRAMS = [
    *((name, ["--table"]) for name in ("run", "tasks", "packages", "search", "analysis", "findings", "paper_study")),
    *(
        (name, ["--table"])
        for name in ("pretraining", "study", "advice", "secret_masking", "error_rates", "cosqa", "chunks")
    ),
    *(("quality", [name, "--table"]) for name in quality.STUDIES if (quality.RESULTS / f"{name}.json").is_file()),
    ("scaling", []),
    ("verdicts", []),
]


def blocks_of(page: Path) -> dict[str, str]:
    return dict(BLOCK.findall(page.read_text(encoding="utf-8")))


def rendered_by(program: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[tuple[Path, str], str]:
    """What a program would write into the pages; it writes nothing."""
    found: dict[tuple[Path, str], str] = {}

    def keep(page: Path, markdown: str, block: str = "bench") -> bool:
        found[page, block] = markdown
        return True

    module = importlib.import_module(f"benchmarks.{program}")
    for owner in (module, importlib.import_module("benchmarks.table")):
        if hasattr(owner, "update_readme"):
            monkeypatch.setattr(owner, "update_readme", keep)
    if hasattr(module, "save_figure"):
        monkeypatch.setattr(module, "save_figure", lambda figure, file: None)
    monkeypatch.setattr(sys, "argv", [f"benchmarks/{program}.py", *arguments])
    module.main()
    return found


@pytest.mark.parametrize(("program", "arguments"), PROGRAMS, ids=[" ".join([name, *more]) for name, more in PROGRAMS])
def test_tables_are_what_the_result_files_say(
    program: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered_by(program, arguments, monkeypatch)
    assert found
    for (page, block), markdown in found.items():
        command = " ".join(["python", f"benchmarks/{program}.py", *(arguments or [])])
        assert blocks_of(page)[block] == markdown, f"{page.name}, block {block}: run `{command}`"


def test_every_table_has_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    covered = {place for program in PROGRAMS for place in rendered_by(*program, monkeypatch)}
    there = {(page, block) for page in PAGES for block in blocks_of(page)}
    assert len(there) > 20
    unmeasured = {
        (ROOT / study.page, study.block or name)
        for name, study in quality.STUDIES.items()
        if not (quality.RESULTS / f"{name}.json").is_file()
    }
    for page, block in unmeasured:
        assert blocks_of(page)[block].startswith("Not measured yet"), f"{page.name}, block {block}"
    assert {place for place in there if place[1] not in FROM_CODE} == covered | unmeasured


def ratios(kind: str) -> dict[str, float]:
    """Steps and whole runs of UniXcoder's shape in fp32: how much faster K=9 cached is than another variant."""
    shape = run.newest_result()["shapes"]["unixcoder"]
    steps, whole = shape["steps"]["fp32"], shape["whole"]
    return {
        "step": steps[kind]["median_seconds"] / steps["K=9 cached"]["median_seconds"],
        "run": whole[kind]["wall_seconds"] / whole["K=9 cached"]["wall_seconds"],
    }


def test_ratios_in_the_readmes_first_sentences_are_measured() -> None:
    text = " ".join(PAGES[0].read_text(encoding="utf-8").partition("<!-- bench:begin -->")[0].split())
    said = re.search(
        r"a step is ([\d.]+) times .*?, and ([\d.]+) times .*? included, ([\d.]+) and ([\d.]+) times", text
    )
    assert said
    full, frozen = ratios("full"), ratios("K=9 frozen")
    expected = [full["step"], frozen["step"], full["run"], frozen["run"]]
    assert list(said.groups()) == [f"{ratio:.2f}" for ratio in expected]


def test_gains_over_bm25_in_prose_are_measured() -> None:
    rows = json.loads((ROOT / "benchmarks" / "results" / "packages.json").read_text(encoding="utf-8"))["packages"]
    low, high = (f"{choose(row['gain']['difference'] for row in rows):.2f}".replace("0.", ".") for choose in (min, max))
    sure = sum(row["gain"]["low"] > 0 for row in rows)
    for page in (ROOT / "README.md", ROOT / "docs" / "walkthrough.md"):
        text = " ".join(page.read_text(encoding="utf-8").split())
        assert f"from {low} to +{high}" in text or f"from +{low} to +{high}" in text, page.name
        assert f"above zero on {sure} of the five" in text, page.name
