"""Classification of single texts: embeddings, a new head, cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from telly.data.sequences import Rows
from telly.errors import TrainingError
from telly.freezing.source import RowSource
from telly.metrics.classification import multiclass_metrics, multiclass_statistics
from telly.models.embedding import EmbeddingHead
from telly.tasks.options import EmbeddingOptions
from telly.tasks.spec import TaskSpec
from telly.tasks.training.base import NO_PROMPTS, Encoded, Encoder, Evaluation, Prompts, Task, TaskModel
from telly.tasks.training.embeddings import distinct_sequences, embed_rows, encoded_texts
from telly.tasks.training.labels import ClassHead, class_indices, labels_of, most_frequent

BINARY_METRICS = ("precision", "recall", "f1", "roc_auc")
"""Metrics that take class 1 of two as the positive class, so that data with more classes do not have them."""


class Classifier(TaskModel):
    """Encoder, classification head and cross-entropy loss.

    Args:
        encoder: the encoder.
        head: class logits from an embedding, [texts, embedding size] to [texts, classes].
        embedding: pooling and the modules after it. [default: mean pooling]
    """

    head: nn.Module

    def __init__(self, encoder: Encoder, head: nn.Module, embedding: EmbeddingHead | None = None) -> None:
        super().__init__(encoder, head, embedding=embedding)

    def logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Class logits, [batch, classes]."""
        logits: torch.Tensor = self.head(self.features(batch))
        return logits

    def forward(self, code: dict[str, torch.Tensor], labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Mean cross-entropy of a batch of tokens or cached states, a scalar; `labels` are class indices, [batch]."""
        return {"loss": F.cross_entropy(self.logits(code).float(), labels)}


class ClassificationTask(Task[Encoder, Classifier, Encoded, EmbeddingOptions]):
    """Texts to classes; the schema has one text column and one label column."""

    def __init__(self, spec: TaskSpec[EmbeddingOptions]) -> None:
        super().__init__(spec)
        self.text, self.label = spec.schema.one("text").name, spec.schema.one("label")

    def encode(
        self,
        datasets: Mapping[str, Any],
        tokenizer: Any,
        max_tokens: dict[str, int],
        config: Any,
        prompts: Prompts = NO_PROMPTS,
    ) -> dict[str, Encoded]:
        """Tokenise the texts and index the classes."""
        classes, indices = class_indices(datasets, self.label)
        return {
            name: Encoded(
                *encoded_texts(dataset, tokenizer, max_tokens, prompts), labels=indices[name], classes=classes
            )
            for name, dataset in datasets.items()
        }

    def metrics_of(self, train: Encoded) -> tuple[str, ...]:
        """The task's metrics; those of `BINARY_METRICS` only if there are two classes."""
        return tuple(name for name in self.metrics if len(train.classes) == 2 or name not in BINARY_METRICS)

    def head(self, embedding_size: int, num_classes: int, options: EmbeddingOptions) -> ClassHead:
        """A classifier with one hidden layer."""
        return ClassHead(embedding_size, embedding_size, num_classes)

    def build(
        self, encoder: Encoder, num_classes: int, options: EmbeddingOptions, embedding: EmbeddingHead | None = None
    ) -> Classifier:
        """The encoder with a new head."""
        size = encoder.hidden_size if embedding is None else embedding.embedding_size
        return Classifier(encoder, self.head(size, num_classes, options), embedding)

    def collate(self, source: RowSource, data: Encoded, indices: Rows, rng_key: tuple[int, ...] = ()) -> dict[str, Any]:
        """The arguments of `Classifier.forward`: texts, and class indices, [batch]. Nothing is drawn at random."""
        picked = np.asarray(indices)
        return {
            "code": source.batch(data.rows[self.text][picked]),
            "labels": torch.from_numpy(labels_of(data)[picked]),
        }

    @torch.no_grad()
    def evaluate(
        self, model: Classifier, source: RowSource, data: Encoded, autocast: torch.autocast, *, final: bool
    ) -> Evaluation:
        """Accuracy and macro F1; for two classes also precision, recall, F1 and ROC-AUC of class 1."""
        labels, classes = labels_of(data), data.classes  # [examples], names by class index
        probabilities = self.probabilities(model, source, data.rows[self.text], autocast)  # [examples, classes]
        if not np.isfinite(probabilities).all():
            raise TrainingError(
                "the probabilities of classes are not finite numbers after this epoch: training has diverged. Lower "
                "--lr, or use --precision fp32, and run again with --overwrite"
            )
        predicted = probabilities.argmax(axis=-1)
        positive = probabilities[:, 1] if len(classes) == 2 else None  # [examples]
        rows = [
            {"example": i, "prediction": classes[p], "gold": classes[g], "score": round(float(probabilities[i, p]), 6)}
            for i, (p, g) in enumerate(zip(predicted, labels, strict=True))
        ]
        return Evaluation.of(
            multiclass_statistics(labels, predicted, len(classes)),
            rows,
            extra_metrics=multiclass_metrics(labels, predicted, len(classes), positive),
        )

    @torch.no_grad()
    def probabilities(
        self, model: Classifier, source: RowSource, rows: Rows, autocast: torch.autocast
    ) -> npt.NDArray[np.float32]:
        """Class probabilities of some rows, [rows, classes]."""
        with autocast:
            # The logits instead of embeddings: `embed_rows` only needs one vector per text.
            logits = embed_rows(model.logits, source, rows, model.device).cpu()
        probabilities: npt.NDArray[np.float32] = logits.softmax(dim=-1).numpy()
        return probabilities

    def classify_texts(
        self,
        model: Classifier,
        texts: Sequence[str],
        tokenizer: Any,
        max_tokens: dict[str, int],
        autocast: torch.autocast,
        prompts: Prompts = NO_PROMPTS,
    ) -> npt.NDArray[np.float32]:
        """Class probabilities of texts, [texts, classes]; equal texts are encoded once."""
        table, rows = distinct_sequences(texts, tokenizer, max_tokens[self.text], prompts, self.text)
        return self.probabilities(model, RowSource(table, tokenizer.pad_token_id), rows, autocast)

    def baselines(self, datasets: Mapping[str, Any], split: str, train: Encoded) -> dict[str, dict[str, float]]:
        """Metrics of always predicting the most frequent class of the training data."""
        index = {name: i for i, name in enumerate(train.classes)}
        gold = np.array([index[label] for label in datasets[split][self.label.name]])
        predicted = np.full(len(gold), most_frequent(labels_of(train)))
        return {"most frequent class": multiclass_metrics(gold, predicted, len(train.classes))}
