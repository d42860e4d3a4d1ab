"""Embeddings of folders of sentence-transformers equal the library's, before and after tuning, and in every command."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm, Normalize, Pooling, Transformer

import telly
from telly.data.sequences import SequenceTable
from telly.errors import CodeIndexError, ConfigError, ExportError
from telly.inference.tuned_model import TunedModel
from telly.models.embedding import EmbeddingConfig
from telly.models.pooling_mode import PoolingMode
from telly.runs.parts import RecordedConfig
from telly.runs.record import RunRecord
from telly.settings.config import TuneConfig
from telly.studies.config import StudyConfig, _digests, cells_of
from telly.training.clocks import Clocks, PeakMemory
from telly.tuning.job import prepare
from telly.tuning.saving import save_model
from telly.tuning.session import Run
from telly.using.clones import clones_by
from telly.using.index import open_index
from telly.using.search import Searcher
from telly.using.update import update_index
from tiny_runs import Tiny, largest_difference, pair, record_of, run_telly, tiny_data, tiny_model_folder

PROMPTS = {"query": "find: ", "document": "code: "}
TEXTS = ["read the rows of all files", "", "x", "def f(x):\n    return x\n" * 9, "count the names of all users up to 5"]
STOP = """
from telly.training import trainer

mark = trainer._MarkComplete.on_save

def stop(self, args, state, *rest, **more):
    mark(self, args, state, *rest, **more)
    if state.global_step == 4:
        raise KeyboardInterrupt

trainer._MarkComplete.on_save = stop
"""
MODES = [mode.value for mode in PoolingMode]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("base") / "model")


def declared(base: Path, folder: Path, *modules: Any, similarity: str = "cosine", **settings: Any) -> Path:
    """A folder that sentence-transformers saved: the tiny model, cut at 40 tokens, and modules after it."""
    torch.manual_seed(1)
    model = SentenceTransformer(
        modules=[Transformer(str(base), max_seq_length=40), *modules], device="cpu", similarity_fn_name=similarity,
        **{"prompts": PROMPTS, **settings},
    )  # fmt: skip
    model.save(str(folder), create_model_card=False)
    return folder


def check_equal(ours: TunedModel, folder: Path) -> None:
    """The library's embeddings of queries and documents, short, empty and too long ones."""
    library = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    found = {"query": ours.embed(TEXTS, "query"), "document": ours.embed(TEXTS)}
    assert np.abs(found["query"] - found["document"]).max() > 1e-3, "the prompts must matter"
    for role, encode in (("query", library.encode_query), ("document", library.encode_document)):
        np.testing.assert_allclose(found[role], encode(TEXTS), atol=1e-5)
    assert ours.similarity == library.similarity_fn_name


@pytest.mark.parametrize("mode", [*MODES, ("lasttoken", "mean"), ("cls", "max", "weightedmean")], ids=str)
def test_every_pooling_gives_the_librarys_embeddings(mode: str | tuple[str, ...], base: Path, tmp_path: Path):
    """With the prompt in the pooling and Normalize; without both, and with Dense."""
    width = 32 * (1 if isinstance(mode, str) else len(mode))
    cases = {"scaled": [Pooling(32, mode), Normalize()]}
    cases["projected"] = [Pooling(32, mode, include_prompt=False), Dense(width, 16)]
    for name, modules in cases.items():
        folder = declared(base, tmp_path / name, *modules)
        ours = telly.load(folder)
        check_equal(ours, folder)
        assert ours.embedding_size == (width if name == "scaled" else 16)
        unit = np.abs(np.linalg.norm(ours.embed(TEXTS), axis=1) - 1).max() < 1e-5
        assert unit == (name == "scaled") and ours.config.max_tokens == {"query": 40, "code": 40}


def test_lower_case_and_the_default_prompt_are_the_librarys(base: Path, tmp_path: Path):
    folder = declared(base, tmp_path / "st", Pooling(32, "mean"), LayerNorm(32), default_prompt_name="query")
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings | {"do_lower_case": True}))
    ours = telly.load(folder)
    check_equal(ours, folder)
    np.testing.assert_array_equal(ours.embed(["Read X"]), ours.embed(["read x"]))


def test_a_folder_that_says_nothing_is_mean_pooled_and_says_so(base: Path):
    ours = telly.load(base)
    assert ours.embedding == EmbeddingConfig() and "says nothing" in ours.embedding.source
    assert np.allclose(np.linalg.norm(ours.embed(TEXTS), axis=1), 1)


