"""A study's probes and comparisons: of the tuned versions of base, kept when they are there."""

from __future__ import annotations

import json
from pathlib import Path

from telly.reports.scan import find_results
from tiny_runs import Tiny
from tiny_studies import SETTINGS, telly_study, write_study


def test_models_are_probed_and_compared_after_the_cells_and_only_once(tiny: Tiny, tmp_path: Path):
    asked = {"variants": ["base", 2], "analyses": ["probe", "compare"], "settings": SETTINGS | {"epochs": 1}}
    file = write_study(tmp_path / "mine.toml", tiny, **asked, analysis_texts=60)
    output = tmp_path / "out"
    telly_study(file, output)
    found = find_results([output])
    (probed,), (compared,) = found.probes, found.comparisons
    tuned = [run.folder for run in found.runs if run.record.config.values["freeze"] == "base"]
    assert probed.content["settings"]["models"] == [str(tiny.model), *map(str, tuned)]
    assert {probe["probe"] for probe in probed.content["probes"]} == {"lexical", "syntactic", "semantic", "structural"}
    assert [c["other"] for c in compared.content["comparisons"]] == [str(folder) for folder in tuned]
    assert compared.content["comparisons"][0]["layers"][-1]["rsa"]["pearson"] < 1, "tuning changed the last layer"
    written = (compared.folder / "compare.json").stat().st_mtime_ns
    again = telly_study(file, output)
    assert "comparing" not in again.stderr and "probing" not in again.stderr
    assert (compared.folder / "compare.json").stat().st_mtime_ns == written
    write_study(file, tiny, **asked | {"analyses": ["compare"]}, analysis_texts=70)
    assert "comparing" in telly_study(file, output).stderr
    assert json.loads((compared.folder / "compare.json").read_text())["texts"] == 70
