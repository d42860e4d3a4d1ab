"""Collections with judgments: BEIR's and CoSQA's layouts, as pairs and to evaluate on."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telly.data.judged import JudgedQueries
from telly.data.readers import read, read_to_evaluate
from telly.data.schema import Schema
from telly.data.validate import KINDS, check
from telly.data.warnings import warnings_about
from telly.errors import DataError
from telly.tasks import TASKS

pytest_plugins = ["handwritten"]
pytestmark = pytest.mark.usefixtures("own_cache")
SEARCH: Schema = TASKS["search"].schema
Write = Callable[..., Path]
HEADER = "query-id\tcorpus-id\tscore"
CORPUS = [
    {"_id": "d1", "title": "math.py", "text": "def add(a, b): return a + b\n"},
    {"_id": "d2", "title": "", "text": "def read(path): return open(path).read()"},
    {"_id": 3, "text": "def close(file): file.close()"},
    {"_id": "d4", "title": "", "text": "def read(path): return open(path).read()", "metadata": {}},
    {"_id": "d5", "text": "def main(): pass"},
]
QUERIES = [{"_id": "q1", "text": "add numbers"}, {"_id": "q2", "text": "read a file"}, {"_id": "q3", "text": "fly"}]
TEXTS = [
    "math.py def add(a, b): return a + b",
    "def read(path): return open(path).read()",
    "def close(file): file.close()",
    "def main(): pass",
]


@pytest.fixture
def folder(write: Write) -> Path:
    """Three queries, five documents of which two have the same text; the third query has no relevant document."""
    write("beir/corpus.jsonl", *CORPUS)
    write("beir/queries.jsonl", *QUERIES)
    write("beir/qrels/train.tsv", HEADER, "q1\td1\t1")
    return write("beir/qrels/test.tsv", HEADER, "q2\t3\t1", "q1\td1\t1", "q2\td2\t1", "q2\td4\t2", "q3\td1\t0").parents[
        1
    ]


def relevant(data: Any) -> dict[str, dict[str, int]]:
    """Grades of the relevant documents by text, by query."""
    assert isinstance(data, JudgedQueries)
    bounds, texts = data.judgments.offsets, data.documents["code"][:]
    return {
        query: {texts[data.judgments.documents[i]]: int(data.judgments.grades[i]) for i in range(*bounds[at : at + 2])}
        for at, query in enumerate(data.queries["query"])
    }


JUDGED = {"read a file": {TEXTS[2]: 1, TEXTS[1]: 2}, "add numbers": {TEXTS[0]: 1}}


def test_every_judged_query_is_ranked_against_the_whole_corpus(folder: Path) -> None:
    data = read_to_evaluate(str(folder), SEARCH, split="test")
    assert relevant(data) == JUDGED
    assert isinstance(data, JudgedQueries)
    assert data.documents["code"][:] == TEXTS, "documents without judgment are candidates; title and text are joined"
    assert data.warnings == (
        "1 of 5 documents repeat the text of another; documents with the same text are one candidate, with the highest "
        "grade",
        "1 of 3 judged queries have no relevant document and are left out",
    )
    assert relevant(read_to_evaluate(str(folder / "qrels" / "test.tsv"), SEARCH)) == JUDGED
    assert relevant(read_to_evaluate(str(folder), SEARCH, split="test")) == JUDGED, "from the cache"


def test_pairs_are_the_relevant_documents_of_each_query(folder: Path) -> None:
    pairs = read(str(folder), SEARCH, split="test")
    assert pairs.to_list() == [{"query": q, "code": d} for q, documents in JUDGED.items() for d in documents]
    assert read(str(folder), SEARCH, split="test", limit=1).to_list() == pairs.to_list()[:1]
    [pair] = read(str(folder), SEARCH.for_training(), split="train").to_list()
    assert pair == {"query": "add numbers", "code": TEXTS[0], "negatives": [], "teacher_scores": []}


def test_a_limit_leaves_the_candidates_alone(folder: Path) -> None:
    data = read_to_evaluate(str(folder), SEARCH, split="test")
    limited = data.shuffle(seed=0).select(range(1))
    assert len(limited) == 1
    assert len(limited.documents) == 4
    assert relevant(limited).items() <= JUDGED.items()
    assert relevant(data.select([1, 0])) == dict(reversed(JUDGED.items()))


def test_a_file_without_header_packed_and_the_hubs_layouts(folder: Path, write: Write, tmp_path: Path) -> None:
    bare = folder / "qrels" / "valid.tsv.gz"
    bare.write_bytes(gzip.compress(b"q2\t3\t1\nq1\td1\t1\nq2\td2\t2\n"))
    assert relevant(read_to_evaluate(str(folder), SEARCH, split="validation")) == JUDGED
    hub = tmp_path / "hub"
    rows = [{"query-id": "q2", "corpus-id": "3", "score": 1.0}, {"query-id": "q1", "corpus-id": "d1", "score": 1.0},
            {"query-id": "q2", "corpus-id": "d2", "score": 2.0}]  # fmt: skip
    corpus = [{"_id": str(row["_id"]), "title": row.get("title", ""), "text": row["text"]} for row in CORPUS]
    for name, content in {"corpus": corpus, "queries": QUERIES, "data/test": rows}.items():
        file = hub / (name if "/" in name else f"{name}/{name}")
        file.parent.mkdir(parents=True)
        datasets.Dataset.from_list(content).to_parquet(f"{file}-00000-of-00001.parquet")
    assert relevant(read_to_evaluate(str(hub), SEARCH, split="test")) == JUDGED
    write("beir/qrels/dev.jsonl", *({name.replace("-", "_"): value for name, value in row.items()} for row in rows))
    assert relevant(read_to_evaluate(str(folder / "qrels" / "dev.jsonl"), SEARCH)) == JUDGED


def test_tasks_that_rank_no_candidates_read_no_collection(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no file for the split 'test'; found corpus.jsonl, queries.jsonl"):
        read(str(folder), TASKS["summarize"].schema, split="test")


@pytest.mark.parametrize(
    ("name", "rows", "problem"),
    [
        ("qrels/test.tsv", [HEADER, "q1\td1\t1", "q9\td1\t1"], "qrels/test.tsv:3: bad-id: no query has the id 'q9' in "
         "queries.jsonl; add it there, or delete the row"),
        ("qrels/test.tsv", ["q1\td1\t1", "q1\td9\t1"], "qrels/test.tsv:2: bad-id: no document has the id 'd9' in "
         "corpus.jsonl; add it there, or delete the row"),
        ("qrels/test.tsv", [HEADER, "q1\td1\thigh"], "qrels/test.tsv:2: bad-grade: the score 'high' is not a whole "
         "number; expected 0 for a document that is not relevant, and 1 or more for one that is"),
        ("qrels/test.tsv", [HEADER, "q1\td1\t0.5"], "qrels/test.tsv:2: bad-grade: the score '0.5' is not a whole "
         "number; expected 0 for a document that is not relevant, and 1 or more for one that is"),
        ("qrels/test.tsv", [HEADER, "q1\td1\t1", "q1\td1\t2"], "qrels/test.tsv:3: bad-grade: the pair has the grade 2 "
         "here and 1 in {folder}/qrels/test.tsv:2; delete one of them"),
        ("qrels/test.tsv", [], "qrels/test.tsv: no-rows: has no judgments; expected rows with query-id, corpus-id, "
         "score"),
        ("qrels/test.tsv", [HEADER], "qrels/test.tsv: no-rows: has no judgments; expected rows with query-id, "
         "corpus-id, score"),
        ("qrels/test.tsv", [HEADER, "q1\td1\t0", "q2\td1\t-1"], "qrels/test.tsv: no-positives: all 2 scores are below "
         "1, so that no query has a relevant document; expected 1 or more for relevant documents"),
        ("qrels/test.tsv", ["qid\tdid\tgrade", "q1\td1\t1"], "qrels/test.tsv:2: missing-column: expected the columns "
         "query-id, corpus-id, score; found qid, did, grade; rename them"),
        ("qrels/test.tsv", [HEADER, "q1 d1 1"], "qrels/test.tsv:2: bad-csv: found 1 fields; expected 3 as in the "
         "header (query-id, corpus-id, score)"),
        ("corpus.jsonl", [*CORPUS, {"_id": "d1", "text": "other"}], "corpus.jsonl:6: bad-id: the id 'd1' has another "
         "text in {folder}/corpus.jsonl:1; give each its own id"),
        ("corpus.jsonl", [*CORPUS, {"_id": "d6", "title": " ", "text": ""}], "corpus.jsonl:6: empty-text: 'text' has "
         "no text; fill it or delete the row"),
        ("corpus.jsonl", [*CORPUS, {"id": None, "text": "x"}], "corpus.jsonl:6: missing-column: expected the columns "
         "_id, text; found id, text; rename them"),
        ("queries.jsonl", [*QUERIES, "{"], "queries.jsonl:4: bad-json: Expecting property name enclosed in double "
         "quotes at column 2; expected one JSON object"),
    ],
)  # fmt: skip
def test_bad_collections_are_refused_and_the_command_that_the_error_names_lists_the_problem(
    name: str, rows: list[Any], problem: str, folder: Path, write: Write
) -> None:
    write(f"beir/{name}", *rows)
    expected = f"{folder}/{problem.format(folder=folder)}"
    with pytest.raises(DataError) as error:
        read_to_evaluate(str(folder), SEARCH, split="test")
    file = folder / "qrels" / "test.tsv"
    assert str(error.value) == f"{expected}; `telly data validate {file} --task search` lists all problems"
    with pytest.raises(DataError):
        read(str(folder), SEARCH, split="test")
    assert expected in [str(problem) for problem in check({"train": file}, SEARCH).problems]


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("queries.jsonl", "{folder}: has no queries; expected queries.jsonl, or a folder 'queries' with data files"),
        (
            "qrels/test.tsv",
            "{folder}/qrels: no file for the split 'test'; found train.tsv; expected such as test.jsonl; "
            "or give one of the files instead of the folder",
        ),
    ],
)
def test_missing_parts(gone: str, message: str, folder: Path) -> None:
    (folder / gone).unlink()
    with pytest.raises(DataError) as error:
        read_to_evaluate(str(folder), SEARCH, split="test")
    assert str(error.value) == message.format(folder=folder)


def test_two_files_of_a_part_are_refused(folder: Path, write: Write) -> None:
    write("beir/corpus.csv", "_id,text")
    with pytest.raises(DataError, match=r"has corpus.csv, corpus.jsonl; expected one of them, so remove or rename"):
        read(str(folder), SEARCH, split="test")


def test_validation_lists_everything_with_file_and_line(folder: Path, write: Write) -> None:
    write("beir/corpus.jsonl", *CORPUS, CORPUS[0])
    write("beir/qrels/test.tsv", "q2\td2\t1", "q1\td1\t1", "q2\td2\t1", "q8\td2\t1", "q2\td8\tx")
    report = check({"train": folder, "test": folder}, SEARCH)
    files = {
        name: str(folder / name) for name in ("corpus.jsonl", "qrels/test.tsv", "qrels/train.tsv", "queries.jsonl")
    }
    corpus, test, train, queries = files.values()
    assert [(problem.file, problem.line, problem.kind) for problem in report.problems] == [
        (corpus, 6, "duplicate"),
        (test, 2, "overlap"),
        (test, 3, "duplicate"),
        (test, 4, "bad-id"),
        (test, 5, "bad-grade"),
    ]
    assert report.problems[1].message == f"the query also occurs in {train}:2; keep it in one of the two"
    assert {problem.kind for problem in report.problems} <= KINDS.keys()
    assert report.rows == {corpus: 5, queries: 3, train: 1, test: 5}
    plain = write("train.jsonl", {"query": "read  a file", "code": "def other(): pass"})
    [problem] = [one for one in check({"train": plain, "test": folder}, SEARCH).problems if one.kind == "overlap"]
    assert str(problem) == f"{test}:1: overlap: the query also occurs in {plain}:1; keep it in one of the two"


def test_warnings_before_training(folder: Path) -> None:
    test = read_to_evaluate(str(folder), SEARCH, split="test")
    found = warnings_about({"train": read(str(folder), SEARCH, split="train"), "test": test}, SEARCH)
    assert found == [
        *(f"test: {warning}" for warning in test.warnings),
        "test: 1 of 2 queries (50.0 %) also occur in train; take them out of one of the two",
    ]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["def a(): pass", "def b(): pass", "x = 1", "é\u2028= 2"]), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(-1, 3)), min_size=1, max_size=12),
)
def test_any_collection_is_read_as_it_is(tmp_path: Path, texts: list[str], triples: list[tuple[int, int, int]]) -> None:
    judged = {(q, d % len(texts)): grade for q, d, grade in triples}
    if max(judged.values()) < 1:
        return
    folder = tmp_path / "any"
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    corpus = "".join(
        json.dumps({"_id": f"d{i}", "text": text}, ensure_ascii=False) + "\n" for i, text in enumerate(texts)
    )
    queries = "".join(json.dumps({"_id": f"q{i}", "text": f"query {i}"}) + "\n" for i in range(4))
    (folder / "corpus.jsonl").write_text(corpus, encoding="utf-8")
    (folder / "queries.jsonl").write_text(queries, encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("".join(f"q{q}\td{d}\t{grade}\n" for (q, d), grade in judged.items()))
    expected: dict[str, dict[str, int]] = {}
    for (q, d), grade in judged.items():
        if grade > 0:
            grades = expected.setdefault(f"query {q}", {})
            grades[texts[d]] = max(grade, grades.get(texts[d], 0))
    data = read_to_evaluate(str(folder), SEARCH, split="test")
    assert relevant(data) == expected
    assert isinstance(data, JudgedQueries)
    assert data.documents["code"][:] == list(dict.fromkeys(texts))


ADD, READ = 'def add(a, b):\n    """Adds."""\n    return a + b', "def read(path): pass"
FUNCTIONS = {ADD: 0, READ: 1, "def fly(): pass": 2}
ROWS = [
    {"idx": "x-1", "doc": "python add two numbers", "code": "def add ...", "docstring_tokens": "Adds .", "label": 1,
     "retrieval_idx": 0},
    {"idx": "x-2", "doc": "read a file python", "code": "def read ...", "docstring_tokens": "Reads .", "label": 0,
     "retrieval_idx": 0},
    {"idx": "x-3", "doc": "read a file python", "code": "def read ...", "docstring_tokens": "Reads .", "label": 1,
     "retrieval_idx": 1},
]  # fmt: skip


@pytest.fixture
def cosqa(tmp_path: Path) -> Path:
    """CoSQA's files by hand: three functions; two queries, of which one also has a row with the label 0."""
    folder = tmp_path / "cosqa"
    folder.mkdir()
    (folder / "code_idx_map.txt").write_text(json.dumps(FUNCTIONS, indent=1))
    (folder / "cosqa-retrieval-dev-3.json").write_text(json.dumps(ROWS, indent=1))
    (folder / "LICENSE").write_text("MIT")
    return folder


