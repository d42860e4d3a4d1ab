"""Clone detection: do two functions do the same?

Two heads. `pair` is the paper's: a classifier over both functions' vectors (2H -> H -> 2). `cosine` trains the vectors
themselves (contrastive loss of Hadsell et al. 2006 on the cosine) and decides by a threshold that is chosen on
validation data; its vectors can be indexed. A function that occurs more than once in a batch is encoded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from telly.data.schema import SCHEMAS
from telly.data.sequences import Rows
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.metrics.classification import best_threshold, binary_metrics, binary_statistics
from telly.tasks.base import BaseTask, Encoded, Evaluation, Options, Preset, batches_of, device_of
from telly.tasks.embeddings import embed_rows, encoded_texts, pooled
from telly.tasks.labels import ClassHead, class_numbers, most_frequent

PAIR, COSINE = "pair", "cosine"
HEADS = (PAIR, COSINE)
SHARING_HEADS = (COSINE,)
"""Heads that get batches of pairs that share functions unless told otherwise. As measured (docs/tasks/clone.md), the
cosine learns as much from them as from random ones, the classifier less."""
MARGIN = 0.3
"""Cosine that pairs of different behaviour are pushed below."""
MANY_PAIRS = 8
"""From so many pairs a function on, pairs that share one are kept together in batches."""


@dataclass(frozen=True)
class ClonePairs(Encoded):
    """Pairs of functions. Where functions occur in many pairs, batches are made of pairs that share functions."""

    def batch_tokens(self, indices: Rows) -> int:
        """Every distinct function of the batch, padded to the longest."""
        distinct = np.unique([rows[indices] for rows in self.rows.values()])
        return len(distinct) * int(self.table.lengths[distinct].max())

    @property
    def pairs(self) -> npt.NDArray[np.int64] | None:
        """The two functions of every pair; None where functions occur in few."""
        if self.uses_per_epoch < MANY_PAIRS:
            return None
        return np.stack([self.rows["left"], self.rows["right"]], axis=1)


class CloneTask(BaseTask):
    """Two functions to same or not."""

    name = "clone"
    schema = SCHEMAS["clone"]
    preset = Preset(
        max_tokens={"left": 512, "right": 512},
        batch_size=16,
        learning_rate=5e-5,
        epochs=10,
        metric="f1",
        head=PAIR,
        shared_batches=True,
    )
    metrics: tuple[str, ...] = ("f1", "precision", "recall", "accuracy")

    def encode(
        self, datasets: Mapping[str, Any], tokenizer: Any, max_tokens: dict[str, int], config: Any
    ) -> dict[str, Encoded]:
        """Tokenise every distinct function once, however many pairs it is in."""
        classes, numbers = class_numbers(datasets, "label")
        return {
            name: ClonePairs(*encoded_texts(dataset, tokenizer, max_tokens), labels=numbers[name], classes=classes)
            for name, dataset in datasets.items()
        }

    def head(self, hidden_size: int, classes: int, options: Options) -> nn.Module | None:
        """The pair classifier; the cosine has no parameters."""
        return ClassHead(2 * hidden_size, hidden_size, 2) if options.head == PAIR else None

    def build(self, split: SplitModel, train: Encoded, options: Options) -> CloneModel:
        """The encoder with the head that was asked for."""
        return CloneModel(split, self.head(split.hidden_size, 2, options))

    def collate(self, source: RowSource, data: Encoded, indices: Rows, rng_key: tuple[int, ...] = ()) -> dict[str, Any]:
        """The distinct functions of some pairs, which of them stand left and right, and the labels."""
        assert data.labels is not None
        picked = np.asarray(indices)
        pairs = np.stack([data.rows["left"][picked], data.rows["right"][picked]])
        distinct, where = np.unique(pairs, return_inverse=True)
        left, right = torch.from_numpy(where.reshape(pairs.shape))
        labels = torch.from_numpy(data.labels[picked])
        return {"functions": source.batch(distinct), "left": left, "right": right, "labels": labels}

    @torch.no_grad()
    def fit_threshold(self, model: nn.Module, source: RowSource, data: Encoded, autocast: torch.autocast) -> None:
        """Choose the threshold with the best F1."""
        if isinstance(model, CloneModel) and model.head is None:
            assert data.labels is not None
            scores = self._scores(model, source, data, autocast)
            model.threshold.fill_(best_threshold(scores, data.labels))

    @torch.no_grad()
    def evaluate(
        self, model: nn.Module, source: RowSource, data: Encoded, autocast: torch.autocast, *, final: bool
    ) -> Evaluation:
        """Precision, recall, F1, accuracy and the confusion counts. Data to choose on chooses its own threshold."""
        if not isinstance(model, CloneModel) or data.labels is None:
            raise TypeError(f"expected a CloneModel and labels, found {type(model).__name__}")
        scores = self._scores(model, source, data, autocast)
        if not final and model.head is None:
            model.threshold.fill_(best_threshold(scores, data.labels))
        predicted = (scores > model.threshold.item()).astype(np.int64)
        if not final:
            return Evaluation(binary_metrics(data.labels, predicted))
        pairs = zip(predicted, data.labels, scores, strict=True)
        rows = [{"example": i, "prediction": str(p), "gold": str(g), "score": round(float(s), 6)}
                for i, (p, g, s) in enumerate(pairs)]  # fmt: skip
        return Evaluation.of(
            binary_statistics(data.labels, predicted), rows, further=binary_metrics(data.labels, predicted)
        )

    def _scores(
        self, model: CloneModel, source: RowSource, data: Encoded, autocast: torch.autocast
    ) -> npt.NDArray[np.float32]:
        """How alike each pair is, [pairs]; every distinct function is encoded once."""
        pairs = np.stack([data.rows["left"], data.rows["right"]])
        distinct, where = np.unique(pairs, return_inverse=True)
        device = device_of(model)
        left, right = torch.from_numpy(where.reshape(pairs.shape)).to(device)
        with autocast:
            vectors = embed_rows(model.vectors, source, distinct, device)
            found = [
                model.similarity(vectors, left[i : i + 4096], right[i : i + 4096]) for i in range(0, len(left), 4096)
            ]
        scores: npt.NDArray[np.float32] = torch.cat(found).float().cpu().numpy()
        return scores

    def baselines(self, datasets: Mapping[str, Any], split: str, train: Encoded) -> dict[str, dict[str, float]]:
        """The most frequent label, and the overlap of the pair's tokens with a threshold chosen on validation data."""
        assert train.labels is not None
        gold = np.array([int(label) for label in datasets[split]["label"]])
        chosen = datasets.get("valid", datasets["train"])
        labels = np.array([int(label) for label in chosen["label"]])
        threshold = best_threshold(_overlaps(chosen), labels)
        return {
            "most frequent class": binary_metrics(gold, np.full(len(gold), most_frequent(train.labels))),
            "token overlap": binary_metrics(gold, (_overlaps(datasets[split]) > threshold).astype(np.int64)),
        }


