"""Training towards a teacher: numbers by hand, sentence-transformers' answers, and runs that share its embeddings."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss, EmbedDistillLoss
from sentence_transformers.util import pairwise_cos_sim
from torch import nn

import telly
from freezing.equal_training import check_same_training
from telly.data.sequences import RaggedRows
from telly.errors import ConfigError, DataError
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.inference.tuned_model import TunedModel
from telly.models.similarity import Similarity
from telly.settings.config import TuneConfig
from telly.tasks import get_task
from telly.tasks.options import TeacherSettings
from telly.tasks.training.contrastive import ContrastiveData, ContrastiveModel
from telly.tasks.training.teacher import GivenScores, TeacherLoss, TeacherTargets
from telly.tuning.job import Job, prepare
from tiny_models import CONFIGS, tiny_encoded, tiny_model, tiny_task_model
from tiny_runs import Tiny, record_of, run_telly, task_data, tiny_model_folder

HIDDEN = 32


def at_angles(*degrees: float) -> torch.Tensor:
    """Unit vectors in the plane."""
    return torch.tensor([[math.cos(math.radians(angle)), math.sin(math.radians(angle))] for angle in degrees])


def loss_of(target: str, sizes: tuple[int, int] = (2, 2), **values: Any) -> TeacherLoss:
    settings = TeacherSettings("teacher", target, values.pop("weight", 1.0), values.pop("teacher_temperature", 1.0))
    return TeacherLoss(settings, *sizes, **{"temperature": 1.0} | values)


def test_distance_of_embeddings_by_hand():
    """Queries at 0 and 90, the teacher's at 60 and 90: 1/2 and 0. Documents and negatives: 0, 1 and 2."""
    teacher = {"queries": at_angles(60, 90), "documents": at_angles(0, 90), "negatives": at_angles(0)}
    student = at_angles(0, 90), at_angles(0, 0), at_angles(180)
    assert loss_of("embeddings")(*student, teacher).item() == pytest.approx((1 / 4 + 3 / 3) / 2, abs=1e-6)
    assert loss_of("embeddings", weight=3.0)(*student, teacher).item() == pytest.approx(3 * 5 / 8, abs=1e-6)
    without = teacher | {"negatives": at_angles()[:0].reshape(0, 2)}
    assert loss_of("embeddings")(*student[:2], None, without).item() == pytest.approx((1 / 4 + 1 / 2) / 2, abs=1e-6)


def test_divergence_of_scores_by_hand():
    """One query at 0; documents at 0 and 90 score 1 and 0. The teacher's scores are 0 and 0: halves."""
    e = math.e
    student = at_angles(0), at_angles(0), at_angles(90)
    teacher = {"queries": at_angles(0), "documents": at_angles(90), "negatives": at_angles(90)}
    expected = math.log(1 / 2) - (math.log(e / (e + 1)) + math.log(1 / (e + 1))) / 2
    assert loss_of("scores")(*student, teacher).item() == pytest.approx(expected, abs=1e-6)
    e = math.exp(1 / 0.5)
    sharper = math.log(1 / 2) - (math.log(e / (e + 1)) + math.log(1 / (e + 1))) / 2
    assert loss_of("scores", temperature=0.5)(*student, teacher).item() == pytest.approx(sharper, abs=1e-6)


