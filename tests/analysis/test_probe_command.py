"""`telly probe` through the command line, on tiny models and the embedded sample."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tiny_runs import run_telly, tiny_model_folder

PROBES = ("lexical", "syntactic", "semantic", "structural")
FEW_STEPS = "import telly.analysis.fitting as f; f.STEPS = 20"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_model_folder(folder / "a")
    tiny_model_folder(folder / "b", seed=1)
    return folder


def probe(folder: Path, *options: str, code: int = 0, setup: str = FEW_STEPS):
    where = ("--output", str(folder / "out"), "--cache-dir", str(folder / "cache"))
    return run_telly("probe", *where, "--max-tokens", "64", *options, code=code, setup=setup)


def test_all_probes_of_two_models(models: Path, tmp_path: Path):
    ended = probe(
        tmp_path, "--model", str(models / "a"), "--model", str(models / "b"), "--limit", "120", "--seeds", "2"
    )
    results = json.loads((tmp_path / "out" / "probing.json").read_text())
    assert [result["probe"] for result in results["probes"]] == list(PROBES)
    for result in results["probes"]:
        assert [m["model"] for m in result["models"]] == [str(models / "a"), str(models / "b"), "random weights"]
        for model in result["models"]:
            assert [layer["layer"] for layer in model["layers"]] == ["emb", "1", "2", "3", "4"]
            assert sum(model["weights"]) == pytest.approx(1)
            for layer in model["layers"]:
                score = layer["metrics"][result["metric"]]
                assert score["low"] <= score["mean"] <= score["high"] and 0 <= score["mean"] <= 1
        assert [baseline["layer"] for baseline in result["baselines"]] == ["most frequent", "bag of tokens"]
    assert results["provenance"]["versions"]["torch"] and results["settings"]["limit"] == 120
    rows = list(csv.DictReader((tmp_path / "out" / "probing.csv").open()))
    assert {row["probe"] for row in rows} == set(PROBES) and {row["mode"] for row in rows} == {
        "layer",
        "mixed",
        "baseline",
    }
    assert all((tmp_path / "out" / name).stat().st_size > 5000 for name in ("probes.svg", "contributions.png"))
    assert "does NOT beat the baselines" in ended.out, "models with random weights know nothing that baselines do not"


def test_states_are_found_again(models: Path, tmp_path: Path):
    options = ("--model", str(models / "a"), "--probe", "structural", "--limit", "80", "--seeds", "1", "--no-figures")
    probe(tmp_path, *options)
    first = json.loads((tmp_path / "out" / "probing.json").read_text())["probes"]
    broken = f"{FEW_STEPS}; import telly.analysis.layers as l; l.capture_all = None"
    probe(tmp_path, *options, setup=broken)
    assert json.loads((tmp_path / "out" / "probing.json").read_text())["probes"] == first


def test_texts_that_do_not_parse_are_reported(models: Path, tmp_path: Path):
    good = [f"def f{i}(a):\n    if a > {i}:\n        return {i}\n    return a" for i in range(60)]
    rows = [{"code": code, "docstring": "Do it."} for code in [*good, "def broken(:\n    pass"]]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    options = ("--model", str(models / "a"), "--probe", "structural", "--seeds", "1", "--no-figures")
    ended = probe(tmp_path, *options, "--data", str(tmp_path / "data.jsonl"))
    assert "1 texts were skipped" in ended.out
    (result,) = json.loads((tmp_path / "out" / "probing.json").read_text())["probes"]
    assert [entry["number"] for entry in result["skipped"]] == [60] and result["texts"] == 60


@pytest.mark.parametrize(("options", "message"), [
    (("--probe", "lexicl"), "unknown probe 'lexicl'; known: all, lexical"),
    (("--data", "few.jsonl"), "expected at least 50"),
    (("--data", "broken.jsonl", "--probe", "structural"), "probe needs at least 50 usable texts, found 0"),
])  # fmt: skip
def test_bad_input(options: tuple[str, ...], message: str, models: Path, tmp_path: Path):
    few = [json.dumps({"code": f"def f{i}(): pass", "docstring": "Do it."}) for i in range(7)]
    broken = [json.dumps({"code": f"def f{i}(: pass", "docstring": "Do it."}) for i in range(60)]
    (tmp_path / "few.jsonl").write_text("\n".join(few) + "\n")
    (tmp_path / "broken.jsonl").write_text("\n".join(broken) + "\n")
    given = [str(tmp_path / option) if option.endswith(".jsonl") else option for option in options]
    ended = probe(tmp_path, "--model", str(models / "a"), *given, code=2)
    assert message in ended.error
    assert not (tmp_path / "out").exists()