def test_a_model_tuned_by_an_earlier_version_is_mean_pooled_without_prompts(base: Path, tmp_path: Path):
    """Its `telly.json` says so as a fact beside the settings, and its folder has no modules."""
    former = shutil.copytree(base, tmp_path / "former")
    usage = {"task": "search", "max_tokens": {"query": 24, "code": 40}, "temperature": 0.05, "pooling": "mean"}
    (former / "telly.json").write_text(json.dumps({"usage": usage}))
    ours = telly.load(former)
    assert ours.is_tuned and ours.embedding == EmbeddingConfig() and ours.config.max_tokens["query"] == 24
    np.testing.assert_allclose(ours.embed(TEXTS[:3]), telly.load(base).embed(TEXTS[:3]), atol=1e-6)


# Tuning


@pytest.fixture(scope="module")
def folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with everything: two modes, prompts that are not pooled, Dense, Normalize, the dot product."""
    modules = (Pooling(32, ("cls", "mean"), include_prompt=False), Dense(64, 24), Normalize())
    return declared(base, tmp_path_factory.mktemp("st") / "model", *modules, similarity="dot")


@pytest.fixture(scope="module")
def tiny(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    data = tiny_data(tmp_path_factory.mktemp("data"))
    return Tiny(folder, data, max_tokens=("query=24", "code=32"))


@pytest.fixture(scope="module")
def runs(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same run from cached states and without a cache."""
    root = tmp_path_factory.mktemp("runs")
    for variant in ("cached", "frozen"):
        options = ("--epochs", "1", "--cache-dtype", "fp32", "--limit", "48")
        run_telly(*tiny.command(root / variant, variant, *options))
    return {variant: root / variant for variant in ("cached", "frozen")}


def test_tuning_trains_the_dense_layer_the_same_with_and_without_the_cache(runs: dict[str, Path], folder: Path):
    before = load_file(folder / "2_Dense" / "model.safetensors")
    after = {name: load_file(run / "model" / "2_Dense" / "model.safetensors") for name, run in runs.items()}
    for name, weight in before.items():
        assert (after["frozen"][name] - weight).abs().max() > 1e-4, "the Dense layer is trained"
        assert (after["frozen"][name] - after["cached"][name]).abs().max() < 1e-5
    assert largest_difference(runs["frozen"], runs["cached"]) < 1e-4
    record = record_of(runs["cached"])
    assert record["cache"]["used"] and record["test"]["mrr"] == pytest.approx(record_of(runs["frozen"])["test"]["mrr"])
    (layer,) = (entry for entry in record["plan"]["layers"] if entry["name"] == "embedding")
    assert layer == {"name": "embedding", "status": "trained", "parameters": 64 * 24 + 24, "trainable": 64 * 24 + 24}


def test_record_card_and_telly_json_say_how_texts_are_embedded(runs: dict[str, Path]):
    record, model = record_of(runs["frozen"]), runs["frozen"] / "model"
    assert record["embedding"] | {"fingerprint": ""} == {
        "pooling": "cls-mean",
        "layers": ["Dense 64 to 24 (Tanh)", "Normalize"],
        "similarity": "dot",
        "prompts": {"query": "find: ", "code": "code: "},
        "include_prompt": False,
        "source": "modules.json",
        "overridden": [],
        "fingerprint": "",
    }
    card = (model / "README.md").read_text(encoding="utf-8")
    for part in (
        "first token and the mean of the last layer's states over its tokens, without padding and without those of the "
        "prompt, then Dense 64 to 24 (Tanh), then scaled to unit length, and two embeddings are compared by their dot "
        "product. The prompts are `'find: '` before every query and `'code: '` before every code.",
        "Declared by: modules.json.",
        "model = SentenceTransformer(FOLDER)",
    ):
        assert part in card
    embedding = json.loads((model / "telly.json").read_text())["embedding"]
    assert embedding["pooling"] == ["cls", "mean"] and embedding["prompts"] == PROMPTS