def test_given_scores_by_hand():
    """Query 0 has a negative and scores 1 against 0, query 1 none, query 2 two negatives and no scores.

    The student sees the answer of query 0 at 0 degrees and its negative at 90: e / (e + 1); the teacher says 1/2.
    """
    scores = GivenScores.of([[3.0, 3.0], [2.0], []], [1, 0, 2], RaggedRows.of([[7], [], [8, 9]]))
    assert scores is not None
    teacher = scores.batch([0, 1, 2], [], [])
    none = -math.inf
    rows = [[3, none, none, 3, none, none], [none, 2, none, none, none, none], [none, none, 0, none, none, none]]
    assert teacher["scores"].tolist() == rows
    e = math.e
    expected = (math.log(1 / 2) - (math.log(e / (e + 1)) + math.log(1 / (e + 1))) / 2) / 3
    student = [at_angles(0, 0, 0).requires_grad_(), at_angles(0, 30, 60), at_angles(90, 10, 20)]
    loss = loss_of("scores")(*student, teacher)
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    loss.backward()
    assert student[0].grad is not None and student[0].grad.isfinite().all()
    assert student[0].grad.norm(dim=1)[1:].tolist() == [0, 0] and student[0].grad.norm(dim=1)[0] > 0.01
    assert scores.batch([2, 0], [], [])["scores"].tolist() == [
        [0, none, none, none, none], [none, 3, none, none, 3],
    ]  # fmt: skip


def test_given_scores_as_sentence_transformers():
    """Two negatives for each query: the teacher's scores are then a table, as its label."""
    student = drawn(6, 0)
    student["negatives"] = torch.randn(8, 6, generator=torch.Generator().manual_seed(5))
    table = torch.randn(4, 3, generator=torch.Generator().manual_seed(6))
    given = GivenScores.of(table.tolist(), [2] * 4, RaggedRows.of([[0, 1]] * 4))
    assert given is not None
    ours = loss_of("scores", (6, 6), temperature=0.5, teacher_temperature=0.25)
    found = ours(*student.values(), given.batch(range(4), [], []))
    reference = DistillKLDivLoss(
        SimpleNamespace(), pairwise_cos_sim, student_temperature=0.5, teacher_temperature=0.25  # type: ignore[arg-type]
    )  # fmt: skip
    columns = [student["queries"], student["documents"], student["negatives"][::2], student["negatives"][1::2]]
    assert found.item() == pytest.approx(reference.compute_loss_from_embeddings(columns, table).item() / 0.25, rel=1e-5)


def test_scores_of_negatives_that_are_answers_are_left_out_with_them():
    scores = GivenScores.of(
        [[5.0, 1.0, 2.0], [6.0, 3.0]], [2, 1], RaggedRows.of([[7, 8], [9]]).where(np.array([0, 1, 1], bool))
    )
    assert scores is not None
    assert scores.negatives.tolist() == [2, 3]
    assert GivenScores.of([[], []], [1, 1], RaggedRows.of([[7], [8]])) is None
    assert GivenScores.of([[5.0]], [0], None) is None


def drawn(size: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    counts = {"queries": 4, "documents": 4, "negatives": 3}
    return {name: torch.randn(count, size, generator=generator) for name, count in counts.items()}


@pytest.mark.parametrize("size", [6, 10])
def test_embeddings_as_sentence_transformers(size: int):
    student, teacher = drawn(6, 0), drawn(size, 1)
    ours = loss_of("embeddings", (6, size))
    reference = EmbedDistillLoss(SimpleNamespace(get_embedding_dimension=lambda: 6, device="cpu"), projection_dim=size)  # type: ignore[arg-type]
    if size == 6:
        assert isinstance(ours.projection, nn.Identity)
        reference.projection = None
    else:
        reference.projection.load_state_dict(ours.projection.state_dict())  # type: ignore[union-attr]
    columns = ("queries", "documents")
    expected = reference.compute_loss_from_embeddings(
        [student[name] for name in columns], [teacher[name] for name in columns]
    )
    none = teacher["negatives"][:0]
    found = ours(student["queries"], student["documents"], None, teacher | {"negatives": none})
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)


