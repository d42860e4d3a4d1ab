"""The newcomer's first command, on less data: four runs, a table, and folders that hold what the README promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from transformers import AutoModel, AutoTokenizer

from telly.training.clocks import CLOCKS
from tiny_runs import SMALL

RUNS = ("base", "k9-frozen", "k9-cached", "k11-cached")


def test_demo(tmp_path: Path):
    command = [sys.executable, "-m", "telly", "demo", "--output", str(tmp_path / "demo")]
    command += ["--epochs", "2", "--limit", "32", "--eval-limit", "20"]
    answer = subprocess.run(command, env=os.environ | SMALL, capture_output=True, text=True, timeout=280, check=False)
    assert answer.returncode == 0, answer.stderr
    for text in ("Results", "bm25", "untuned", "base", "K=9 frozen", "K=9 cached", "K=11 cached", "speed-up"):
        assert text in answer.stdout
    records = {name: json.loads((tmp_path / "demo" / name / "record.json").read_text()) for name in RUNS}
    for name, record in records.items():
        folder = tmp_path / "demo" / name
        assert record["status"] == "finished"
        assert set(record["clocks"]) == set(CLOCKS)
        assert abs(sum(record["clocks"].values()) - record["wall_seconds"]) < 0.1
        assert (folder / "config.toml").is_file()
        assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
        assert AutoModel.from_pretrained(folder / "model").config.num_hidden_layers == 12
        assert AutoTokenizer.from_pretrained(folder / "model").pad_token_id == 1
    trained = [records[name]["plan"]["trainable"] for name in RUNS]
    assert trained[0] > trained[1] == trained[2] == 3 * trained[3]
    assert records["k9-cached"]["cache"]["used"]
    assert records["k11-cached"]["cache"]["caches"]["train"]["source"] == "layer 9", "two layers ran, not eleven"
    gap = records["k9-cached"]["test"]["mrr"] - records["k9-frozen"]["test"]["mrr"]
    assert abs(gap) < 0.05, "20 queries: one rank more or less"