def test_the_run_and_its_export_are_folders_of_the_library(runs: dict[str, Path], folder: Path, tmp_path: Path):
    run = runs["frozen"]
    ours = telly.load(run)
    assert ours.config.max_tokens == {"query": 24, "code": 32} and ours.embedding.prompts == PROMPTS
    check_equal(ours, run / "model")
    assert np.abs(ours.embed(TEXTS) - telly.load(folder).embed(TEXTS)).max() > 1e-3, "tuning must show"
    run_telly("export", str(run), "--to", "sentence-transformers", "--output", str(tmp_path / "st"))
    check_equal(ours, tmp_path / "st")
    check_equal(telly.load(tmp_path / "st"), tmp_path / "st")
    exported = SentenceTransformer(str(tmp_path / "st"), device="cpu", local_files_only=True)
    assert exported.prompts == PROMPTS and exported.max_seq_length == 32
    assert [type(module).__name__ for module in exported] == ["Transformer", "Pooling", "Dense", "Normalize"]


def test_a_resumed_run_ends_with_the_same_dense_layer(tiny: Tiny, runs: dict[str, Path], tmp_path: Path):
    """It is stopped after its second checkpoint, which has the Dense layer's weights and its optimizer's state."""
    output = tmp_path / "run"
    options = ("--epochs", "1", "--cache-dtype", "fp32", "--limit", "48")
    run_telly(*tiny.command(output, "cached", *options), code=130, setup=STOP)
    with changed_dense(tiny.model):
        ended = run_telly(*tiny.command(output, "cached", *options, "--resume"), code=2)
    assert "the interrupted run embedded texts otherwise" in ended.error
    run_telly(*tiny.command(output, "cached", *options, "--resume"))
    found, expected = (load_file(run / "model/2_Dense/model.safetensors") for run in (output, runs["cached"]))
    assert record_of(output)["resumed_from_step"] == 4
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert largest_difference(output, runs["cached"]) == 0.0


def test_settings_win_over_the_folder(tiny: Tiny, base: Path, tmp_path: Path):
    mean = Tiny(base, tiny.data, max_tokens=tiny.max_tokens)
    options = ("--pooling", "lasttoken", "--query-prompt", "find: ", "--document-prompt", "", "--limit", "32")
    run_telly(*mean.command(tmp_path / "run", "frozen", "--epochs", "1", *options))
    record, ours = record_of(tmp_path / "run"), telly.load(tmp_path / "run")
    assert record["embedding"]["pooling"] == "lasttoken" and record["embedding"]["prompts"] == {"query": "find: "}
    assert record["embedding"]["overridden"] == ["pooling", "query_prompt", "document_prompt"]
    assert "says nothing" in record["embedding"]["source"]
    check_equal(ours, tmp_path / "run" / "model")


@contextmanager
def changed_dense(folder: Path) -> Iterator[None]:
    """The folder's Dense layer has other weights meanwhile."""
    file = folder / "2_Dense" / "model.safetensors"
    before = file.read_bytes()
    save_file({name: 2 * weight for name, weight in load_file(file).items()}, file)
    yield
    file.write_bytes(before)


# Methods, sequences and caches, without training


def settings(model: Path, **more: Any) -> Any:
    limits = {"max_tokens": {"query": 24, "code": 32}} if "task" not in more else {}
    values = {"task": "search", "model": str(model), "limit": 8, "eval_limit": 4, "freeze": 2} | limits | more
    return TuneConfig.parse(values).resolve()


def test_the_method_decides_what_of_the_dense_layer_is_trained(folder: Path):
    trained = {}
    for method, more in {
        "full": {},
        "lora": {},
        "bitfit": {},
        "head-only": {"task": "classify", "freeze": "base"},
    }.items():
        job = prepare(settings(folder, method=method, **more))
        names = {name for name, p in job.module.embedding.named_parameters() if p.requires_grad}
        trained[method] = {name.removeprefix("layers.0.linear.") for name in names}
        (layer,) = (layer for layer in job.plan.layers if layer.name == "embedding")
        assert layer.trainable == sum(p.numel() for p in job.module.embedding.parameters() if p.requires_grad)
        assert job.plan.trainable == sum(p.numel() for p in job.module.parameters() if p.requires_grad)
    both = {"weight", "bias"}
    assert trained == {"full": both, "lora": both, "bitfit": {"bias"}, "head-only": set()}


def test_the_adapters_folder_has_the_dense_layer_as_well(folder: Path, tmp_path: Path):
    """It was trained with the adapters, and peft saves those alone."""
    config = settings(folder, method="lora", output=str(tmp_path))
    job = prepare(config)
    with torch.no_grad():
        for parameter in job.module.embedding.parameters():
            parameter.add_(1.0)
    run = Run(config, job.task, tmp_path, RunRecord(RecordedConfig.of(config)), Clocks(), PeakMemory(), True)
    save_model(run, job.split, job.module, job.inputs.tokenizer, (), job.adapter)
    before = load_file(folder / "2_Dense" / "model.safetensors")
    for name in ("adapter", "model"):
        found = load_file(tmp_path / name / "2_Dense" / "model.safetensors")
        assert all(torch.equal(found[key], before[key] + 1) for key in before)
    for name in ("adapter", "model"):
        check_equal(telly.load(tmp_path / "model"), tmp_path / name)