def test_cosqa_has_web_queries_and_all_functions_of_its_map(cosqa: Path) -> None:
    for source in (cosqa, cosqa / "cosqa-retrieval-dev-3.json"):
        data = read_to_evaluate(str(source), SEARCH, split="validation")
        assert relevant(data) == {"python add two numbers": {ADD: 1}, "read a file python": {READ: 1}}
        assert isinstance(data, JudgedQueries)
        assert data.documents["code"][:] == list(FUNCTIONS)
    pairs = read(str(cosqa / "cosqa-retrieval-dev-3.json"), SEARCH).to_list()
    assert [pair["query"] for pair in pairs] == ["python add two numbers", "read a file python"]
    report = check({"train": cosqa / "cosqa-retrieval-dev-3.json"}, SEARCH)
    assert (report.problems, list(report.rows.values())) == ([], [3, 3])


def test_bad_files_of_cosqa(cosqa: Path) -> None:
    rows = cosqa / "cosqa-retrieval-dev-3.json"
    with pytest.raises(DataError) as error:
        read(str(cosqa), SEARCH, split="test")
    assert str(error.value) == (
        f"{cosqa}: no file for the split 'test'; found {rows.name}; expected such as cosqa-retrieval-test.json"
    )
    unknown = [*ROWS, {"doc": "other", "retrieval_idx": 9}, {"doc": 5, "retrieval_idx": 1}, {"doc": "x"}]
    rows.write_text("".join(json.dumps(row) + "\n" for row in unknown))
    rows = rows.rename(rows.with_suffix(".jsonl"))
    found = check({"train": rows}, SEARCH).problems
    assert [(problem.line, problem.kind) for problem in found] == [
        (4, "bad-id"),
        (5, "wrong-type"),
        (5, "bad-id"),
        (6, "missing-column"),
    ]
    (cosqa / "code_idx_map.txt").write_text("[1]")
    with pytest.raises(DataError, match=r"code_idx_map\.txt: not-an-object: expected one object with an index"):
        read(str(rows), SEARCH)
    (cosqa / "code_idx_map.txt").unlink()
    with pytest.raises(DataError) as error:
        read(str(rows), SEARCH)
    assert str(error.value) == (
        f"{rows}: has 'retrieval_idx', the index of a function in CoSQA's code_idx_map.txt; expected that file in the "
        "same folder: add it, or remove 'retrieval_idx' so that the rows are read as pairs"
    )
    assert len(read(str(rows), TASKS["summarize"].schema, limit=2)) == 2, "other tasks read the rows as they are"


def test_cosqas_published_files(shared_folder: Path) -> None:
    folder = shared_folder / "data" / "cosqa"
    if not folder.is_dir():
        pytest.skip("CoSQA's files are not here")
    data = read_to_evaluate(str(folder), SEARCH, split="valid")
    assert isinstance(data, JudgedQueries)
    assert (len(data), len(data.documents), data.warnings) == (500, 6267, ())
    assert set(data.judgments.counts) == {1}
    first = json.loads((folder / "cosqa-retrieval-dev-500.json").read_text())[0]
    assert (data.queries["query"][0], data.documents["code"][int(data.judgments.documents[0])]) == (
        first["doc"], first["code"],
    )  # fmt: skip
    assert not check({"train": folder / "cosqa-retrieval-dev-500.json"}, SEARCH).problems
