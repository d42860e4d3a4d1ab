"""Search: fusion checked by hand, the graph against exhaustive search, and the choice of the model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import telly
import telly.using.dense
from telly.errors import CodeIndexError, ConfigError
from telly.inference.tuned_model import TunedModel
from telly.metrics.bm25 import Bm25
from telly.metrics.words import words
from telly.using.choice import choose, newest_usable_run
from telly.using.dense import Dense
from telly.using.index import default_folder, open_index
from telly.using.search import Searcher, build_index, fuse, open_search, search, top_indices
from telly.using.update import update_index


def unit(rng: np.random.Generator, count: int, hidden: int = 16) -> np.ndarray:
    found = rng.standard_normal((count, hidden)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_ranks_are_fused() -> None:
    # 7 is second and first, 5 is first only, 9 is third and second: 1/62 + 1/61, 1/61, 1/63 + 1/62
    scores = fuse([[5, 7, 9], [7, 9]])
    assert scores == pytest.approx({7: 0.032522, 9: 0.032002, 5: 0.016393}, abs=1e-6)
    assert sorted(scores, key=lambda number: -scores[number]) == [7, 9, 5]


def test_the_top_indices() -> None:
    scores = np.array([0.5, 2.0, 0.0, 2.0, 1.0], dtype=np.float32)
    assert top_indices(scores, 2).tolist() == [1, 3]
    assert top_indices(scores, 3).tolist() == [1, 3, 4]
    assert top_indices(scores, 9).tolist() == [1, 3, 4, 0, 2]


def test_each_way_to_search_has_its_own_order(tree: Path, tuned: TunedModel, tmp_path: Path) -> None:
    update_index(tree, tmp_path / "index", tuned)
    index = open_index(tmp_path / "index")
    assert index is not None
    searcher = Searcher(index, tuned)
    query = "read a date from a text"
    by_words = searcher.search(query, by="bm25")
    assert by_words[0].location.function.name == "parse_date"
    assert by_words[0].similarity is None and by_words[0].bm25 == by_words[0].score > 0
    near = searcher.search(query, by="dense")
    assert len(near) == 6 and [hit.score for hit in near] == sorted((hit.score for hit in near), reverse=True)
    fused = searcher.search(query)
    expected = fuse([[hit.location.function.name for hit in hits] for hits in (near, by_words)])  # type: ignore[misc]
    assert {hit.location.function.name: hit.score for hit in fused} == pytest.approx(expected)
    assert [len(searcher.search(query, top=n)) for n in (1, 4)] == [1, 4]


def test_a_description_is_searched_for_words(tree: Path, tuned: TunedModel, tmp_path: Path) -> None:
    update_index(tree, tmp_path / "index", tuned)
    index = open_index(tmp_path / "index")
    assert index is not None
    searcher = Searcher(index)
    assert [hit.location.function.name for hit in searcher.search("succeeds", by="bm25")] == ["RetryRequest"]
    assert searcher.search("zebra", by="bm25") == []
    with pytest.raises(ConfigError, match="searching by embeddings needs the index's model"):
        searcher.search("succeeds")
    with pytest.raises(ConfigError, match="the query is blank"):
        searcher.search("  ", by="bm25")


def test_words_saved_are_words_loaded(tmp_path: Path) -> None:
    texts = ["parseDate of text", "join_paths", "date date"]
    index = Bm25.of(texts)
    index.save(tmp_path / "words")
    again = Bm25.load(tmp_path / "words")
    for query in ("date", "parse the date", "nothing"):
        np.testing.assert_array_equal(again.scores(query), index.scores(query))
    assert index.scores("date")[2] > index.scores("date")[0] > 0 == index.scores("date")[1]
    assert words("parseDate2_of HTTPText") == ["parse", "date", "2", "of", "http", "text"]


def test_the_graph_finds_what_comparing_all_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    embeddings, queries = unit(rng, 2000), unit(rng, 50)
    flat = Dense.build(embeddings)
    monkeypatch.setattr(telly.using.dense, "MAX_COMPARED", 0)
    built = Dense.build(embeddings)
    assert flat.functions is None and built.functions is not None, "the switch has an effect"
    built.save(tmp_path / "dense")
    graph = Dense.load(tmp_path / "dense", embeddings)
    recalls = [len(set(flat.nearest(q, 10)[0]) & set(graph.nearest(q, 10)[0])) / 10 for q in queries]
    assert np.mean(recalls) > 0.95

    # every third function goes, the rest moves, and fifty come
    remaining = np.flatnonzero(np.arange(2000) % 5 != 0)
    moved = np.full(2000, -1)
    moved[remaining] = np.arange(len(remaining)) + 50
    now = np.concatenate([unit(rng, 50), embeddings[remaining]])
    updated = Dense.build(now, graph, moved)
    assert updated.index.ntotal == 2050, "only what is new was added"
    monkeypatch.setattr(telly.using.dense, "MAX_COMPARED", 1 << 30)
    exact = Dense.build(now)
    for query in queries:
        indices, scores = updated.nearest(query, 10)
        assert len(indices) == 10
        np.testing.assert_allclose(scores, now[indices] @ query, atol=1e-5)
    recalls = [len(set(exact.nearest(q, 10)[0]) & set(updated.nearest(q, 10)[0])) / 10 for q in queries]
    assert np.mean(recalls) > 0.95
    monkeypatch.setattr(telly.using.dense, "MAX_COMPARED", 0)
    few = np.arange(1000, 1250)
    again = Dense.build(now[few], updated, np.where(np.isin(np.arange(len(now)), few), np.arange(len(now)) - 1000, -1))
    assert again.index.ntotal == 250, "mostly deleted nodes, so it was built again"


def fake_run(folder: Path, task: str, started: str, status: str = "finished", head: str | None = None) -> Path:
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text("{}")
    config = {"task": task, "model": "telly-mini", "head": head}
    record = {"format": 1, "config": config, "status": status, "started": started, "test": {"mrr": 0.5}}
    (folder / "record.json").write_text(json.dumps(record))
    return folder


def test_the_newest_finished_run_of_the_task_is_taken(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert choose("search", runs=runs).message == f"model: telly-mini, not tuned: no finished run of search in {runs}/"
    fake_run(runs / "old", "search", "2026-01-01T00:00:00+00:00")
    new = fake_run(runs / "deep" / "new", "search", "2026-03-01T00:00:00+00:00")
    fake_run(runs / "broken", "search", "2026-05-01T00:00:00+00:00", status="failed")
    fake_run(runs / "pair", "clone", "2026-05-01T00:00:00+00:00", head="pair")
    cosine = fake_run(runs / "cosine", "clone", "2026-04-01T00:00:00+00:00", head="cosine")
    assert newest_usable_run("search", runs) == new
    assert newest_usable_run("clone", runs) == cosine
    assert newest_usable_run("generate", runs) is None
    assert choose("search", runs=runs).message == f"model: {new}, the newest run of search"
    assert choose("search", "telly-mini", runs).message == "model: telly-mini, not tuned"


def test_the_library_makes_the_index_it_needs(tree: Path, model_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "telly"):
        searcher = open_search(tree, model=str(model_folder))
    assert caplog.messages[0] == f"no index of {tree} yet: making it in {default_folder(tree, 'search')}"
    assert searcher.search("join paths", top=1, by="bm25")[0].location.function.name == "join_paths"
    (tree / "more.py").write_text("def zebra_crossing(road):\n    lines = road + 1\n    return lines\n")
    assert not search("zebra", tree, by="bm25"), "an index is not updated by itself"
    [hit] = open_search(tree, by="bm25", update=True).search("zebra", by="bm25")
    assert hit.location.path == "more.py"
    assert telly.code.search("zebra", tree, top=3) and telly.code.build_index is build_index


def test_a_model_that_is_gone_is_explained(tree: Path, model_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in model_folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    build_index(tree, model=str(copy))
    (copy / "config.json").unlink()
    with pytest.raises(
        CodeIndexError,
        match=r"the model that made this index cannot be loaded .* telly index .*tree --model telly-mini;",
    ):
        search("date", tree)
    assert search("date", tree, by="bm25")