class CloneModel(nn.Module):
    """Encoder, head and loss.

    Args:
        split: the encoder.
        head: the pair classifier; None compares by cosine.
    """

    threshold: torch.Tensor

    def __init__(self, split: SplitModel, head: nn.Module | None) -> None:
        super().__init__()
        self.split = split
        self.head = head
        self.register_buffer("threshold", torch.tensor(0.5))

    def vectors(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Vectors of functions, [functions, hidden]; of length one where they are compared by cosine."""
        found = pooled(self.split, batch)
        return found if self.head is not None else F.normalize(found, dim=-1)

    def similarity(self, vectors: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Probability of a clone, or the cosine, [pairs]; `left` and `right` are numbers of vectors, [pairs]."""
        if self.head is None:
            return (vectors[left] * vectors[right]).sum(dim=-1)
        scores: torch.Tensor = self.head(torch.cat([vectors[left], vectors[right]], dim=-1)).softmax(dim=-1)
        return scores[:, 1]

    def forward(
        self, functions: dict[str, torch.Tensor], left: torch.Tensor, right: torch.Tensor, labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Cross-entropy of the pair classifier, or the contrastive loss of the cosines."""
        vectors = self.vectors(functions)
        if self.head is not None:
            scores = self.head(torch.cat([vectors[left], vectors[right]], dim=-1))
            return {"loss": F.cross_entropy(scores.float(), labels)}
        cosine = self.similarity(vectors, left, right).float()
        apart = (cosine - MARGIN).clamp(min=0)
        return {"loss": torch.where(labels == 1, (1 - cosine) ** 2, apart**2).mean()}


def _overlaps(dataset: Any) -> npt.NDArray[np.float64]:
    """Share of common words of each pair (Jaccard), [pairs]."""
    found = []
    words: dict[str, frozenset[str]] = {}  # a function is in many pairs
    for texts in batches_of(dataset):
        for left, right in zip(texts["left"], texts["right"], strict=True):
            ours, theirs = (words.setdefault(text, frozenset(text.split())) for text in (left, right))
            found.append(len(ours & theirs) / max(1, len(ours | theirs)))
    return np.array(found)
