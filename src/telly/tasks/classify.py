"""Classification: which of N classes a function belongs to.

Mean of the last layer's states over real tokens, a new head with one hidden layer, cross-entropy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from telly.data.schema import SCHEMAS
from telly.data.sequences import Rows
from telly.errors import TrainingError
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.metrics.classification import multiclass_metrics, multiclass_statistics
from telly.tasks.base import BaseTask, Encoded, Evaluation, Options, Preset, device_of
from telly.tasks.embeddings import embed_rows, encoded_texts, pooled
from telly.tasks.labels import ClassHead, class_numbers, most_frequent


class ClassifyTask(BaseTask):
    """Function to label. The paper has no such task; the preset is its clone detection's."""

    name = "classify"
    schema = SCHEMAS["classify"]
    preset = Preset(max_tokens={"code": 512}, batch_size=16, learning_rate=5e-5, epochs=10, metric="macro_f1")
    metrics: tuple[str, ...] = ("accuracy", "macro_f1", "precision", "recall", "f1", "roc_auc")

    def encode(
        self, datasets: Mapping[str, Any], tokenizer: Any, max_tokens: dict[str, int], config: Any
    ) -> dict[str, Encoded]:
        """Tokenise the functions and number the classes."""
        classes, numbers = class_numbers(datasets, "label")
        return {
            name: Encoded(*encoded_texts(dataset, tokenizer, max_tokens), labels=numbers[name], classes=classes)
            for name, dataset in datasets.items()
        }

    def metrics_of(self, train: Encoded) -> tuple[str, ...]:
        """Precision, recall, F1 and ROC-AUC are about the second of two classes."""
        return self.metrics if len(train.classes) == 2 else ("accuracy", "macro_f1")

    def head(self, hidden_size: int, classes: int, options: Options) -> nn.Module:
        """hidden -> hidden -> classes."""
        return ClassHead(hidden_size, hidden_size, classes)

    def build(self, split: SplitModel, train: Encoded, options: Options) -> ClassifyModel:
        """The encoder with a new head."""
        return ClassifyModel(split, self.head(split.hidden_size, len(train.classes), options))

    def collate(self, source: RowSource, data: Encoded, indices: Rows, rng_key: tuple[int, ...] = ()) -> dict[str, Any]:
        """Functions and their class numbers."""
        assert data.labels is not None
        picked = np.asarray(indices)
        return {"code": source.batch(data.rows["code"][picked]), "labels": torch.from_numpy(data.labels[picked])}

    @torch.no_grad()
    def evaluate(
        self, model: nn.Module, source: RowSource, data: Encoded, autocast: torch.autocast, *, final: bool
    ) -> Evaluation:
        """Accuracy and macro F1; for two classes also precision, recall, F1 and ROC-AUC of the second."""
        if not isinstance(model, ClassifyModel) or data.labels is None:
            raise TypeError(f"expected a ClassifyModel and labels, found {type(model).__name__}")
        probabilities = self.probabilities(model, source, data.rows["code"], autocast)
        if not np.isfinite(probabilities).all():
            raise TrainingError(
                "the probabilities of classes are not finite numbers after this epoch: training has diverged. Lower "
                "--lr, or use --precision fp32, and run again with --overwrite"
            )
        predicted = probabilities.argmax(axis=-1)
        positive = probabilities[:, 1] if len(data.classes) == 2 else None
        metrics = multiclass_metrics(data.labels, predicted, len(data.classes), positive)
        names = data.classes
        rows = [
            {"example": i, "prediction": names[p], "gold": names[g], "score": round(float(probabilities[i, p]), 6)}
            for i, (p, g) in enumerate(zip(predicted, data.labels, strict=True))
        ]
        return Evaluation.of(multiclass_statistics(data.labels, predicted, len(names)), rows, further=metrics)

    @torch.no_grad()
    def probabilities(
        self, model: ClassifyModel, source: RowSource, rows: Rows, autocast: torch.autocast
    ) -> npt.NDArray[np.float32]:
        """Probabilities of the classes, [rows, classes]."""
        with autocast:
            logits = embed_rows(model.logits, source, rows, device_of(model)).cpu()
        found: npt.NDArray[np.float32] = logits.softmax(dim=-1).numpy()
        return found

    def baselines(self, datasets: Mapping[str, Any], split: str, train: Encoded) -> dict[str, dict[str, float]]:
        """The most frequent class of the training data."""
        assert train.labels is not None
        number = {name: i for i, name in enumerate(train.classes)}
        gold = np.array([number[label] for label in datasets[split]["label"]])
        guess = np.full(len(gold), most_frequent(train.labels))
        return {"most frequent class": multiclass_metrics(gold, guess, len(train.classes))}


class ClassifyModel(nn.Module):
    """Encoder, head and loss."""

    def __init__(self, split: SplitModel, head: nn.Module) -> None:
        super().__init__()
        self.split = split
        self.head = head

    def logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Class logits, [batch, classes]."""
        logits: torch.Tensor = self.head(pooled(self.split, batch))
        return logits

    def forward(self, code: dict[str, torch.Tensor], labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Cross-entropy of a batch."""
        return {"loss": F.cross_entropy(self.logits(code).float(), labels)}
