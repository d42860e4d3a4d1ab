"""The teacher of a run: its embeddings of the training texts, and the term of the loss that compares with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from telly.data.sequences import SequenceTable
from telly.errors import ConfigError
from telly.inference.embedding_cache import cached_embeddings
from telly.inference.tuned_model import TunedModel
from telly.processes import first_here_goes_first
from telly.runs.parts import TeacherInfo
from telly.settings.config import ResolvedConfig
from telly.tasks.training.base import AnyTask
from telly.tasks.training.contrastive import ContrastiveData, ContrastiveModel
from telly.tasks.training.teacher import GivenScores, TeacherLoss, TeacherTargets


def with_teacher(
    config: ResolvedConfig, task: AnyTask, dataset: Any, data: ContrastiveData, folder: Path, device: torch.device
) -> tuple[ContrastiveData, TeacherInfo | None]:
    """Add a teacher's embeddings to training data, or choose the scores that the data has.

    The teacher reads the texts with its own tokenizer, length limits and prompts, as `telly.load(TEACHER).embed` does.
    It runs once over the distinct texts; other runs with the same teacher read its embeddings from the disk.

    Args:
        config: the settings, with a teacher.
        task: a task with embedding roles.
        dataset: the texts of the examples.
        data: the same, encoded for the student.
        folder: folder in which the embeddings are kept.
        device: device of the teacher.

    Returns:
        the data, and the teacher; None if there is no model.

    Raises:
        ConfigError: the teacher cannot embed, or the data has no scores.
        ModelError: it cannot be loaded.
    """
    if config.teacher is None:
        if data.given_scores is None:
            raise ConfigError(
                "teacher_target: without a teacher, training needs the scores of one in the data; expected rows with "
                "negatives and teacher_scores, a score for the right answer and for each negative; found none"
            )
        return replace(data, teacher=data.given_scores), None
    roles = task.spec.embedding_roles(config.options)
    assert roles is not None  # of tasks with `ContrastiveOptions`
    teacher = TunedModel.load(config.teacher, needs="embed", device=str(device))
    documents = _texts_by_row(dataset, roles.document, data)
    if data.negatives is not None and task.schema.negatives is not None:
        lists = dataset[task.schema.negatives.name]
        negatives = [text for texts in lists for text in texts]
        for row, source in zip(data.negatives.values.tolist(), data.negatives.sources.tolist(), strict=True):
            documents.setdefault(row, negatives[source])
    with first_here_goes_first():  # the other processes of this machine then find the embeddings on the disk
        embedded = [cached_embeddings(teacher, list(documents.values()), "document", folder)]
        rows = {"document": _index_of(documents, data.table, 0)}
        if roles.query != roles.document:
            queries = _texts_by_row(dataset, roles.query, data)
            embedded.append(cached_embeddings(teacher, list(queries.values()), "query", folder))
            rows["query"] = _index_of(queries, data.table, len(documents))
    embeddings = np.concatenate(embedded)
    targets = TeacherTargets(embeddings, rows.get("query", rows["document"]), rows["document"], teacher.similarity)
    keys = "-".join(teacher.key_of(role).fingerprint for role in ("query", "document"))
    return replace(data, teacher=targets), TeacherInfo(keys, embeddings.shape[1], len(embeddings))


def add_teacher_loss(config: ResolvedConfig, model: ContrastiveModel, targets: TeacherTargets | GivenScores) -> None:
    """Add the teacher's term to a model's loss; its projection, if it needs one, is drawn at random."""
    settings = config.teacher_settings
    assert settings is not None
    size = teacher_size = model.embedding.embedding_size
    similarity = model.similarity
    if isinstance(targets, TeacherTargets):
        teacher_size, similarity = targets.embeddings.shape[1], targets.similarity
    model.teacher = TeacherLoss(
        settings,
        size,
        teacher_size,
        similarity=model.similarity,
        teacher_similarity=similarity,
        temperature=model.options.temperature,
    )


def _texts_by_row(dataset: Any, column: str, data: ContrastiveData) -> dict[int, str]:
    """The first text of every row that a column has."""
    rows, first = np.unique(data.rows[column], return_index=True)
    texts: Sequence[str] = dataset.select(first)[column]
    return dict(zip(rows.tolist(), texts, strict=True))


def _index_of(texts: dict[int, str], table: SequenceTable, start: int) -> npt.NDArray[np.int64]:
    """Position of every sequence's text, counted from `start`, [sequences]; -1 for sequences without one."""
    index = np.full(len(table), -1, dtype=np.int64)
    index[list(texts)] = np.arange(start, start + len(texts))
    return index
