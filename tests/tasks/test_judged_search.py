"""Code search on collections with judgments: every query against the whole corpus, with graded relevance."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from sklearn.metrics import ndcg_score

import telly
from telly.advice.samples import draw_samples
from telly.data.judged import JudgedQueries
from telly.freezing.source import RowSource
from telly.metrics.judgments import Judgments
from telly.metrics.per_example import read_per_example
from telly.pretraining.tokenizer import train_tokenizer
from telly.tasks import TASKS, get_task
from telly.tasks.options import ContrastiveOptions
from telly.tasks.training.retrieval import RetrievalData, RetrievalModel
from tiny_models import Given
from tiny_runs import Tiny, pair, run_telly, tiny_model_folder

QUERIES = ["open a file", "parse a date"]
DOCUMENTS = ["def open(file): file", "def date(): parse", "def add(a, b): a", "def add(a, b, c): a", "x = 1"]


def judged(relevant: list[dict[int, int]], documents: list[str] = DOCUMENTS) -> JudgedQueries:
    queries = Dataset.from_dict({"query": QUERIES[: len(relevant)]})
    return JudgedQueries(queries, Dataset.from_dict({"code": documents}), Judgments.of(relevant))


def encoded(data: JudgedQueries, max_tokens: int = 64) -> RetrievalData:
    tokenizer = train_tokenizer(DOCUMENTS * 5, 300)
    return get_task("search").encode({"test": data}, tokenizer, {"query": 32, "code": max_tokens}, None)["test"]


def metrics_of(data: RetrievalData, embeddings: torch.Tensor) -> dict[str, float]:
    """Metrics where a sequence's embedding is that of its row in the table."""
    rows = {tuple(data.table[row].tolist()): row for row in range(len(data.table))}

    class ByRow(Given):
        def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
            found = [
                rows[tuple(ids[mask.bool()].tolist())] for ids, mask in zip(input_ids, attention_mask, strict=True)
            ]
            return super().__call__(torch.tensor(found)[:, None], torch.ones(len(found), 1))

    model = RetrievalModel(ByRow(embeddings), ContrastiveOptions())  # type: ignore[arg-type]
    autocast = torch.autocast("cpu", enabled=False)
    return get_task("search").evaluate(model, RowSource(data.table, 0), data, autocast, final=True).metrics


def test_documents_without_judgment_are_candidates_and_grades_are_gains() -> None:
    """Query 0 is like document 4 (not judged), then 1 (grade 1), then 0 (grade 2); query 1 finds document 1 first."""
    data = encoded(judged([{0: 2, 1: 1}, {1: 1}]))
    assert len(data) == 2
    assert list(data.rows) == ["query"]
    axes = torch.eye(8)
    embeddings = torch.zeros(len(data.table), 8)
    embeddings[data.candidates] = axes[:5]
    embeddings[data.rows["query"]] = torch.stack([axes[4] * 3 + axes[1] * 2 + axes[0], axes[1]])
    ndcg = (1 / math.log2(3) + 2 / math.log2(4)) / (2 + 1 / math.log2(3))
    found = metrics_of(data, embeddings)
    assert found["mrr"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["map"] == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1) / 2)
    assert found["ndcg@10"] == pytest.approx((ndcg + 1) / 2)
    assert (found["recall@1"], found["recall@5"]) == (0.5, 1.0)


def test_documents_that_are_equal_up_to_the_length_limit_tie_against_the_model() -> None:
    """The two `add` are one sequence of six tokens, but two candidates: the relevant one has rank 2."""
    data = encoded(judged([{2: 1}]), max_tokens=6)
    assert data.candidates is not None
    assert data.candidates[2] == data.candidates[3]
    embeddings = torch.eye(len(data.table))
    embeddings[data.rows["query"]] = embeddings[data.candidates[[2]]]
    assert metrics_of(data, embeddings)["mrr"] == 0.5


def test_the_fingerprint_covers_queries_corpus_and_judgments() -> None:
    base = judged([{0: 2, 1: 1}, {1: 1}])
    others = [
        judged([{0: 1, 1: 1}, {1: 1}]),
        judged([{0: 2, 2: 1}, {1: 1}]),
        judged([{0: 2}, {1: 1}]),
        judged([{0: 2, 1: 1}, {1: 1}], DOCUMENTS[:-1]),
        base.select([1, 0]),
    ]
    prints = {encoded(data).fingerprint() for data in (base, *others)}
    assert len(prints) == len({data._fingerprint for data in (base, *others)}) == 6
    assert encoded(judged([{0: 2, 1: 1}, {1: 1}])).fingerprint() in prints


def test_pilots_take_some_queries_and_all_candidates() -> None:
    train = Dataset.from_dict({"query": list(map(str, range(80))), "code": list(map(str, range(80)))})
    queries = Dataset.from_dict({"query": list(map(str, range(120)))})
    valid = JudgedQueries(
        queries, Dataset.from_dict({"code": DOCUMENTS}), Judgments.one_each([i % 5 for i in range(120)])
    )
    sample = draw_samples(train, valid, TASKS["search"].schema, seed=0).valid
    assert (len(sample), len(sample.documents)) == (100, 5)
    assert [int(query) % 5 for query in sample.queries["query"]] == sample.judgments.documents.tolist()


