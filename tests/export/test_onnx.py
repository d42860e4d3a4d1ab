"""ONNX gives torch's embeddings at any batch size, or nothing is left behind; 8-bit weights cost what the card says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import AutoTokenizer

from telly.errors import DataError, ExportError
from telly.exports import onnx as export
from telly.exports.scores import ScoredData
from telly.exports.source import EmbeddingModel, load_for_export
from telly.inference.tuned_model import TunedModel
from telly.runs.inference_config import InferenceConfig
from tiny_models import padded_batch, tiny_model, tiny_tokenizer
from tiny_runs import record_of, run_telly


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder, and what the command said."""
    output = tmp_path_factory.mktemp("export") / "onnx"
    ended = run_telly("export", str(run), "--to", "onnx", "--int8", "--output", str(output))
    return output, ended.out


def test_text_to_vectors_without_telly(exported: tuple[Path, str], run: Path):
    """As the card says: tokenizer and session alone; batches of one and of several, short and cut."""
    folder, _ = exported
    tokenizer = AutoTokenizer.from_pretrained(folder)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    source = load_for_export(str(run))
    for texts in (["sort the rows"], ["sort the rows", "", "def sort(rows):\n    return rows\n" * 30]):
        batch = tokenizer(texts, padding=True, truncation=True, max_length=48, return_tensors="np")
        found = session.run(None, {name: batch[name] for name in ("input_ids", "attention_mask")})[0]
        assert found.shape == (len(texts), 32)
        assert np.abs(found - source.embed(texts)).max() < 1e-3
    assert [axis for entry in session.get_inputs() for axis in entry.shape] == ["batch", "tokens"] * 2


@torch.no_grad()
def test_every_family_gives_torchs_vectors(family: str, tmp_path: Path):
    """Traced on one batch, run on another of other size and length; its padding must make no difference either."""
    source = TunedModel.of(
        tiny_model(family), words(), InferenceConfig("search", {"query": 20, "code": 30}), name="tiny"
    )
    export._trace(source, tmp_path / "model.onnx")
    batch = padded_batch(lengths=(23, 9, 2, 1, 14))
    session = export.open_session(tmp_path / "model.onnx")
    found = export.run_session(session, batch["input_ids"], batch["attention_mask"])
    expected = EmbeddingModel(source).eval()(**batch).numpy()
    assert np.abs(found - expected).max() < 1e-4
    assert np.abs(expected[0] - expected[1]).max() > 1e-2, "embeddings must differ, or equality says nothing"
    alone = export.run_session(session, batch["input_ids"][1:2, :9], batch["attention_mask"][1:2, :9])
    assert np.abs(alone - expected[1]).max() < 1e-4


def words() -> object:
    """A tokenizer that knows the words of the check."""
    return tiny_tokenizer()


def test_a_wrong_graph_is_an_error_and_leaves_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = export.run_session
    monkeypatch.setattr(export, "run_session", lambda *args: real(*args) + 2e-3)
    with pytest.raises(ExportError, match=r"as ONNX its embeddings differ from torch's by 2e-03|by 2.0e-03"):
        export.export_onnx(load_for_export(str(run)), tmp_path / "out" / "onnx", int8=False)
    assert not (tmp_path / "out").exists()


def test_the_scores_are_those_of_the_run(run: Path):
    """So what 8 bits cost is measured against the run's own number."""
    source = load_for_export(str(run))
    data = ScoredData(source)
    assert len(data) == 40 and data.split == "test"
    assert data.metrics() == pytest.approx(record_of(run)["test"], abs=1e-9)


def test_the_loss_is_printed_and_in_the_card(exported: tuple[Path, str], run: Path):
    folder, said = exported
    sentence = re.search(r"int8: mrr ([0-9.]+) with 8-bit weights, ([0-9.]+) with 32 bits \(([-+][0-9.]+)\)", said)
    assert sentence, said
    assert float(sentence[2]) == pytest.approx(record_of(run)["test"]["mrr"], abs=5e-5)
    assert float(sentence[1]) - float(sentence[2]) == pytest.approx(float(sentence[3]), abs=1.1e-4)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"| int8 | {sentence[1]} |" in card and f"| fp32 | {sentence[2]} |" in card
    sizes = {name: (folder / name).stat().st_size for name in ("model.onnx", "model-int8.onnx")}
    assert sizes["model-int8.onnx"] < sizes["model.onnx"], "of a tiny model most is the graph"


def test_8_bits_are_close_and_not_equal(exported: tuple[Path, str]):
    tokenizer = AutoTokenizer.from_pretrained(exported[0])
    batch = tokenizer(["sort the rows", "def sort(rows):\n    return rows\n"], padding=True, return_tensors="pt")
    sessions = [export.open_session(exported[0] / name) for name in ("model.onnx", "model-int8.onnx")]
    full, small = (export.run_session(one, batch["input_ids"], batch["attention_mask"]) for one in sessions)
    assert 1e-5 < np.abs(full - small).max() < 0.1
    assert (full * small).sum(axis=-1) == pytest.approx(1.0, abs=0.02)


def test_changed_test_data_is_refused(run: Path, tmp_path: Path):
    record = record_of(run)
    lines = Path(record["config"]["test"]).read_text().splitlines()
    (tmp_path / "test.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    record["config"]["test"] = str(tmp_path / "test.jsonl")
    (tmp_path / "record.json").write_text(json.dumps(record))
    (tmp_path / "model").symlink_to(run / "model")
    with pytest.raises(DataError, match="its test data has changed since the run"):
        export.export_onnx(load_for_export(str(tmp_path)), tmp_path / "onnx", int8=True)
    assert not (tmp_path / "onnx").exists()


def test_int8_is_for_onnx_and_libraries_are_named(run: Path, tmp_path: Path):
    common = ("export", str(run), "--output", str(tmp_path / "out"))
    ended = run_telly(*common, "--to", "sentence-transformers", "--int8", code=2)
    assert ended.error == "--int8: only with --to onnx"
    ended = run_telly(*common, "--to", "onnx", code=2, setup="import sys; sys.modules['onnxruntime'] = None")
    assert ended.error == "--to onnx needs onnxruntime: pip install 'telly[export]'"
    assert not (tmp_path / "out").exists()
