"""Hard negatives: hand-checked choices, the answers of sentence-transformers, and the command itself."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import torch

from telly.errors import ConfigError, DataError
from telly.freezing.build import existing_cache
from telly.inference import embedding_cache
from telly.inference.tuned_model import TunedModel
from telly.models.similarity import Similarity
from telly.settings.config import TuneConfig
from telly.tuning.caches import requests
from telly.tuning.job import prepare
from telly.using import negatives
from telly.using.negatives import NegativeSettings, SearchData, choose, mine_negatives
from tiny_runs import Tiny, pair, record_of, run_telly, tiny_data, tiny_model_folder

ANY = NegativeSettings(count=10, relative_margin=None, near_copies=True)


def data_of(positives: list[list[int]], documents: int) -> SearchData:
    """Queries with these documents; every document has a text of its own."""
    queries = [f"query {i}" for i in range(len(positives))]
    return SearchData(queries, [f"document {i}" for i in range(documents)], [], positives, [], [])


def chosen(scores: list[list[float]], positives: list[list[int]], **changes: Any) -> list[list[int]]:
    settings = NegativeSettings(**{"count": 10, "relative_margin": None, "near_copies": True} | changes)
    table = torch.tensor(scores)
    return choose(lambda chunk: table[chunk], data_of(positives, table.shape[1]), settings).negatives


SCORES = [[0.9, 0.8, 0.87, 0.5, 0.84, 0.1]]
"""Ranks of the documents beside the positive, 0: 2, 4, 1, 3, 5."""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [2, 4, 1, 3, 5]),
        ({"count": 2}, [2, 4]),
        ({"count": 2, "min_rank": 3}, [1, 3]),
        ({"count": 2, "min_rank": 2, "max_rank": 3}, [4, 1]),
        ({"relative_margin": 0.05}, [4, 1, 3, 5]),  # .95 x .9 = .855 < .87
        ({"relative_margin": 0.1}, [1, 3, 5]),  # .81: .84 is above, too
        ({"relative_margin": 0.05, "count": 1, "max_rank": 1}, []),  # a rank that is left out is not replaced
        ({"max_score": 0.5}, [3, 5]),
    ],
)
def test_choices_by_hand(changes: dict[str, Any], expected: list[int]):
    assert chosen(SCORES, [[0]], **changes) == [expected]


def test_all_positives_of_a_query_are_left_out_and_the_lowest_sets_the_margin():
    assert chosen(SCORES, [[0, 4]], relative_margin=0.05) == [[3, 5]]  # .95 x .84 = .798 < .8


def test_the_margin_of_a_negative_score_lies_below_it():
    """(1 - .1) x -1 is above -1; the candidate at -1.05 must be left out, the one at -1.2 not."""
    assert chosen([[-1.0, -1.05, -1.2]], [[0]], relative_margin=0.1) == [[2]]


def test_reasons_are_counted():
    data = data_of([[0]], 6)
    settings = NegativeSettings(count=3, relative_margin=0.05, max_score=0.82, near_copies=True)
    mined = choose(lambda chunk: torch.tensor(SCORES)[chunk], data, settings)
    assert mined.negatives == [[1, 3, 5]] and not mined.short
    assert mined.left_out == {negatives.MARGIN: 1, negatives.MAX_SCORE: 1}
    mined = choose(
        lambda chunk: torch.tensor(SCORES)[chunk], data, NegativeSettings(5, max_score=0.3, near_copies=True)
    )
    assert mined.negatives == [[5]] and mined.num_short(5) == 1 and mined.num_short(1) == 0
    assert mined.short == {negatives.MARGIN: 1, negatives.MAX_SCORE: 1}
    mined = choose(lambda chunk: torch.tensor(SCORES)[chunk], data, NegativeSettings(9, near_copies=True))
    assert mined.short == {negatives.MARGIN: 1}
    mined = choose(lambda chunk: torch.tensor(SCORES)[chunk], data, ANY)
    assert mined.short == {negatives.NO_DOCUMENT: 1}


def test_near_copies_and_equal_texts_of_a_positive_are_no_negatives():
    rng = random.Random(0)
    code = pair(rng)["code"] + "".join(f"    x{i} = y{i} + {i}\n" for i in range(20))
    copy = code.replace("x7", "z7")
    spaced = code.replace("    ", "\t")
    other = pair(rng)["code"]
    data = SearchData.of(["a", "b", "c", "d"], [code, copy, spaced, other])
    assert data.documents == [code, copy, other], "equal but for white space: one document"
    assert data.positives == [[0], [1], [0], [2]]

    def ranker(chunk: list[int]) -> torch.Tensor:
        return torch.tensor([[0.9, 0.8, 0.7]] * 4)[chunk]

    settings = NegativeSettings(count=2, relative_margin=None)
    mined = choose(ranker, data, settings)
    assert mined.negatives == [[2], [2], [2], [0, 1]]
    assert mined.left_out == {negatives.COPY: 3}
    allowed = choose(ranker, data, NegativeSettings(count=2, relative_margin=None, near_copies=True))
    assert allowed.negatives[0] == [1, 2]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"count": 3, "relative_margin": 0.05}, {"num_negatives": 3, "relative_margin": 0.05}),
        (
            {"count": 4, "relative_margin": None, "min_rank": 3, "max_rank": 8},
            {"num_negatives": 4, "range_min": 2, "range_max": 8},
        ),
        (
            {"count": 3, "relative_margin": 0.2, "max_score": 0.3},
            {"num_negatives": 3, "relative_margin": 0.2, "max_score": 0.3},
        ),
    ],
)
def test_the_answers_of_sentence_transformers(ours: dict[str, Any], theirs: dict[str, Any]):
    """Random embeddings; some queries have two documents, and some documents two queries."""
    util = pytest.importorskip("sentence_transformers.util")
    rng = np.random.default_rng(0)
    queries = [f"q{i % 17}" for i in range(20)]
    documents = [f"d{i % 15}" for i in range(20)]
    vectors = {text: rng.standard_normal(8).astype(np.float32) for text in dict.fromkeys(queries + documents)}
    for query, document in zip(queries, documents, strict=True):  # positives are similar, as those of a trained model
        vectors[query] = vectors[query] + vectors[document]
    encode = lambda texts, **_: np.stack([vectors[text] for text in texts])  # noqa: E731
    model = SimpleNamespace(
        encode_query=encode, encode_document=encode, device="cpu", similarity=util.cos_sim,
        similarity_pairwise=util.pairwise_cos_sim, model_card_data=SimpleNamespace(base_model=None),
    )  # fmt: skip
    mined = util.mine_hard_negatives(
        datasets.Dataset.from_dict({"query": queries, "code": documents}), model, verbose=False, **theirs
    )
    expected = {(row["query"], row["negative"]) for row in mined}

    data = SearchData.of(queries, documents)
    left, right = (torch.from_numpy(encode(texts)) for texts in (data.queries, data.documents))
    settings = NegativeSettings(near_copies=True, **ours)
    found = choose(lambda chunk: Similarity.COSINE.scores(left[chunk], right), data, settings)
    pairs = {
        (query, data.documents[i]) for query, some in zip(data.queries, found.negatives, strict=True) for i in some
    }
    assert pairs == expected and len(pairs) > 20


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("negatives")
    model = tiny_model_folder(folder / "model")
    advice = {"recommended": {"search": {"max_tokens": {"query": 24, "code": 48}}}}
    (model / "telly.json").write_text(json.dumps(advice))
    return Tiny(model, tiny_data(folder / "data"))


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_command(tiny: Tiny, tmp_path: Path):
    """Through the real command line; the file trains, and no frozen layer runs again for a negative."""
    source, output = tmp_path / "train.jsonl", tmp_path / "hard.jsonl"
    rows = [row | {"idx": i} for i, row in enumerate(rows_of(tiny.data["train"]))]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cache = tmp_path / "cache"
    ended = run_telly(
        *("data", "negatives", str(source), "--output", str(output), "--model", str(tiny.model), "--count", "2"),
        *("--freeze", "2", "--cache-dir", str(cache), "--relative-margin", "0.01"),
    )
    lines = ended.out.splitlines()
    assert lines[0].startswith(f"{output}: 120 rows, ")
    assert lines[0].endswith(f" negatives for 120 queries among 120 documents, ranked by {tiny.model}")
    assert lines[1] == "the states of 2 frozen layers came from the activation cache"
    assert lines[-1] == f"next: telly tune search --data {output} --valid VALID"
    found = rows_of(output)
    assert [{name: value for name, value in row.items() if name != "negatives"} for row in found] == rows
    documents = {row["code"] for row in rows}
    assert all(set(row["negatives"]) <= documents - {row["code"]} for row in found)
    assert 50 < sum(len(row["negatives"]) for row in found) <= 240
    run = tmp_path / "run"
    run_telly(*tiny.command(run, "cached", "--data", str(output), "--epochs", "1", cache=cache))
    assert record_of(run)["cache"]["caches"]["train"]["built_shards"] == 0, "the states are those of mining"
    again = run_telly("data", "negatives", str(output), "-o", str(tmp_path / "again.jsonl"), "--bm25", code=2)
    assert again.error == f"{output}: has negatives already; remove their column, or train on it as it is"


def test_documents_of_a_collection_without_a_query_are_candidates_too(tmp_path: Path):
    """BEIR's layout: `d2` answers nothing, and `d1` answers both queries."""
    texts = {"d0": "parse a date", "d1": "parse a time", "d2": "parse a date of a time", "d3": "retry"}
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"_id": i, "text": t}) + "\n" for i, t in texts.items()))
    queries = {"q0": "parse date", "q1": "parse time"}
    (tmp_path / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": i, "text": t}) + "\n" for i, t in queries.items())
    )
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\nq0\td1\t2\nq1\td1\t1\n")
    settings = NegativeSettings(count=2, relative_margin=None, near_copies=True)
    mine_negatives(str(tmp_path), tmp_path / "o.jsonl", settings, model="bm25", cache_dir=tmp_path)
    assert rows_of(tmp_path / "o.jsonl") == [
        {"query": "parse date", "code": "parse a date", "negatives": ["parse a date of a time"]},
        {"query": "parse date", "code": "parse a time", "negatives": ["parse a date of a time"]},
        {"query": "parse time", "code": "parse a time", "negatives": ["parse a date of a time", "parse a date"]},
    ]
    with pytest.raises(ConfigError, match="is a collection, whose documents no run caches; leave it out"):
        mine_negatives(str(tmp_path), tmp_path / "p.jsonl", settings, model="telly-mini", cache_dir=tmp_path, freeze=2)


