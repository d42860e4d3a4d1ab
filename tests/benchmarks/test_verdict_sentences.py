"""Sentences of the docs that depend on verdicts are made from them, and equal what the committed results give."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.verdicts import Said, sentences

from benchmarks import analysis, error_rates, paper_study, verdicts
from telly.analysis.published import IRREPRODUCIBLE_MARK
from telly.metrics.significance import Verdict

ROOT = Path(__file__).resolve().parents[2]


def block(page: Path, name: str) -> str:
    text = page.read_text(encoding="utf-8")
    return text.partition(f"<!-- {name}:begin -->\n")[2].partition(f"\n<!-- {name}:end -->")[0]


@pytest.mark.parametrize(("file", "page", "name", "render"), [
    (paper_study.RESULT, paper_study.PAGE, "quality", paper_study.render_quality),
    (paper_study.RESULT, paper_study.PAGE, "verdicts", paper_study.render_verdicts),
    (paper_study.RESULT, paper_study.PAGE, "paper", paper_study.render_paper),
    (verdicts.LAYERS, verdicts.PAGE, "layers-verdicts", verdicts.render_layers),
    (analysis.RESULT, ROOT / "docs" / "analysis.md", "speed", analysis.render),
    (error_rates.RESULT, error_rates.PAGE, "error-rates", error_rates.render),
])  # fmt: skip
def test_the_docs_say_what_the_results_give(file: Path, page: Path, name: str, render: Any):
    assert block(page, name) == render(json.loads(file.read_text(encoding="utf-8"))).strip()


def test_sentences_follow_from_verdicts():
    found = [Said("0", Verdict.SIMILAR, -0.005, 0.02), Said("6", Verdict.OPEN, -0.03, 0.01),
             Said("9", Verdict.OPEN, -0.05, 0.04), Said("11", Verdict.WORSE, -0.09, -0.02)]  # fmt: skip
    assert sentences("search", "mrr", found) == (
        "**search** (mrr): K=0 is shown to lose less than 1%; K=11 is worse than base; K=6, 9 are not decided "
        "(95% intervals of the change from -5.0% at K=9 to +4.0% at K=9)."
    )
    assert sentences("search", "mrr", found[1:3]) == (
        "**search** (mrr): none of the 2 K is decided (95% intervals of the change from -5.0% at K=9 to +4.0% at K=9)."
    )
    assert sentences("search", "mrr", found[:1]) == "**search** (mrr): all 1 K are shown to lose less than 1%."


def test_no_page_says_that_nothing_is_lost_where_nothing_is_decided():
    result = json.loads(paper_study.RESULT.read_text(encoding="utf-8"))
    found = paper_study.verdicts_of(result)
    assert len(found) == 60 and {found["search", str(k)] for k in range(12)} == {Verdict.OPEN}
    for page in (paper_study.PAGE, verdicts.PAGE):
        text = " ".join(page.read_text(encoding="utf-8").split())
        assert "nothing is lost" not in text and "lose nothing" not in text


def test_a_study_that_tests_the_margin_can_call_something_similar():
    result = json.loads(paper_study.RESULT.read_text(encoding="utf-8"))
    assert Verdict.SIMILAR not in paper_study.verdicts_of(result).values()
    result = copy.deepcopy(result)
    for task, found in result["tasks"].items():
        for row in found["rows"][1:]:
            row["differences"][paper_study.shown(task, found)] |= {"p_similar": 0.02 if task == "search" else 0.0005}
    said = paper_study.verdicts_of(result)
    assert said["summarize", "3"] is Verdict.SIMILAR, ".0005 times 60 rows is .03"
    assert said["search", "3"] is Verdict.OPEN, ".02 is not enough among 60 rows"
    assert "nothing in it can be called similar" not in paper_study.render_verdicts(result)


def test_training_and_examples_are_told_apart_by_the_seeds_of_the_layers():
    """Paired over seeds by hand: differences of .01, .02 and .03, standard error .00577, two degrees of freedom."""
    found = verdicts.over_seeds({"base": [0.5, 0.6, 0.7], "9": [0.51, 0.62, 0.73]})["9"]
    assert found.difference == pytest.approx(0.02)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.02 - 0.02484, 0.02 + 0.02484), abs=1e-4)
    assert found.p == pytest.approx(0.0742, abs=1e-4) and found.compares_methods


def test_the_irreproducible_column_of_the_paper_is_marked():
    result = json.loads(paper_study.RESULT.read_text(encoding="utf-8"))
    lines = paper_study.render_paper(result).splitlines()
    assert f"generate, bleu {IRREPRODUCIBLE_MARK} |" in lines[0] and lines[0].count(IRREPRODUCIBLE_MARK) == 1
    assert "cannot be reproduced" in lines[-1]


def test_a_probes_passes_count_once_a_model():
    """20 s of single passes, 2 models: 40 s against the 10 s of one pass; the fits of 15 s are in both."""
    result = {"command": "c", "date": "2026-01-01", "threads": 2, "seeds": 3, "models": 2, "whole_seconds": [25.0],
              "pass_seconds": [10.0], "single_pass_seconds": {"a": [12.0], "b": [8.0]},
              "provenance": {"dirty": False, "commit": "abc", "processor": "p", "cpus": 2}}  # fmt: skip
    rows = analysis.render(result).splitlines()[2:4]
    assert [row.split("|")[2:6] for row in rows] == [
        [" 10 ", " 1.0x ", " 25 ", " 1.0x "], [" 40 ", " 4.0x ", " 55 ", " 2.2x "]
    ]  # fmt: skip