def test_scores_as_sentence_transformers():
    """Every document and negative of the batch is a candidate; their loss is scaled by the temperature squared."""
    student, teacher = drawn(6, 0), drawn(9, 1)
    ours = loss_of("scores", (6, 9), temperature=0.5, teacher_temperature=0.25, teacher_similarity=Similarity.DOT)
    found = ours(*student.values(), teacher)
    candidates = torch.cat([student["documents"], student["negatives"]])
    targets = teacher["queries"] @ torch.cat([teacher["documents"], teacher["negatives"]]).T
    reference = DistillKLDivLoss(
        SimpleNamespace(), pairwise_cos_sim, student_temperature=0.5, teacher_temperature=0.25  # type: ignore[arg-type]
    )  # fmt: skip
    columns = [candidate.expand(4, 6) for candidate in candidates]
    expected = reference.compute_loss_from_embeddings([student["queries"], *columns], targets)
    assert found.item() == pytest.approx(expected.item() / 0.5**2, rel=1e-5)


def taught(task: str, target: str, size: int = HIDDEN) -> ContrastiveData:
    """Random training data with hard negatives and a random teacher."""
    data = tiny_encoded(task, CONFIGS["roberta"](), negatives=True)
    count, rng = len(data.table), np.random.default_rng(0)
    embeddings = rng.standard_normal((2 * count, size)).astype(np.float32)
    documents = np.arange(count)
    queries = documents if task == "clone-retrieval" else documents + count
    return replace(data, teacher=TeacherTargets(embeddings, queries, documents))  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("task", "target", "size"),
    [("search", "embeddings", 20), ("search", "scores", 20), ("clone-retrieval", "embeddings", HIDDEN)],
)
@pytest.mark.parametrize("k", [0, 2])
def test_cached_equals_frozen_with_a_teacher(task: str, target: str, size: int, k: int, tmp_path: Path):
    data, models = taught(task, target, size), []
    for _ in range(2):
        split = SplitModel(tiny_model("roberta"), k)
        torch.manual_seed(0)
        model = tiny_task_model(task, split, data)
        assert isinstance(model, ContrastiveModel)
        model.teacher = loss_of(target, (HIDDEN, size), teacher_temperature=0.5)
        models.append(model)
    check_same_training(*models, task, tmp_path, data)
    plain, batch = models[0].eval(), get_task(task).collate(RowSource(data.table, 1), data, range(4))
    with torch.no_grad():
        assert plain(**batch)["loss"] > plain(**batch | {"teacher": None})["loss"] + 1e-2, "the teacher has an effect"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("teacher")
    model = tiny_model_folder(folder / "model")
    limits = {"search": {"query": 24, "code": 48}, "clone-retrieval": {"code": 48}}
    advice = {"recommended": {task: {"max_tokens": tokens} for task, tokens in limits.items()}}
    (model / "telly.json").write_text(json.dumps(advice))
    files = task_data("search", folder / "data")
    rows = [json.loads(line) for line in files["train"].read_text(encoding="utf-8").splitlines()]
    texts = [" ".join(row["code_tokens"]) for row in rows]
    for i, row in enumerate(rows):  # an answer of another row, and a text that is none
        row["negatives"] = [texts[(i + 7) % len(texts)], f"def other_{i}(): return {i}"]
    files["train"].write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Tiny(model, files)


def job_of(tiny: Tiny, cache: Path, **values: Any) -> Job:
    files = {name: str(tiny.data[split]) for name, split in (("data", "train"), ("valid", "valid"))}
    given = {"model": str(tiny.model), "teacher": str(tiny.model), "cache_dir": cache, "freeze": 2} | files | values
    return prepare(TuneConfig.parse(given).resolve(), device=torch.device("cpu"))


def loss_without_and_with(job: Job) -> tuple[float, float]:
    batch = job.task.collate(RowSource(job.train.table, job.pad_id), job.train, range(8))
    with torch.no_grad():
        module = job.module.eval()
        return module(**batch | {"teacher": None})["loss"].item(), module(**batch)["loss"].item()


