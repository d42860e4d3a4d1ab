"""`telly compare` through the command line."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from telly.analysis.compare import CompareConfig, CompareResult, LayerSimilarity, ModelComparison, write_result
from telly.analysis.similarity import Rsa
from telly.api.compare import compare as compare_models
from telly.models.embedding import EmbeddingConfig, EmbeddingHead
from telly.models.embedding_writer import write_embedding_modules
from telly.models.pooling_mode import PoolingMode
from tiny_runs import Tiny, run_telly, tiny_data, tiny_model_folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_model_folder(folder / "a")
    tiny_model_folder(folder / "b", seed=1)
    tiny_model_folder(folder / "gpt", "gpt2")
    return folder


def compare(folder: Path, *options: str, code: int = 0):
    return run_telly(
        "compare", "--output", str(folder / "out"), "--cache-dir", str(folder / "cache"), *options, code=code
    )


def test_a_model_is_itself_and_no_other(models: Path, tmp_path: Path):
    a, b = str(models / "a"), str(models / "b")
    ended = compare(tmp_path, "--model", a, "--with", a, "--with", b, "--limit", "60", "--max-tokens", "48")
    result = json.loads((tmp_path / "out" / "compare.json").read_text())
    same, other = result["comparisons"]
    assert result["texts"] == 60 and result["names"] == ["emb", "1", "2", "3", "4"]
    for entry in same["layers"]:
        assert entry["rsa"]["pearson"] == pytest.approx(1) and entry["cka"] == pytest.approx(1)
        assert entry["procrustes"] == pytest.approx(0, abs=1e-6)
    assert all(entry["cka"] < 0.999 for entry in other["layers"])
    assert all(e["rsa"]["low"] <= e["rsa"]["pearson"] <= e["rsa"]["high"] for e in other["layers"])
    assert [row[i] for i, row in enumerate(same["matrix"])] == pytest.approx([1.0] * 5)
    rows = list(csv.DictReader((tmp_path / "out" / "compare.csv").open()))
    assert len(rows) == 10 and rows[0]["layer"] == "emb"
    assert result["provenance"]["versions"]["torch"] and result["settings"]["limit"] == 60
    figures = ["similarity.svg", "similarity.png", "layers-1.svg", "layers-2.png"]
    assert all((tmp_path / "out" / name).stat().st_size > 5000 for name in figures)
    assert "RSA (Pearson)" in ended.out and str(tmp_path / "out") in ended.out


def test_other_tokens_and_depths_are_said(models: Path, tmp_path: Path):
    ended = compare(
        tmp_path, "--model", str(models / "a"), "--with", str(models / "gpt"), "--limit", "50", "--no-figures"
    )
    assert "states are those before the final norm (ln_f)" in ended.out
    assert not (tmp_path / "out" / "similarity.svg").exists()


def test_a_runs_folder_stands_for_its_model(models: Path, tmp_path: Path):
    data = tiny_data(tmp_path / "data")
    run_telly(*Tiny(models / "a", data).command(tmp_path / "run", "frozen"))
    files = ("--data", str(data["train"]), "--limit", "60", "--no-figures")
    compare(tmp_path, "--model", str(models / "a"), "--with", str(tmp_path / "run"), *files)
    layers = json.loads((tmp_path / "out" / "compare.json").read_text())["comparisons"][0]["layers"]
    assert layers[0]["cka"] == pytest.approx(1), "frozen embeddings are as they were"
    assert layers[-1]["cka"] < 1 - 1e-6, "the top was trained"


def test_the_papers_way_counts_the_diagonal(models: Path, tmp_path: Path):
    options = ("--model", str(models / "a"), "--with", str(models / "b"), "--limit", "50", "--no-figures")
    compare(tmp_path, *options)
    plain = json.loads((tmp_path / "out" / "compare.json").read_text())
    compare(tmp_path, *options, "--paper")
    paper = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert (plain["form"], paper["form"]) == ("mean", "padded mean")
    for entry in paper["comparisons"][0]["layers"]:
        found = entry["rsa"]
        assert found["low"] - 1e-9 <= found["pearson"] <= found["high"] + 1e-9, entry["layer"]
    assert (
        paper["comparisons"][0]["layers"][-1]["rsa"]["pearson"]
        != plain["comparisons"][0]["layers"][-1]["rsa"]["pearson"]
    )


@pytest.mark.parametrize(("options", "message"), [
    (("--data", "none.jsonl"), "none.jsonl"),
    (("--task", "serch"), "did you mean 'search'?"),
    (("--data", "few.jsonl"), "expected at least 50"),
])  # fmt: skip
def test_bad_input(options: tuple[str, str], message: str, models: Path, tmp_path: Path):
    few = [json.dumps({"code": f"def f{i}(): pass", "docstring": "Do it."}) for i in range(7)]
    (tmp_path / "few.jsonl").write_text("\n".join(few) + "\n")
    name, value = options
    value = str(tmp_path / value) if value.endswith(".jsonl") else value
    ended = compare(tmp_path, "--model", str(models / "a"), "--with", str(models / "b"), name, value, code=2)
    assert message in ended.error
    assert not (tmp_path / "out").exists()


RESULT = CompareResult(
    "a",
    ("emb",),
    50,
    "mean",
    (ModelComparison("b", (LayerSimilarity("emb", Rsa(0.1, 0.2, 0.3, 0.4), 0.5, 0.6),), ((0.5,),), ()),),
)


def test_every_column_has_its_own_value(tmp_path: Path):
    write_result(RESULT, tmp_path, {})
    (row,) = csv.DictReader((tmp_path / "compare.csv").open())
    values = {"pearson": 0.1, "spearman": 0.2, "low": 0.3, "high": 0.4, "cka": 0.5, "procrustes": 0.6}
    assert row == {"model": "a", "other": "b", "layer": "emb"} | {name: str(value) for name, value in values.items()}


def test_every_setting_of_the_function_counts(monkeypatch: pytest.MonkeyPatch):
    seen: list[CompareConfig] = []
    monkeypatch.setattr("telly.api.compare.compare_layers", lambda config, _extractor: seen.append(config) or RESULT)
    given = {"data": "d", "task": "search", "split": "valid", "limit": 7, "max_tokens": 9, "paper": True, "seed": 3}
    assert compare_models("a", ["b"], **given) is RESULT
    assert seen == [CompareConfig("a", ("b",), **given)]


def test_a_pooling_that_is_not_compared_is_said(models: Path, tmp_path: Path):
    folder = shutil.copytree(models / "a", tmp_path / "cls")
    head = EmbeddingHead(EmbeddingConfig(pooling=(PoolingMode.CLS,)), 32)
    write_embedding_modules(folder, head, 32, {"query": 40, "document": 40}, {"query": "find: "})
    remark = f"{folder}: means over all tokens are compared, without prompts; its folder declares the pooling cls and"
    ended = compare(tmp_path, "--model", str(models / "a"), "--with", str(folder), "--limit", "50", "--no-figures")
    assert f"{remark} prompts" in " ".join(ended.out.split())


def test_texts_are_put_into_lower_case_where_the_folder_declares_it(models: Path, tmp_path: Path):
    plain, lower = (shutil.copytree(models / "a", tmp_path / name) for name in ("plain", "lower"))
    for folder, config in ((plain, EmbeddingConfig()), (lower, EmbeddingConfig(do_lower_case=True))):
        write_embedding_modules(folder, EmbeddingHead(config, 32), 32, {"query": 40, "document": 40}, {})
    for case in (str.upper, str.lower):
        texts = [case(f"Read the rows {number}") for number in range(60)]
        data = tmp_path / "data.jsonl"
        data.write_text("".join(json.dumps({"code": text}) + "\n" for text in texts))
        options = ("--model", str(plain), "--with", str(lower), "--data", str(data), "--no-figures")
        ended = compare(tmp_path, *options)
        assert ("the models split texts into other tokens" in " ".join(ended.out.split())) == (case is str.upper)