def test_bm25_and_its_summary(tiny: Tiny, tmp_path: Path):
    output = tmp_path / "words.jsonl"
    ended = run_telly("data", "negatives", str(tiny.data["train"]), "-o", str(output), "--bm25", "--json")
    report = json.loads(ended.out)
    assert report["model"] == "bm25" and report["rows"] == 120 and report["settings"]["relative_margin"] is None
    first = rows_of(output)[0]
    words = set(first["query"].split())
    assert all(words & set(text.replace("_", " ").replace("(", " ").split()) for text in first["negatives"])
    again = run_telly("data", "negatives", str(tiny.data["train"]), "-o", str(output), "--bm25", code=2)
    assert again.error == f"{output}: exists; choose another --output, or replace it with --overwrite"
    assert json.loads(run_telly(
        "data", "negatives", str(tiny.data["train"]), "-o", str(output), "--bm25", "--json", "--overwrite"
    ).out) == report  # fmt: skip


def test_every_text_is_embedded_once_also_after_an_interruption(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    embedded: list[str] = []
    real = TunedModel.embed

    def embed(self: TunedModel, texts: list[str], role: Any = "document") -> Any:
        if len(embedded) >= 100 and not allowed:
            raise KeyboardInterrupt
        embedded.extend(texts)
        return real(self, texts, role)

    monkeypatch.setattr(TunedModel, "embed", embed)
    monkeypatch.setattr(embedding_cache, "CHUNK", 50)
    allowed = False
    source, settings = str(tiny.data["valid"].parent / "train.jsonl"), NegativeSettings(count=2, relative_margin=None)
    arguments = {"model": str(tiny.model), "cache_dir": tmp_path / "cache"}
    with pytest.raises(KeyboardInterrupt):
        mine_negatives(source, tmp_path / "a.jsonl", settings, **arguments)
    assert not (tmp_path / "a.jsonl").exists() and len(embedded) == 100
    allowed = True
    mine_negatives(source, tmp_path / "a.jsonl", settings, **arguments)
    assert len(embedded) == len(set(embedded)) == 240, "120 queries and 120 documents, each once"
    mine_negatives(source, tmp_path / "b.jsonl", settings, **arguments)
    assert len(embedded) == 240 and (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_states_of_a_runs_frozen_layers_are_read_where_they_are(tiny: Tiny, tmp_path: Path):
    """The negatives of a run's model come from the run's own cache, and equal those of the whole model."""
    run, cache = tmp_path / "run", tmp_path / "cache"
    run_telly(*tiny.command(run, "cached", "--epochs", "1", "--cache-dtype", "fp32", cache=cache))
    arguments = {"model": str(run), "cache_dir": cache}
    settings = NegativeSettings(count=3, relative_margin=None)
    source = str(tiny.data["train"])
    whole = mine_negatives(source, tmp_path / "whole.jsonl", settings, **arguments | {"cache_dir": tmp_path / "none"})
    assert whole.cached_layers is None
    built = {path: path.stat().st_mtime_ns for path in cache.rglob("shard*")}
    cached = mine_negatives(source, tmp_path / "cached.jsonl", settings, **arguments)
    assert cached.cached_layers == 2
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("shard*")} == built, "nothing was computed again"
    assert (tmp_path / "cached.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_folder_with_a_higher_length_limit_is_mined_from_the_cache_of_its_tuning(tiny: Tiny, tmp_path: Path):
    """The folder allows 40 tokens, to which `telly.load` cuts; tuning cuts at the recommended lengths."""
    model = shutil.copytree(tiny.model, tmp_path / "model")
    (model / "1_Pooling").mkdir()
    kinds = {"Transformer": "", "Pooling": "1_Pooling"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for kind, path in kinds.items()]
    for name, content in {
        "modules.json": modules,
        "1_Pooling/config.json": {"pooling_mode": "mean"},
        "sentence_bert_config.json": {"max_seq_length": 40},
        "telly.json": {"recommended": {"search": {"max_tokens": {"query": 6, "code": 12}}}},
    }.items():
        (model / name).write_text(json.dumps(content))
    assert TunedModel.load(model).config.max_tokens == {"query": 40, "code": 40}
    source, cache = str(tiny.data["train"]), tmp_path / "cache"
    mine_negatives(source, tmp_path / "o.jsonl", NegativeSettings(), model=str(model), cache_dir=cache, freeze=2)
    config = TuneConfig(
        model=str(model), data=source, valid=str(tiny.data["valid"]), freeze=2, cache_dir=cache, cache_always=True
    ).resolve()
    assert config.max_tokens == {"query": 6, "code": 12}
    assert existing_cache(requests(prepare(config))["train"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"count": 5, "max_rank": 4},
            "--min-rank 1 --max-rank 4: these are fewer ranks than --count 5; raise --max-rank to 5",
        ),
        ({"min_rank": 0}, "--min-rank 0: expected at least 1"),
        ({"relative_margin": 1.5}, "--relative-margin 1.5: expected a fraction from 0 to 1"),
    ],
)
def test_settings_that_do_not_fit(values: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        NegativeSettings(**values)


def test_one_document_is_not_enough(tmp_path: Path):
    file = tmp_path / "train.jsonl"
    file.write_text('{"query": "a b", "code": "def f(): pass"}\n' * 3)
    with pytest.raises(DataError, match="all rows have the same code; expected at least two to choose from"):
        mine_negatives(str(file), tmp_path / "o.jsonl", ANY, model="bm25", cache_dir=tmp_path)
    assert not (tmp_path / "o.jsonl").exists()


def test_bm25_takes_no_model(tiny: Tiny, tmp_path: Path):
    source = str(tiny.data["train"])
    ended = run_telly("data", "negatives", source, "-o", str(tmp_path / "o"), "--bm25", "--model", "x", code=2)
    assert ended.error == "--bm25 ranks by words, without a model; leave out --model and --freeze, or --bm25"
