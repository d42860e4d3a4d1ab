"""A tuned search model in sentence-transformers gives telly's tokens and embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

import telly
from telly.data.readers import read
from telly.errors import ConfigError, ExportError
from telly.exports import sentence_transformers as export
from telly.exports import source as sources
from telly.exports.source import load_for_export
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.inference.tuned_model import TunedModel
from telly.models.load import load_model, load_tokenizer
from telly.models.modes import encode_texts
from telly.tasks import get_spec, get_task
from telly.tasks.options import ContrastiveOptions
from telly.tasks.training.embeddings import embed_rows
from tiny_models import tiny_model
from tiny_runs import Tiny, record_of, run_telly, task_data, tiny_model_folder

LIMITS = {"query": 24, "code": 48}
EXAMPLES = 24


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("export") / "st"
    ended = run_telly("export", str(run), "--to", "sentence-transformers", "--output", str(output))
    assert f"sentence-transformers: {output}" in ended.out
    return output


@torch.no_grad()
def test_real_texts_get_the_vectors_of_tellys_evaluation(exported: Path, run: Path):
    """The oracle is the task's own encoding and model on real functions, most of which are cut."""
    data = read(str(get_spec("search").sample.files()["test"]), get_spec("search").schema, {}, "test").select(
        range(EXAMPLES)
    )
    task, tokenizer = get_task("search"), load_tokenizer(str(run))
    encoded = task.encode({"train": data}, tokenizer, LIMITS, None)["train"]
    assert (encoded.table.lengths == 48).sum() > 5, "some functions must be cut, or truncation is not tested"
    module = task.build(SplitModel(load_model(str(run)), None), 0, ContrastiveOptions()).eval()
    source = RowSource(encoded.table, tokenizer.pad_token_id)
    model = SentenceTransformer(str(exported), device="cpu", local_files_only=True)
    for column, encode in (("query", model.encode_query), ("code", model.encode_document)):
        ours = embed_rows(module.embed, source, encoded.rows[column], torch.device("cpu"))  # type: ignore[arg-type]
        theirs = torch.from_numpy(encode(list(data[column])))
        assert (theirs - ours).abs().max() < 1e-5
        assert torch.allclose(theirs.norm(dim=-1), torch.ones(EXAMPLES))
    base = SentenceTransformer(modules=list(model), device="cpu").encode(list(data["query"]))
    untuned = load_for_export(str(record_of(run)["model"]["name"])).embed(list(data["query"]), "query")
    assert np.abs(base - untuned).max() > 1e-3, "tuning must show, or equality says nothing"


def test_the_tokenizer_adds_the_mode_and_both_limits_hold(exported: Path, run: Path):
    texts = ["", " x ", "read the rows of all files " * 30, "Größe 変数\n"]
    model, tokenizer = SentenceTransformer(str(exported), device="cpu"), load_tokenizer(str(run))
    for role, limit in (("query", 24), ("document", 48)):
        found = [model.preprocess([text], task=role)["input_ids"][0].tolist() for text in texts]
        assert found == encode_texts(tokenizer, texts, limit)
        assert max(map(len, found)) == limit
    assert tokenizer.convert_ids_to_tokens(found[0]) == ["<s>", "<encoder-only>", "</s>", "</s>"]
    assert model.max_seq_length == 48
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling", "Normalize"]
    assert model.similarity_fn_name == "cosine"


def test_truncated_embeddings_are_the_first_dimensions(run: Path, tmp_path: Path):
    """In the exported folder as in telly, which reads it again."""
    output, texts = tmp_path / "st", ["def add(a, b): return a + b", "x"]
    run_telly("export", str(run), "--to", "sentence-transformers", "--output", str(output), "--truncate-dim", "16")
    expected = telly.load(run).embed(texts)[:, :16]
    exported = SentenceTransformer(str(output), device="cpu", local_files_only=True)
    for found in (exported.encode_document(texts), telly.load(output).embed(texts)):
        assert np.abs(found - expected).max() < 1e-5
    assert np.array_equal(telly.load(run, truncate_dim=16).embed(texts), expected)
    lengths = np.linalg.norm(telly.load(output).embed_to_compare(texts), axis=1)
    assert np.allclose(lengths, 1), "the cosine of what is left"
    with pytest.raises(ConfigError, match="truncate_dim: expected 1 to 32, the number of dimensions that"):
        telly.load(run, truncate_dim=33)