@pytest.mark.parametrize("target", ["embeddings", "scores"])
def test_a_student_that_equals_its_teacher_has_nothing_to_learn_from_it(target: str, tiny: Tiny, tmp_path: Path):
    without, own = loss_without_and_with(job_of(tiny, tmp_path, teacher_target=target))
    assert own == pytest.approx(without, abs=2e-6)
    other = tiny_model_folder(tmp_path / "other", seed=1)
    without, of_other = loss_without_and_with(job_of(tiny, tmp_path, teacher_target=target, teacher=str(other)))
    assert of_other > without + 1e-3


def test_targets_are_the_teachers_embeddings_of_the_texts(tiny: Tiny, tmp_path: Path):
    """Of whole texts, where the student's limit cuts them; in the role that each has."""
    job = job_of(tiny, tmp_path, max_tokens={"query": 8, "code": 24})
    train, dataset = job.train, job.inputs.datasets["train"]
    assert isinstance(train, ContrastiveData) and train.teacher is not None and train.negatives is not None
    teacher, targets = telly.load(tiny.model), train.teacher
    for column, index, role in (("query", targets.queries, "query"), ("code", targets.documents, "document")):
        rows = train.rows[column]
        firsts = [i for i in range(len(rows)) if rows[i] not in rows[:i]]  # cut texts may be equal
        expected = teacher.embed([dataset[column][i] for i in firsts], role=role)
        assert np.abs(targets.embeddings[index[rows[firsts]]] - expected).max() < 1e-5
    last = dataset["negatives"][len(dataset) - 1][-1]
    row = train.negatives.values[-1]
    assert np.abs(targets.embeddings[targets.documents[row]] - teacher.embed([last])).max() < 1e-5
    assert (targets.queries == -1).sum() == len(train.table) - len(np.unique(train.rows["query"]))