def test_the_baseline_ranks_the_same_candidates() -> None:
    """BM25 finds `open` for the first query; no document has the word `nothing`, so its answer is the last of five."""
    data = judged([{0: 1}, {4: 1}])
    data = replace(data, queries=Dataset.from_dict({"query": ["open a file", "nothing"]}))
    found = get_task("search").baselines({"test": data}, "test", encoded(data))["bm25"]
    assert found["mrr"] == pytest.approx((1 + 1 / 5) / 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection: 40 documents, 24 queries with one to three relevant ones to train on, and 12 to test."""
    folder, rng = tmp_path_factory.mktemp("beir"), random.Random(0)
    (folder / "qrels").mkdir()
    pairs = [pair(rng) for _ in range(40)]
    corpus = [{"_id": f"d{i}", "title": "", "text": one["code"]} for i, one in enumerate(pairs)]
    queries = [{"_id": f"q{i}", "text": one["query"]} for i, one in enumerate(pairs[:36])]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for split, part in (("train", range(24)), ("test", range(24, 36))):
        lines = [f"q{i}\td{d}\t{1 + (d == i)}\n" for i in part for d in {i, *rng.sample(range(40), i % 3)}]
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return folder


def test_a_run_on_a_collection(folder: Path, tmp_path: Path) -> None:
    """The epoch is chosen by NDCG@10, and the test scores are those of the saved model by scikit-learn."""
    files = dict.fromkeys(("train", "valid", "test"), folder) | {"valid": folder / "qrels" / "test.tsv"}
    tiny = Tiny(tiny_model_folder(tmp_path / "model"), files)
    options = ("--metric", "ndcg@10", "--eval-limit", "10", "--epochs", "2", "--json", "--save-steps", "99")
    record = json.loads(run_telly(*tiny.command(tmp_path / "run", "cached", *options, "--cache-dtype", "fp32")).out)
    assert record["metric"] == "ndcg@10"
    assert record["cache"]["complete"]
    assert (record["data"]["test"]["examples"], record["data"]["test"]["candidates"]) == (10, 40)
    assert record["data"]["train"]["candidates"] is None
    assert record["baselines"].keys() == {"bm25", "untuned"}

    model = telly.load(tmp_path / "run")
    test = telly_data(folder)
    queries = model.embed(test.queries["query"][:], role="query")
    scores = queries @ model.embed(test.documents["code"][:], role="document").T
    grades = np.zeros_like(scores)
    for query, bounds in enumerate(zip(test.judgments.offsets, test.judgments.offsets[1:], strict=False)):
        grades[query, test.judgments.documents[slice(*bounds)]] = test.judgments.grades[slice(*bounds)]
    assert record["test"]["ndcg@10"] == pytest.approx(ndcg_score(grades, scores, k=10), abs=1e-5)
    verdict = record["verdict"]
    assert verdict["untuned"] == pytest.approx(record["baselines"]["untuned"]["ndcg@10"])
    assert verdict["sentence"].endswith("paired bootstrap over 10 examples")
    rows = read_per_example(tmp_path / "run" / "scores.npz")["ndcg@10"].rows
    assert len(rows) == 10


def telly_data(folder: Path) -> JudgedQueries:
    from telly.data.readers import read_to_evaluate
    from telly.tasks import TASKS
    from telly.tuning.inputs import SUBSET_SEED

    data = read_to_evaluate(str(folder), TASKS["search"].schema, split="test")
    assert isinstance(data, JudgedQueries)
    return data.shuffle(seed=SUBSET_SEED).select(range(10))


def test_no_relevant_document_of_a_query_is_its_negative() -> None:
    """Query 0 has documents 0 and 1, query 1 has document 1; the pairs of the batch are orthogonal.

    Document 1 answers query 0 as well, in a pair outside the batch, so that query 0 is left without negatives: its loss
    is 0 and not ln(1 + 1/e), which is that of query 1. A hard negative of query 1 that answers query 0 is none for it.
    """
    rows = {"query": ["a", "a", "b"], "code": ["x = 0", "x = 1", "x = 1"], "negatives": [[], [], []]}
    data = get_task("search").encode(
        {"train": Dataset.from_dict(rows)}, train_tokenizer(DOCUMENTS * 5, 300), {"query": 32, "code": 32}, None
    )["train"]
    model = RetrievalModel(Given(torch.zeros(1, 4)), ContrastiveOptions(temperature=1.0))  # type: ignore[arg-type]
    model.embed = lambda batch: torch.eye(4)[: len(batch["input_ids"])]  # type: ignore[method-assign]

    def loss(examples: list[int], **more: object) -> float:
        batch = get_task("search").collate(RowSource(data.table, 0), data, examples)
        return model(**batch | more)["loss"].item()

    alone = math.log(1 + 1 / math.e)
    assert loss([0, 2]) == pytest.approx(alone / 2)
    assert loss([0, 2], answers=None) == pytest.approx(alone), "what it would be"
    assert loss([0, 1]) == pytest.approx(0), "pairs of one query"
    code = data.rows["code"]
    hard = {"negatives": RowSource(data.table, 0).batch(code[[0]]), "negative_rows": torch.from_numpy(code[[1]])}
    assert loss([0, 2], **hard) == pytest.approx(alone / 2)
    assert data.answers is not None and data.answers.tolist() == [[data.rows["query"][0], row] for row in code[:2]]