def test_a_studys_cell_depends_on_what_the_folder_declares(folder: Path, tmp_path: Path):
    def name(model: Path) -> str:
        study = StudyConfig(models=(str(model),), tasks=("search",), variants=("base",), settings={"limit": 8})
        _digests.cache_clear()
        return cells_of(study, tmp_path)[0].folder.name.rpartition("-")[2]

    plain = shutil.copytree(folder, tmp_path / "a" / "model")
    whole = name(plain)
    with changed_dense(plain):
        assert name(plain) != whole
    assert name(plain) == whole


def test_the_prompt_is_in_the_caches_key_and_the_pooling_is_not(base: Path, tmp_path: Path):
    def key(model: Path = base, **more: Any) -> tuple[str, Any]:
        job = prepare(settings(model, **more))
        return job.train.table.fingerprint(), job.train.table.prompt_lengths

    plain, lengths = key()
    assert lengths is None and key(pooling="cls")[0] == plain
    assert key(document_prompt="code: ")[0] != plain != key(query_prompt="find: ")[0]
    unpooled = declared(base, tmp_path / "st", Pooling(32, "mean", include_prompt=False), prompts={"query": "find: "})
    pooled = declared(base, tmp_path / "pooled", Pooling(32, "mean"), prompts={"query": "find: "})
    without, counted = key(unpooled)
    assert key(pooled)[0] == without and set(counted.tolist()) == {0, 4}, "<s>, `find`, `:` and a blank"


def test_equal_texts_with_different_prompts_are_different_sequences(base: Path):
    job = prepare(settings(base, query_prompt="find: "))
    tokenizer, prompts = job.inputs.tokenizer, job.prompts
    ids = {column: prompts.encode(tokenizer, ["read x"], 20, column)[0] for column in ("query", "code")}
    _, rows = SequenceTable.of(ids.values())
    assert rows.tolist() == [0, 1]
    assert tokenizer.decode(ids["query"], skip_special_tokens=True) == "find: read x"
    assert tokenizer.decode(ids["code"], skip_special_tokens=True) == "read x"


def test_presets_are_cut_to_the_folders_length_unless_the_user_gives_one(folder: Path):
    assert settings(folder, max_tokens={}).max_tokens == {"query": 40, "code": 40}
    assert settings(folder, max_tokens={"code": 100}).max_tokens == {"query": 40, "code": 100}


def test_a_prompt_without_room_for_text_is_refused(base: Path):
    long = "say what the rows of all files are " * 9
    with pytest.raises(ConfigError, match=r"the prompt 'say what .*\.\.\.' has \d+ tokens .* no room for text in 24"):
        prepare(settings(base, query_prompt=long, max_tokens={"query": 24, "code": 32}))


def test_a_pooling_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match=r"--pooling: .*unknown pooling 'middle'; expected one of cls, mean, max"):
        TuneConfig.parse({"pooling": "mean-middle"}, options={"pooling": "--pooling"})
    with pytest.raises(ConfigError, match="query_prompt: task clone has no such setting; leave it out"):
        TuneConfig.parse({"task": "clone", "query_prompt": "find: "})


