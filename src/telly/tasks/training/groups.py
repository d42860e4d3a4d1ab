"""Group retrieval tasks: find the other texts of the same label, by in-batch contrast of texts that share one."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from telly.data.sequences import Rows
from telly.errors import DataError
from telly.freezing.source import RowSource
from telly.metrics.interval import mean_statistic
from telly.metrics.retrieval import map_at_r
from telly.metrics.words import words
from telly.models.embedding import EmbeddingHead
from telly.tasks.options import ContrastiveOptions
from telly.tasks.spec import TaskSpec
from telly.tasks.training.base import NO_PROMPTS, Encoded, Encoder, Evaluation, Prompts, Task
from telly.tasks.training.contrastive import ContrastiveData, ContrastiveModel, negatives_column, without_answers
from telly.tasks.training.embeddings import embed_rows, encoded_with_negatives
from telly.tasks.training.labels import labels_of

BUCKETS = 4096
"""Size of the word-count vectors of the baseline."""


@dataclass(frozen=True)
class GroupedTexts(ContrastiveData):
    """Texts with labels, grouped by label."""

    def partner(self, index: int, rng: np.random.Generator) -> int:
        """Another example of the same label, drawn uniformly; the example itself if there is no other."""
        assert self.labels is not None
        order, starts, positions = self._by_label
        first, last = starts[self.labels[index]], starts[self.labels[index] + 1]
        if last - first < 2:
            return index
        # One of the group's other members: offsets from the example's own one on are shifted by one to skip it.
        offset = int(rng.integers(last - first - 1))
        own_offset = int(positions[index] - first)
        return int(order[first + offset + (offset >= own_offset)])

    def batch_tokens(self, indices: Rows) -> int:
        """Tokens of the texts, about as many of their partners, and those of the negatives."""
        return super().batch_tokens(indices) + Encoded.batch_tokens(self, indices)

    @property
    def reads(self) -> npt.NDArray[np.int64]:
        """Every text once for itself and, on average, once as a partner; and the negatives."""
        return np.concatenate([super().reads, *self.rows.values()])

    def negative_ids(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Labels of hard negatives, [negatives]; one that is no text of the data has a label of its own."""
        assert self.labels is not None
        labels = np.full(len(self.table), -1)
        labels[next(iter(self.rows.values()))] = self.labels
        return np.where(labels[rows] < 0, len(self.classes) + rows, labels[rows])

    @cached_property
    def _by_label(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Examples sorted by label, the start of each label, and the position of each example in that order."""
        assert self.labels is not None
        order = np.argsort(self.labels, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(self.labels, minlength=len(self.classes)))])
        positions = np.empty_like(order)
        positions[order] = np.arange(len(order))  # the inverse of the permutation `order`
        return order, starts, positions


class GroupModel(ContrastiveModel):
    """Encoder and loss."""

    def forward(
        self,
        left: dict[str, torch.Tensor],
        right: dict[str, torch.Tensor],
        labels: torch.Tensor,
        negatives: dict[str, torch.Tensor] | None = None,
        negative_labels: torch.Tensor | None = None,
        teacher: dict[str, torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Contrastive loss; texts of one label are not negatives of each other.

        Args:
            left: batch of tokens or cached states.
            right: batch of other texts with the same labels.
            labels: class indices, [pairs].
            negatives: batch of hard negatives of all texts; None if there are none in this batch.
            negative_labels: their labels, [negatives]; None if there are none in any batch.
            teacher: the teacher's embeddings of the batch; None without a teacher.
        """
        return self.loss(left, right, [labels], negatives, negative_labels, teacher=teacher)


class GroupTask(Task[Encoder, GroupModel, GroupedTexts, ContrastiveOptions]):
    """Texts to texts of the same label; the schema has one text column and one label column."""

    def __init__(self, spec: TaskSpec[ContrastiveOptions]) -> None:
        super().__init__(spec)
        self.text, self.label = spec.schema.one("text").name, spec.schema.one("label").name

    def encode(
        self,
        datasets: Mapping[str, Any],
        tokenizer: Any,
        max_tokens: dict[str, int],
        config: Any,
        prompts: Prompts = NO_PROMPTS,
    ) -> dict[str, GroupedTexts]:
        """Tokenise the texts; labels get their indices in each split separately, since those of test data are new."""
        encoded: dict[str, GroupedTexts] = {}
        for name, dataset in datasets.items():
            classes, labels = np.unique(list(dataset[self.label]), return_inverse=True)
            if np.bincount(labels).max() < 2:
                raise DataError(f"{name}: every label occurs in one row only; expected at least two programs per label")
            negatives = negatives_column(self.schema, name)
            table, rows, hard = encoded_with_negatives(dataset, tokenizer, max_tokens, negatives, self.text, prompts)
            hard, warnings = without_answers(hard, labels, rows[self.text], self.label)
            names = tuple(map(str, classes))
            encoded[name] = GroupedTexts(table, rows, labels, names, negatives=hard, warnings=warnings)
        return encoded

    def build(
        self, encoder: Encoder, num_classes: int, options: ContrastiveOptions, embedding: EmbeddingHead | None = None
    ) -> GroupModel:
        """The encoder with the contrastive loss."""
        return GroupModel(encoder, options, embedding)

    def contrasted(self, data: GroupedTexts) -> dict[str, npt.NDArray[np.int64]]:
        """Texts of the same label are not negatives."""
        return {self.label: labels_of(data)}

    def collate(
        self, source: RowSource, data: GroupedTexts, indices: Rows, rng_key: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        """Some texts, and for each another text of its label, which is drawn in every epoch."""
        picked = np.asarray(indices)
        partners = np.array([data.partner(int(i), np.random.default_rng([*rng_key, int(i)])) for i in picked])
        rows = data.rows[self.text]
        batch: dict[str, Any] = {"left": source.batch(rows[picked]), "right": source.batch(rows[partners])}
        batch["labels"] = torch.from_numpy(labels_of(data)[picked])
        negatives = data.negatives_of(indices)
        if negatives is not None:
            batch["negatives"] = source.batch(negatives) if len(negatives) else None
            batch["negative_labels"] = torch.from_numpy(data.negative_ids(negatives))
        if data.teacher is not None:
            batch["teacher"] = data.teacher.batch(picked, rows[picked], rows[partners], negatives)
        return batch

    @torch.no_grad()
    def evaluate(
        self, model: GroupModel, source: RowSource, data: GroupedTexts, autocast: torch.autocast, *, final: bool
    ) -> Evaluation:
        """MAP@R of all texts against all others, at last also by the Matryoshka dimensions."""
        with autocast:
            embeddings = embed_rows(model.embed, source, data.rows[self.text], model.device)
        labels = torch.from_numpy(labels_of(data)).to(embeddings.device)
        similarity = model.similarity.scores
        per_query = map_at_r(embeddings, labels, similarity).per_query.cpu().numpy()
        evaluation = Evaluation.of({"map@r": mean_statistic(per_query[~np.isnan(per_query)])})
        truncated = {
            size: {"map@r": map_at_r(embeddings[:, :size], labels, similarity).value}
            for size in (model.options.matryoshka if final else ())
        }
        return replace(evaluation, truncated=truncated)

    def baselines(self, datasets: Mapping[str, Any], split: str, train: GroupedTexts) -> dict[str, dict[str, float]]:
        """Cosine of word counts."""
        dataset = datasets[split]
        counts = torch.zeros(len(dataset), BUCKETS)
        for i, text in enumerate(dataset[self.text]):
            for word in words(text):
                counts[i, bucket_of(word)] += 1
        labels = torch.from_numpy(np.unique(list(dataset[self.label]), return_inverse=True)[1])
        return {"word counts": {"map@r": map_at_r(F.normalize(counts.log1p(), dim=-1), labels)[0]}}


def bucket_of(word: str) -> int:
    """Bucket of a word; the same in every process."""
    return zlib.crc32(word.encode()) % BUCKETS