def test_the_teacher_runs_once_for_all_runs(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever K, target and limits of the student; another teacher, or an interrupted call, is another matter."""
    first = job_of(tiny, tmp_path)
    embedded: list[str] = []
    real = TunedModel.embed

    def embed(self: TunedModel, texts: list[str], role: Any = "document") -> Any:
        embedded.extend(texts)
        return real(self, texts, role)

    monkeypatch.setattr(TunedModel, "embed", embed)
    again = job_of(tiny, tmp_path, freeze=3, teacher_target="scores", max_tokens={"query": 30})
    assert embedded == [] and again.inputs.teacher == first.inputs.teacher
    assert first.inputs.teacher is not None and first.inputs.teacher.texts == 24 + 24 + 24
    other = job_of(tiny, tmp_path, teacher=str(tiny_model_folder(tmp_path / "other", seed=1)))
    assert len(embedded) == len(set(embedded)) == 72
    assert other.inputs.teacher is not None
    assert other.inputs.teacher.fingerprint != first.inputs.teacher.fingerprint


def test_a_run_with_a_teacher(tiny: Tiny, tmp_path: Path):
    """Through the real command line, with a teacher of another width; its projection is thrown away."""
    wide = tiny_model_folder(tmp_path / "wide", hidden_size=48)
    output = tmp_path / "run"
    options = ("--teacher", str(wide), "--teacher-weight", "0.5", "--epochs", "2", "--save-steps", "2")
    run_telly(*tiny.command(output, "cached", *options))
    record = record_of(output)
    assert record["teacher"]["size"] == 48 and record["teacher"]["texts"] == 72
    assert record["config"]["teacher_target"] == "embeddings" and record["config"]["teacher_weight"] == 0.5
    assert record["plan"]["trainable"] == job_of(tiny, tmp_path, teacher=None).plan.trainable, "of what is saved"
    assert telly.load(output).embed(["def f(): pass"]).shape == (1, 32)
    card = (output / "model" / "README.md").read_text(encoding="utf-8")
    assert "| teacher | wide |" in card and str(tmp_path) not in card
    assert str(wide) not in (output / "model" / "telly.json").read_text(encoding="utf-8")

    (output / "record.json").write_text(json.dumps(record | {"status": "interrupted"}), encoding="utf-8")
    tiny_model_folder(wide, hidden_size=48, seed=1)
    ended = run_telly(*tiny.command(output, "cached", *options, "--resume"), code=2)
    assert f"the interrupted run had another teacher; the files of {wide} were changed since" in ended.error


def with_scores(tiny: Tiny, folder: Path, scores: Any) -> Path:
    """The training data with a column of scores, `scores(i)` in row i."""
    rows = [json.loads(line) for line in tiny.data["train"].read_text(encoding="utf-8").splitlines()]
    file = folder / "scored.jsonl"
    file.write_text("".join(json.dumps(row | {"teacher_scores": scores(i)}) + "\n" for i, row in enumerate(rows)))
    return file


def test_scores_of_the_data_are_a_teacher_too(tiny: Tiny, tmp_path: Path):
    file = with_scores(tiny, tmp_path, lambda i: [2.5, 1, -1.5] if i % 3 else [])
    job = job_of(tiny, tmp_path, teacher=None, teacher_target="scores", data=str(file), teacher_temperature=1.0)
    assert job.inputs.teacher is None and isinstance(job.train, ContrastiveData)
    assert isinstance(job.train.teacher, GivenScores)
    without, own = loss_without_and_with(job)
    assert own > without + 1e-2
    plain = job_of(tiny, tmp_path, teacher=None, data=str(file))
    assert isinstance(plain.train, ContrastiveData) and plain.train.teacher is None
    assert plain.train.fingerprint() == job.train.fingerprint()
    other = with_scores(tiny, tmp_path, lambda i: [2.5, 1, -1.0] if i % 3 else [])
    assert job_of(tiny, tmp_path, teacher=None, data=str(other)).train.fingerprint() != job.train.fingerprint()
    with pytest.raises(ConfigError, match="expected rows with negatives and teacher_scores"):
        job_of(tiny, tmp_path, teacher=None, teacher_target="scores")


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (
            [1, 2],
            "has 2 scores, and the row has one right answer and 2 negatives; expected a score for each",
        ),
        ("1", "'teacher_scores' must be a list of finite numbers, found str"),
        ([1, True, 2], "'teacher_scores' must be a list of finite numbers"),
    ],
)
def test_scores_that_do_not_fit(scores: Any, message: str, tiny: Tiny, tmp_path: Path):
    file = with_scores(tiny, tmp_path, lambda i: scores if i == 3 else [])
    with pytest.raises(DataError, match=message) as error:
        job_of(tiny, tmp_path, data=str(file))
    assert str(error.value).startswith(f"{file}:4: ")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"teacher_weight": 2}, "teacher_weight: is for a run with a teacher; give teacher as well, or leave it out"),
        ({"task": "clone-retrieval", "teacher_target": "scores"}, "teacher_target: is for a run with a teacher"),
        ({"task": "classify", "teacher": "x"}, "teacher: task classify has no such setting; leave it out"),
        (
            {"teacher": "x", "teacher_temperature": 0.1},
            "teacher_temperature: is for teacher_target = scores, found teacher_target = embeddings; leave it out",
        ),
        ({"teacher": "x", "teacher_target": "logits"}, "teacher_target: Input should be 'embeddings' or 'scores'"),
    ],
)
def test_settings_that_do_not_fit(values: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as error:
        TuneConfig.parse(dict(values), "options")
    assert message in str(error.value)


def test_defaults():
    config = TuneConfig(teacher="x").resolve()
    assert config.teacher_settings == TeacherSettings("x", "embeddings", 1.0, None)
    config = TuneConfig(teacher="x", teacher_target="scores", temperature=0.1).resolve()
    assert config.teacher_settings == TeacherSettings("x", "scores", 1.0, 0.1)
    assert config.teacher_temperature == 0.1
    assert TuneConfig().resolve().teacher_settings is None
