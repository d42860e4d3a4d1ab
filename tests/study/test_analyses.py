"""A study's probes and comparisons: of the tuned versions of base, kept when they are there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from telly.report.runs import find
from tiny_runs import tiny_data, tiny_model_folder


def test_models_are_probed_and_compared_after_the_cells_and_only_once(tmp_path: Path):
    model, data = tiny_model_folder(tmp_path / "model"), tiny_data(tmp_path / "data")
    files = "\n".join(f'{name} = "{data[split]}"' for name, split in
                      (("data", "train"), ("valid", "valid"), ("test", "test")))  # fmt: skip
    file = tmp_path / "mine.toml"
    file.write_text(
        f'models = ["{model}"]\nvariants = ["base", 2]\nanalyses = ["probe", "compare"]\nanalysis_texts = 60\n'
        f"[settings]\nepochs = 1\nbatch_size = 8\nmax_tokens = {{ query = 24, code = 48 }}\n[task.search]\n{files}\n"
    )
    output = tmp_path / "out"
    command = [sys.executable, "-m", "telly", "study", str(file), "--output", str(output)]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    found = find([output])
    (probed,), (compared,) = found.probes, found.comparisons
    tuned = [run.folder for run in found.runs if run.record.config["freeze"] == "base"]
    assert probed.content["settings"]["models"] == [str(model), *map(str, tuned)]
    assert {probe["probe"] for probe in probed.content["probes"]} == {"lexical", "syntactic", "semantic", "structural"}
    assert [c["other"] for c in compared.content["comparisons"]] == [str(folder) for folder in tuned]
    assert compared.content["comparisons"][0]["layers"][-1]["rsa"]["pearson"] < 1, "tuning changed the last layer"
    written = (compared.folder / "compare.json").stat().st_mtime_ns
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "comparing" not in again.stderr and "probing" not in again.stderr
    assert (compared.folder / "compare.json").stat().st_mtime_ns == written
    text = file.read_text().replace("analysis_texts = 60", "analysis_texts = 70").replace('"probe", ', "")
    file.write_text(text)
    assert "comparing" in subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert json.loads((compared.folder / "compare.json").read_text())["texts"] == 70
