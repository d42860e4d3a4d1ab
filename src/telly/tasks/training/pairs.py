"""Pair classification: do two texts belong together? A text that occurs more than once in a batch is encoded once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from telly.data.sequences import Rows
from telly.freezing.source import RowSource
from telly.metrics.classification import best_threshold, binary_metrics, binary_statistics
from telly.models.embedding import EmbeddingHead
from telly.tasks.options import PAIR, PairOptions
from telly.tasks.spec import TaskSpec
from telly.tasks.training.base import NO_PROMPTS, Encoded, Encoder, Evaluation, Prompts, Task, TaskModel, batches_of
from telly.tasks.training.embeddings import embed_rows, encoded_texts, in_chunks
from telly.tasks.training.labels import ClassHead, class_indices, labels_of, most_frequent

MARGIN = 0.3
"""Cosine that pairs of different behaviour are pushed below."""
MIN_PAIRS_PER_TEXT = 8
"""Average number of pairs per text from which pairs that share a text are kept together in batches."""
THRESHOLD = 0.5
"""Threshold of the pair classifier's probability, and of the cosine until one is fitted."""
CHUNK_PAIRS = 4096
"""Pairs whose similarity is computed at a time."""


@dataclass(frozen=True)
class TextPairs(Encoded):
    """Pairs of texts. If texts occur in many pairs, batches are made of pairs that share texts."""

    def batch_tokens(self, indices: Rows) -> int:
        """Tokens of the distinct texts of the batch, each padded to the longest."""
        distinct = np.unique([rows[indices] for rows in self.rows.values()])
        return len(distinct) * int(self.table.lengths[distinct].max())

    @property
    def pairs(self) -> npt.NDArray[np.int64] | None:
        """The two texts of every pair, [pairs, 2]; None if texts occur in few pairs."""
        if self.uses_per_epoch < MIN_PAIRS_PER_TEXT:
            return None
        return np.stack(list(self.rows.values()), axis=1)


