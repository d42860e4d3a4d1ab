"""The advice benchmark: what it says of the paper's rows, and of a miniature study that it scores from its records."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tiny_runs import Tiny, tiny_data, tiny_model_folder
from tiny_studies import SETTINGS, telly_study, write_study

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import advice

PAGE = "<!-- advice-rule:begin -->\n<!-- advice-rule:end -->\n<!-- advice-study:begin -->\n<!-- advice-study:end -->\n"


def row(**more: Any) -> dict[str, Any]:
    """A task whose best of three variants is K=2, and whose advice, K=1, is .5 % below it and saves 60 %."""
    return {
        "model": "m", "task": "search", "metric": "mrr", "variant": "1", "rule": 1, "best": "2", "best_value": 0.8,
        "base_value": 0.78, "advice_seconds": 5.0, "base_seconds": 100.0, "seeds": 1, "value": 0.796, "loss": 0.005,
        "loss_interval": [0.012, 0.03], "in_grid": True, "seconds": 35.0, "saved": 0.6,
        "loss_to_base": -0.02, "possible": {"variant": "2", "saved": 0.4},
    } | more  # fmt: skip


def result(*rows: dict[str, Any]) -> dict[str, Any]:
    made = {"commit": "0123456789", "dirty": False, "processor": "A", "cpus": 2}
    about = {"date": "2026-01-02T03:04:05+00:00", "provenance": made}
    rule = {"rows": advice.score_rule()} | about
    studies = {"mini": {"settings": {"epochs": 2}, "task": {"search": {"beams": 1}}, "rows": list(rows)} | about}
    return {"tolerance": 0.01, "saving": 0.5, "rule": rule, "studies": studies}


def test_misses_are_shown():
    rows = (row(), row(task="clone", loss=0.02, loss_to_base=0.03), row(task="generate", saved=0.1),
            row(task="complete", loss=0.3, saved=0.0), row(task="summarize", variant="9", loss=0.02, in_grid=False,
                                                           loss_interval=None))  # fmt: skip
    text = advice.render_studies(result(*rows))
    assert [line.strip("| ").rpartition("|")[2].strip() for line in text.splitlines() if "(mrr)" in line] == [
        *("met", "**missed: quality**", "**missed: saving**", "**missed: quality and saving**", "**missed: quality**"),
    ]
    assert "| 9* (2) |" in text and "not in the grid, run for this comparison" in text
    assert "not in the grid" not in advice.render_studies(result(row()))
    assert "Within 1% of the best on 2 of 5; also at least 50% of the time saved on 1." in text
    assert "Study `mini`, m, 1 seed (epochs 2; search: beams 1)." in text
    assert "0.5% (1.2 to 3.0)" in text and "The loss is shown to exceed 1% on 4." in text
    assert "Within 1% of base, as promised, on 4." in text
    assert "40% (K=2)" in text and "A saving of 50% was possible on 0." in text
    assert "| search (mrr) | 1 (2) | 0.5% (1.2 to 3.0) | 60% | 40% (K=2) | met |" in text.splitlines()


def test_the_page_says_what_the_rule_gives():
    """The committed result is what the code gives now, and the page has it."""
    kept = json.loads(advice.RESULT.read_text())
    assert kept["rule"]["rows"] == json.loads(json.dumps(advice.score_rule()))
    assert advice.render_rule(kept) in advice.PAGE.read_text()
    assert advice.render_studies(kept) in advice.PAGE.read_text()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mini")
    tiny = Tiny(tiny_model_folder(folder / "model"), tiny_data(folder / "data"))
    variants = ["base", 0, 1, 2, 3, "frozen-2"]
    file = write_study(folder / "mini.toml", tiny, variants=variants, settings=SETTINGS | {"epochs": 1})
    telly_study(file, folder / "study")
    return folder / "study"


def test_a_study_is_scored_from_its_records(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "page.md").write_text(PAGE)
    arguments = ["--study", str(study), "--result", str(tmp_path / "advice.json"), "--page", str(tmp_path / "page.md")]
    monkeypatch.setattr(sys, "argv", ["benchmarks/advice.py", *arguments])
    advice.main()
    found = json.loads((tmp_path / "advice.json").read_text())
    (scored,) = found["studies"]["study"]["rows"]
    records = {record["plan"]["variant"]: record for record in
               (json.loads(file.read_text()) for file in study.glob("cells/*/record.json"))
               if record["config"]["cache"]}  # fmt: skip
    assert set(records) == {"base", "0", "1", "2", "3"}
    scores = {variant: record["test"]["mrr"] for variant, record in records.items()}
    assert scored["best_value"] == max(scores.values()) == scores[scored["best"]]
    assert scored["value"] == scores[scored["variant"]]
    assert scored["loss"] == pytest.approx(1 - scored["value"] / scored["best_value"])
    assert (scored["loss_interval"] is None) == (scored["variant"] == scored["best"])
    if scored["loss_interval"]:
        assert scored["loss_interval"][0] <= scored["loss"] <= scored["loss_interval"][1]
    assert scored["loss_to_base"] == pytest.approx(1 - scored["value"] / scores["base"])
    assert scores[scored["possible"]["variant"]] >= 0.99 * scored["best_value"]
    k = -1 if scored["variant"] == "base" else int(scored["variant"])
    below = sum(records[str(lower)]["clocks"]["prefix"] for lower in range(k))
    assert scored["seconds"] == pytest.approx(records[scored["variant"]]["wall_seconds"] + below)
    whole = records["base"]["wall_seconds"]
    assert scored["base_seconds"] == pytest.approx(whole)
    assert scored["saved"] == pytest.approx(1 - (scored["advice_seconds"] + scored["seconds"]) / whole)
    kept = json.loads((study / "advice" / "search-model" / "advice.json").read_text())
    assert (kept["variant"], kept["seconds"]) == (scored["variant"], scored["advice_seconds"])
    assert "search (mrr)" in (tmp_path / "page.md").read_text()
    before = (study / "advice" / "search-model" / "advice.json").stat().st_mtime_ns
    assert advice.score_study(study, advice.read_summary(study)["cells"]) == [scored], (
        "advice that is there is taken over"
    )
    assert (study / "advice" / "search-model" / "advice.json").stat().st_mtime_ns == before
    monkeypatch.setattr(sys, "argv", ["benchmarks/advice.py", *arguments[2:]])
    advice.main()
    assert json.loads((tmp_path / "advice.json").read_text())["studies"] == found["studies"], (
        "kept where none is scored"
    )
