"""A loaded model gives what evaluation, index and export give, and refuses what it was not tuned for."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import telly
from telly.data.readers import read
from telly.errors import ConfigError
from telly.inference.tuned_model import TunedModel
from telly.tasks import get_spec
from telly.using.index import open_index
from tiny_runs import Tiny, pair, run_telly, task_data, tiny_model_folder

LIMITS = {
    "search": ("query=24", "code=48"),
    "classify": ("code=48",),
    "summarize": ("code=48", "summary=8"),
}
LONG = "def total(rows):\n" + "    rows = [row for row in rows if row]\n" * 20 + "    return sum(rows)\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def runs(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run per task, in float32."""
    folder, runs = tmp_path_factory.mktemp("runs"), {}
    for task, limits in LIMITS.items():
        tiny = Tiny(model, task_data(task, folder / f"{task}-data"), task, limits)
        more = ("--beams", "2") if task == "summarize" else ()
        run_telly(*tiny.command(folder / task, "frozen", "--epochs", "1", "--save-steps", "100", *more))
        runs[task] = folder / task
    return runs


def predictions(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def data_of(run: Path, task: str, column: str) -> list[str]:
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    return list(read(record["config"]["test"], get_spec(task).schema, {}, "test")[column])


def test_embeddings_are_those_of_the_index_and_of_the_export(runs: dict[str, Path], tmp_path: Path):
    tree = tmp_path / "tree"
    tree.mkdir()
    drawn = random.Random(7)
    for number, code in enumerate([*(pair(drawn)["code"] for _ in range(10)), LONG]):
        (tree / f"f{number:02}.py").write_text(code)
    telly.code.build_index(tree, model=str(runs["search"]), index=tmp_path / "index")
    telly.export(runs["search"], tmp_path / "st")
    index, loaded = open_index(tmp_path / "index"), telly.load(runs["search"])
    assert index is not None
    codes = [location.function.code for location in index.locations()]
    assert len(codes) == 11 and loaded.sequences(codes, "document")[0].lengths.max() == 48, "one function must be cut"

    found = loaded.embed(codes)
    np.testing.assert_allclose(found, index.embeddings, atol=1e-6)
    exported = SentenceTransformer(str(tmp_path / "st"), device="cpu", local_files_only=True)
    np.testing.assert_allclose(found, exported.encode_document(codes), atol=1e-5)
    np.testing.assert_allclose(loaded.embed(codes, role="query"), exported.encode_query(codes), atol=1e-5)
    assert np.abs(found - loaded.embed(codes, role="query")).max() > 1e-3, "the role decides where a text is cut"


def test_embeddings_are_float32_of_length_one_in_the_order_of_the_texts(runs: dict[str, Path]):
    loaded = telly.load(str(runs["search"]))
    assert loaded.is_tuned and loaded.task.name == "search" and loaded.abilities == ("embed",)
    found = loaded.embed(["b", "a", LONG, "b"])
    assert found.shape == (4, loaded.embedding_size) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found[0], found[3])
    np.testing.assert_allclose(found[1:2], loaded.embed(["a"]), atol=1e-6)
    assert loaded.embed([]).shape == (0, loaded.embedding_size)


def test_texts_are_those_of_the_runs_test(runs: dict[str, Path]):
    run = runs["summarize"]
    expected = [row["prediction"] for row in predictions(run)]
    assert telly.load(run).generate(data_of(run, "summarize", "code")) == expected and any(expected)
    assert telly.load(run).generate([]) == []


def test_classes_are_those_of_the_runs_test(runs: dict[str, Path]):
    run = runs["classify"]
    found = telly.load(run).classify(data_of(run, "classify", "code"))
    assert [one.label for one in found] == [row["prediction"] for row in predictions(run)]
    assert [one.probability for one in found] == pytest.approx([row["score"] for row in predictions(run)], abs=1e-5)
    assert all(sum(one.probabilities.values()) == pytest.approx(1) for one in found)
    assert telly.load(run).classify([]) == []


def test_a_model_without_a_run_searches_code_unless_told_otherwise(model: Path):
    loaded = telly.load(model)
    assert not loaded.is_tuned and loaded.record is None and loaded.abilities == ("embed",)
    assert telly.load(model, task="generate").abilities == ("generate",)
    with pytest.raises(ConfigError, match="was not tuned for classify, so it has no classes to choose from"):
        telly.load(model, task="classify")


@pytest.mark.parametrize(
    ("task", "use", "text"),
    [
        ("search", "generate", "is a model of search, which cannot generate; it can embed; expected a run of"),
        ("search", "classify", "is a model of search, which cannot classify; it can embed; expected a run of classify"),
        ("summarize", "embed", "is a model of summarize, whose embeddings were not trained to be compared by"),
        ("classify", "generate", "is a model of classify, which cannot generate; it can classify; expected a run of"),
    ],
)  # fmt: skip
def test_another_use_is_refused_with_what_the_model_can_do(task: str, use: str, text: str, runs: dict[str, Path]):
    with pytest.raises(telly.TellyError) as error:
        getattr(telly.load(runs[task]), use)(["x"])
    assert str(error.value).startswith(f"{runs[task]}: {text}")


def test_another_task_and_an_unknown_role_are_refused(runs: dict[str, Path]):
    with pytest.raises(ConfigError, match="was tuned for classify; expected a run of search"):
        telly.load(runs["classify"], task="search")
    with pytest.raises(ConfigError, match="role: expected query or document, found 'code'"):
        telly.load(runs["search"]).embed(["x"], role="code")  # type: ignore[arg-type]


def test_the_precision_is_the_runs_unless_it_is_given(runs: dict[str, Path], tmp_path: Path):
    model = tmp_path / "model"
    shutil.copytree(runs["search"] / "model", model)
    assert telly.load(model).config.precision == "fp32"
    file = model / "telly.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    (section,) = (part for part in values.values() if isinstance(part, dict) and "precision" in part)
    section["precision"] = "bf16"
    file.write_text(json.dumps(values), encoding="utf-8")
    assert telly.load(model).config.precision == "bf16"
    assert TunedModel.load(model, precision="fp32").config.precision == "fp32"


def test_the_key_of_embeddings_does_not_depend_on_earlier_use(model: Path):
    """A call leaves its truncation in the tokenizer."""
    fresh, used = telly.load(model, "search"), telly.load(model, "search")
    used.embed(["a b c"], role="query")
    assert used.key == fresh.key


def test_the_key_of_embeddings_has_the_length_of_documents_alone(model: Path):
    loaded = telly.load(model)

    def key(**limits: int) -> str:
        config = replace(loaded.config, max_tokens=loaded.config.max_tokens | limits)
        return replace(loaded, config=config).key.fingerprint

    assert key() == key(query=20) == loaded.key.fingerprint
    assert key(code=40) != loaded.key.fingerprint
