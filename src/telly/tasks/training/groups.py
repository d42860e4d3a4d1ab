"""Group retrieval tasks: find the other texts of the same label, by in-batch contrast of texts that share one."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
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
from telly.tasks.training.contrastive import ContrastiveModel, in_batch_loss
from telly.tasks.training.embeddings import embed_rows, encoded_texts
from telly.tasks.training.labels import labels_of

BUCKETS = 4096
"""Size of the word-count vectors of the baseline."""


class GroupedTexts(Encoded):
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
        """Tokens of the texts, and about as many of their partners."""
        return 2 * super().batch_tokens(indices)

    @property
    def uses_per_epoch(self) -> float:
        """Every text is read once for itself and, on average, once as a partner."""
        return 2 * super().uses_per_epoch

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
        self, left: dict[str, torch.Tensor], right: dict[str, torch.Tensor], labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """In-batch contrastive loss; texts of one label are not negatives of each other.

        Args:
            left: batch of tokens or cached states.
            right: batch of other texts with the same labels.
            labels: class indices, [pairs].
        """
        return {"loss": in_batch_loss(self.embed(left), self.embed(right), [labels], self.temperature)}


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
            table, rows = encoded_texts(dataset, tokenizer, max_tokens, prompts)
            encoded[name] = GroupedTexts(table, rows, labels, tuple(map(str, classes)))
        return encoded

    def build(
        self, encoder: Encoder, num_classes: int, options: ContrastiveOptions, embedding: EmbeddingHead | None = None
    ) -> GroupModel:
        """The encoder with the contrastive loss."""
        return GroupModel(encoder, options.temperature, embedding)

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
        return batch | {"labels": torch.from_numpy(labels_of(data)[picked])}

    @torch.no_grad()
    def evaluate(
        self, model: GroupModel, source: RowSource, data: GroupedTexts, autocast: torch.autocast, *, final: bool
    ) -> Evaluation:
        """MAP@R of all texts against all others."""
        with autocast:
            embeddings = embed_rows(model.embed, source, data.rows[self.text], model.device)
        result = map_at_r(embeddings, torch.from_numpy(labels_of(data)).to(embeddings.device))
        per_query = result.per_query.cpu().numpy()
        return Evaluation.of({"map@r": mean_statistic(per_query[~np.isnan(per_query)])})

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