class PairModel(TaskModel):
    """Encoder, head and loss of pairs; a pair belongs together if its similarity is above the threshold."""

    threshold: torch.Tensor

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Module | None = None,
        embedding: EmbeddingHead | None = None,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(encoder, head, THRESHOLD, embedding)
        self.chunk_size = chunk_size

    @abstractmethod
    def represent(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Embeddings of texts that are compared, [texts, hidden]."""

    @abstractmethod
    def pair_similarity(self, embeddings: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Similarity of pairs, [pairs]; `left` and `right` are rows of `embeddings`, [pairs] each."""

    @abstractmethod
    def loss(
        self, embeddings: torch.Tensor, left: torch.Tensor, right: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """Mean loss of pairs."""

    def fit_threshold(self, similarities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> None:
        """Choose the threshold on labelled pairs, unless it is fixed."""

    def forward(
        self, functions: dict[str, torch.Tensor], left: torch.Tensor, right: torch.Tensor, labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Mean loss of a batch of pairs.

        Args:
            functions: the distinct texts, as a batch of tokens or cached states.
            left: index in `functions` of the left text, [pairs].
            right: index in `functions` of the right text, [pairs].
            labels: 1 if both belong together, else 0, [pairs].
        """
        embeddings = in_chunks(self.represent, functions, self.chunk_size)
        return {"loss": self.loss(embeddings, left, right, labels)}


class PairClassifier(PairModel):
    """Classifier over both embeddings. The similarity is its probability.

    Args:
        encoder: the encoder.
        head: logits of two classes from two embeddings, [pairs, 2 x embedding size] to [pairs, 2].
        embedding: pooling and the modules after it. [default: mean pooling]
        chunk_size: texts per pass in training; None takes those of a batch at once.
    """

    head: nn.Module

    def __init__(
        self, encoder: Encoder, head: nn.Module, embedding: EmbeddingHead | None = None, chunk_size: int | None = None
    ) -> None:
        super().__init__(encoder, head, embedding, chunk_size)

    def represent(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Embeddings, not scaled to unit length."""
        return self.features(batch)

    def logits(self, embeddings: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Class logits of pairs, [pairs, 2]."""
        logits: torch.Tensor = self.head(torch.cat([embeddings[left], embeddings[right]], dim=-1))
        return logits

    def pair_similarity(self, embeddings: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Probability that both belong together."""
        return self.logits(embeddings, left, right).softmax(dim=-1)[:, 1]

    def loss(
        self, embeddings: torch.Tensor, left: torch.Tensor, right: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """Mean cross-entropy."""
        return F.cross_entropy(self.logits(embeddings, left, right).float(), labels)


class CosineModel(PairModel):
    """Cosine of both embeddings, with a threshold that is fitted on validation data."""

    def represent(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Embeddings of unit length."""
        return F.normalize(self.embed(batch), dim=-1)

    def pair_similarity(self, embeddings: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Cosine of both embeddings."""
        return (embeddings[left] * embeddings[right]).sum(dim=-1)

    def loss(
        self, embeddings: torch.Tensor, left: torch.Tensor, right: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """Contrastive loss of Hadsell et al. (2006) on the cosine."""
        cosine = self.pair_similarity(embeddings, left, right).float()
        excess = (cosine - MARGIN).clamp(min=0)  # of pairs that do not belong together
        return torch.where(labels == 1, (1 - cosine) ** 2, excess**2).mean()

    def fit_threshold(self, similarities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> None:
        """Choose the threshold with the best F1."""
        self.threshold.fill_(best_threshold(similarities, labels))


class PairTask(Task[Encoder, PairModel, TextPairs, PairOptions]):
    """Pairs of texts to same or not. The schema's `unordered` columns are the texts, its label column is 0 or 1."""

    def __init__(self, spec: TaskSpec[PairOptions]) -> None:
        super().__init__(spec)
        if spec.schema.unordered is None:
            raise ValueError(f"{spec.name}: the schema of a pair task must name its two text columns as `unordered`")
        self.left, self.right = spec.schema.unordered
        self.label = spec.schema.one("label")

    def encode(
        self,
        datasets: Mapping[str, Any],
        tokenizer: Any,
        max_tokens: dict[str, int],
        config: Any,
        prompts: Prompts = NO_PROMPTS,
    ) -> dict[str, TextPairs]:
        """Tokenise every distinct text once, however many pairs it is in."""
        classes, indices = class_indices(datasets, self.label)
        return {
            name: TextPairs(
                *encoded_texts(dataset, tokenizer, max_tokens, prompts), labels=indices[name], classes=classes
            )
            for name, dataset in datasets.items()
        }

    def head(self, embedding_size: int, num_classes: int, options: PairOptions) -> ClassHead | None:
        """The head of the pair classifier; the cosine has no parameters."""
        return ClassHead(2 * embedding_size, embedding_size, 2) if options.head == PAIR else None

    def build(
        self, encoder: Encoder, num_classes: int, options: PairOptions, embedding: EmbeddingHead | None = None
    ) -> PairModel:
        """The encoder with the head of the options."""
        size = encoder.hidden_size if embedding is None else embedding.embedding_size
        head = self.head(size, num_classes, options)
        if head is None:
            return CosineModel(encoder, embedding=embedding, chunk_size=options.chunk_size)
        return PairClassifier(encoder, head, embedding, options.chunk_size)

    def collate(
        self, source: RowSource, data: TextPairs, indices: Rows, rng_key: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        """The distinct texts of some pairs, the indices of those on the left and right, and the labels."""
        picked = np.asarray(indices)
        distinct, left, right = self._distinct(data, picked)
        labels = torch.from_numpy(labels_of(data)[picked])
        return {"functions": source.batch(distinct), "left": left, "right": right, "labels": labels}

    def _distinct(
        self, data: TextPairs, indices: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], torch.Tensor, torch.Tensor]:
        """Distinct rows of some pairs, and the indices among them of each left and right text, [pairs]."""
        pairs = np.stack([data.rows[self.left][indices], data.rows[self.right][indices]])
        distinct, inverse = np.unique(pairs, return_inverse=True)
        left, right = torch.from_numpy(inverse.reshape(pairs.shape))
        return distinct, left, right

    @torch.no_grad()
    def fit_threshold(self, model: PairModel, source: RowSource, data: TextPairs, autocast: torch.autocast) -> None:
        """Choose the threshold with the best F1, if the model's is not fixed."""
        model.fit_threshold(self._similarities(model, source, data, autocast), labels_of(data))

    @torch.no_grad()
    def evaluate(
        self, model: PairModel, source: RowSource, data: TextPairs, autocast: torch.autocast, *, final: bool
    ) -> Evaluation:
        """Precision, recall, F1, accuracy and confusion counts. Unless `final`, the split fits its own threshold."""
        labels = labels_of(data)
        similarities = self._similarities(model, source, data, autocast)
        if not final:
            model.fit_threshold(similarities, labels)
        predicted = (similarities > model.threshold.item()).astype(np.int64)
        metrics = binary_metrics(labels, predicted)
        if not final:
            return Evaluation(metrics)
        rows = [
            {"example": i, "prediction": str(p), "gold": str(g), "score": round(float(s), 6)}
            for i, (p, g, s) in enumerate(zip(predicted, labels, similarities, strict=True))
        ]
        return Evaluation.of(binary_statistics(labels, predicted), rows, extra_metrics=metrics)

    def _similarities(
        self, model: PairModel, source: RowSource, data: TextPairs, autocast: torch.autocast
    ) -> npt.NDArray[np.float32]:
        """Similarity of every pair, [pairs]; every distinct text is encoded once."""
        distinct, left, right = self._distinct(data, np.arange(len(data)))
        device = model.device
        left, right = left.to(device), right.to(device)
        with autocast:
            embeddings = embed_rows(model.represent, source, distinct, device)
            chunks = [
                model.pair_similarity(embeddings, left[i : i + CHUNK_PAIRS], right[i : i + CHUNK_PAIRS])
                for i in range(0, len(left), CHUNK_PAIRS)
            ]
        similarities: npt.NDArray[np.float32] = torch.cat(chunks).float().cpu().numpy()
        return similarities

    def baselines(self, datasets: Mapping[str, Any], split: str, train: TextPairs) -> dict[str, dict[str, float]]:
        """The most frequent label, and the overlap of the pair's tokens with a threshold fitted on validation data."""
        gold = self._gold(datasets[split])
        validation = datasets.get("valid", datasets["train"])
        threshold = best_threshold(self._overlaps(validation), self._gold(validation))
        return {
            "most frequent class": binary_metrics(gold, np.full(len(gold), most_frequent(labels_of(train)))),
            "token overlap": binary_metrics(gold, (self._overlaps(datasets[split]) > threshold).astype(np.int64)),
        }

    def _gold(self, dataset: Any) -> npt.NDArray[np.int64]:
        return np.array([int(label) for label in dataset[self.label.name]])

    def _overlaps(self, dataset: Any) -> npt.NDArray[np.float64]:
        """Jaccard similarity of each pair's sets of words, [pairs]."""
        overlaps = []
        words: dict[str, frozenset[str]] = {}  # a text is in many pairs
        for texts in batches_of(dataset):
            for left, right in zip(texts[self.left], texts[self.right], strict=True):
                left_words, right_words = (words.setdefault(text, frozenset(text.split())) for text in (left, right))
                overlaps.append(len(left_words & right_words) / max(1, len(left_words | right_words)))
        return np.array(overlaps)