def test_the_card_has_the_runs_scores_and_this_use(exported: Path, run: Path):
    text = (exported / "README.md").read_text(encoding="utf-8")
    record = record_of(run)
    assert f"**{record['test']['mrr']:.4f}**" in text
    assert "`encode_query` cuts at 24 tokens and `encode_document` at\n48" in text
    assert "library_name: sentence-transformers" in text
    assert json.loads((exported / "telly.json").read_text())["usage"]["max_tokens"] == LIMITS


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_other_families_and_models_without_a_run(family: str, tmp_path: Path):
    """The check at export compares with telly; of T5 the encoder alone is written."""
    folder = tiny_model_folder(tmp_path / "model", family)
    made = export.export_sentence_transformers(load_for_export(str(folder)), tmp_path / "st")
    assert made.difference < 1e-5
    assert "not tuned" in (tmp_path / "st" / "README.md").read_text()


def test_other_tokens_are_an_error_and_leave_nothing(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sources, "plain_tokenizer", lambda tokenizer, *_: tokenizer)
    with pytest.raises(ExportError, match=r"as a query sentence-transformers reads .* where telly reads"):
        export.export_sentence_transformers(load_for_export(str(tiny.model)), tmp_path / "out" / "st")
    assert not (tmp_path / "out").exists()


def test_other_vectors_are_an_error_and_leave_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = load_for_export(str(run))
    write = export.write_modules

    def without_a_layer(model: TunedModel, folder: Path) -> None:
        write(model, folder)
        weights = load_file(folder / "model.safetensors")
        weights["encoder.layer.3.output.dense.weight"].zero_()
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    monkeypatch.setattr(export, "write_modules", without_a_layer)
    with pytest.raises(ExportError, match=r"embeddings differ from telly's by .*; expected at most 1e-05"):
        export.export_sentence_transformers(source, tmp_path / "out" / "st")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused(run: Path, tmp_path: Path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(ConfigError, match="exists already; expected a new or empty folder"):
        export.export_sentence_transformers(load_for_export(str(run)), tmp_path)
    assert (tmp_path / "kept").read_text() == "mine"


def test_a_missing_library_is_named(run: Path, tmp_path: Path):
    setup = "import sys; sys.modules['sentence_transformers'] = None"
    options = ("export", str(run), "--to", "sentence-transformers", "--output", str(tmp_path / "st"))
    ended = run_telly(*options, code=2, setup=setup)
    assert ended.error == "--to sentence-transformers needs that library: pip install 'telly[export]'"
    assert not (tmp_path / "st").exists()


def test_a_task_without_vectors_is_refused(tmp_path: Path, run: Path):
    folder = tiny_model_folder(tmp_path / "model")
    usage = {"task": "clone", "max_tokens": {"left": 32, "right": 32}, "head": "pair"}
    (folder / "telly.json").write_text(json.dumps({"usage": usage}))
    with pytest.raises(ConfigError, match="is a model of clone with --head pair, whose embeddings were not trained"):
        load_for_export(str(folder))
    (folder / "telly.json").write_text(json.dumps({"usage": {"task": "summarize", "max_tokens": {}}}))
    with pytest.raises(ConfigError, match="is a model of summarize, whose embeddings were not trained"):
        load_for_export(str(folder))


def test_an_unfinished_run_is_refused(run: Path, tmp_path: Path):
    record = record_of(run) | {"status": "interrupted"}
    (tmp_path / "record.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="the run is interrupted; expected a finished one"):
        load_for_export(str(tmp_path))


@pytest.mark.parametrize(("task", "options"), [("clone", ("--head", "cosine")), ("clone-retrieval", ())])
def test_the_other_tasks_with_vectors(task: str, options: tuple[str, ...], tmp_path: Path, tiny: Tiny):
    limits = {"clone": ("left=32", "right=32"), "clone-retrieval": ("code=32",)}[task]
    given = Tiny(tiny.model, task_data(task, tmp_path / "data"), task, limits)
    run_telly(*given.command(tmp_path / "run", "frozen", "--epochs", "1", "--save-steps", "100", *options))
    made = export.export_sentence_transformers(load_for_export(str(tmp_path / "run")), tmp_path / "st")
    assert made.difference < 1e-5


def test_an_encoder_without_an_automatic_class_is_refused_at_once():
    """sentence-transformers would load a whole BART, with a new encoder."""
    for family in ("roberta", "t5"):
        export.check_loadable("run", tiny_model(family))
    for family, encoder in (("bart", "BartEncoder"), ("longt5", "LongT5EncoderModel")):
        with pytest.raises(ExportError, match=f"run: sentence-transformers cannot load {encoder}"):
            export.check_loadable("run", tiny_model(family))