# Index, search and clones


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, drawn = tmp_path_factory.mktemp("tree"), random.Random(7)
    for number in range(8):
        (root / f"f{number}.py").write_text(pair(drawn)["code"], encoding="utf-8")
    return root


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "manhattan"])
def test_index_search_and_clones_rank_as_the_library_does(
    similarity: str, base: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Embeddings are not scaled here, so that the four similarities differ; by a graph as well as exhaustively."""
    folder = declared(base, tmp_path / "st", Pooling(32, "max"), similarity=similarity)
    library, ours = SentenceTransformer(str(folder), device="cpu", local_files_only=True), telly.load(folder)
    for compared in (32_000_000, 0):
        monkeypatch.setattr("telly.using.dense.MAX_COMPARED", compared)
        update_index(tree, tmp_path / f"index-{compared}", ours, workers=1)
        index = open_index(tmp_path / f"index-{compared}")
        assert index is not None
        codes = [location.function.code for location in index.locations()]
        documents = library.encode_document(codes)
        expected = library.similarity(library.encode_query(["read the rows"]), documents)[0].numpy()
        hits = Searcher(index, ours).search("read the rows", by="dense", top=5)
        best = np.argsort(-expected)[:5]
        assert [hit.location.function.code for hit in hits] == [codes[i] for i in best]
        np.testing.assert_allclose([hit.score for hit in hits], expected[best], rtol=1e-4, atol=1e-4)
    scores = library.similarity(documents, documents).numpy()[np.triu_indices(len(codes), 1)]
    threshold = float(np.sort(scores)[-3:].mean())  # the two or three most similar pairs
    found = clones_by(ours, tree, min_similarity=threshold, min_lines=1, index=tmp_path / "clones", workers=1)
    pairs = [p.similarity for group in found.groups for p in group.pairs if p.kind == "similar"]
    assert sorted(pairs) == pytest.approx(sorted(scores[scores >= threshold]), rel=1e-4)
    if similarity != "cosine":
        with pytest.raises(ConfigError, match=rf"compares by the similarity {similarity}, .* give --min-similarity"):
            clones_by(ours, tree, index=tmp_path / "clones")


@pytest.mark.parametrize(
    ("modules", "more", "part"),
    [
        ((Pooling(32, "cls"),), {}, "pooling"),
        ((Pooling(32, "mean"),), {"prompts": {"query": "find: ", "document": "text: "}}, "prompt"),
        ((Pooling(32, "mean"),), {"similarity": "dot"}, "similarity"),
        ((Pooling(32, "mean"), Dense(32, 32)), {}, "pooling, modules"),
    ],
    ids=str,
)
def test_an_index_made_otherwise_is_refused_with_the_command(
    modules: tuple[Any, ...], more: dict[str, Any], part: str, base: Path, tree: Path, tmp_path: Path
):
    first = declared(base, tmp_path / "first", Pooling(32, "mean"))
    other = declared(base, tmp_path / "other", *modules, **more)
    update_index(tree, tmp_path / "index", telly.load(first), workers=1)
    index = open_index(tmp_path / "index")
    assert index is not None
    with pytest.raises(CodeIndexError) as error:
        Searcher(index, telly.load(other))
    assert f"(other {part}); their embeddings cannot be compared. Encode all again: telly index" in str(error.value)
    queries = declared(base, tmp_path / "queries", Pooling(32, "mean"), prompts=PROMPTS | {"query": "search: "})
    Searcher(index, telly.load(queries))  # the prompt of queries is in no embedding of the index


def test_the_command_line_indexes_and_searches_a_run(runs: dict[str, Path], tree: Path, tmp_path: Path):
    index = ("--index", str(tmp_path / "index"))
    run_telly("index", str(tree), "--model", str(runs["frozen"]), *index)
    ended = run_telly("search", "read the rows", str(tree), "--by", "dense", "--json", *index)
    hits = json.loads(ended.out)["hits"]
    library = SentenceTransformer(str(runs["frozen"] / "model"), device="cpu", local_files_only=True)
    codes = [file.read_text().strip("\n") for file in sorted(tree.glob("*.py"))]
    expected = library.similarity(library.encode_query(["read the rows"]), library.encode_document(codes))[0]
    assert [hit["similarity"] for hit in hits] == pytest.approx(sorted(expected.tolist(), reverse=True), abs=1e-5)


# ONNX


def test_onnx_has_pooling_and_dense_or_is_refused(base: Path, folder: Path, tmp_path: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pooled = declared(base, tmp_path / "st", Pooling(32, ("lasttoken", "max")), Dense(64, 12), similarity="dot")
    telly.export(pooled, tmp_path / "onnx", to="onnx")
    library = SentenceTransformer(str(pooled), device="cpu", local_files_only=True)
    batch = library.preprocess(["code: " + text for text in TEXTS])
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"))
    (found,) = session.run(None, {name: batch[name].numpy() for name in ("input_ids", "attention_mask")})
    np.testing.assert_allclose(found, library.encode_document(TEXTS), atol=1e-4)
    card = (tmp_path / "onnx" / "README.md").read_text(encoding="utf-8")
    assert "tokenizer([prompt + text for text in texts]" in card and "`'code: '` before every code" in card
    with pytest.raises(ExportError, match="its pooling leaves out the tokens of the prompt, which a graph of token"):
        telly.export(folder, tmp_path / "refused", to="onnx")
    assert not (tmp_path / "refused").exists()
