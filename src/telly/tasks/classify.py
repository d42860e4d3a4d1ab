"""Classification: tell which of N classes a function belongs to.

Embeddings by the model folder's pooling, a new head with one hidden layer, cross-entropy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from telly.data.sample import Sample
from telly.data.schema import CODE_STRINGS_FIRST, Column, Schema
from telly.metrics.answers import AnswerLayout
from telly.tasks.options import EmbeddingOptions
from telly.tasks.spec import Preset, TaskSpec

if TYPE_CHECKING:
    from telly.metrics.interval import Statistic
    from telly.tasks.training.base import AnyTask


class Classify(TaskSpec[EmbeddingOptions]):
    """Classification of functions. The paper has no such task; the preset is that of its clone detection."""

    schema = Schema(
        "classify",
        (CODE_STRINGS_FIRST, Column("label", "label", aliases=("target", "class"))),
        summary="code classification: tell which class a function belongs to, such as defective or not",
        key="code",
    )
    sample = Sample("classify")
    preset = Preset({"code": 512}, batch_size=16, learning_rate=5e-5, epochs=10, metric="macro_f1")
    metrics = ("accuracy", "macro_f1", "precision", "recall", "f1", "roc_auc")
    answers = AnswerLayout("label", ("label", "gold", "target", "answer", "text"))
    options = EmbeddingOptions
    is_classifier = True

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
        """Accuracy and macro F1; of labels 0 and 1 also precision, recall and F1."""
        from telly.metrics.classification import label_statistics

        return label_statistics(predictions, references)

    def training(self) -> AnyTask:
        """Classification of single texts."""
        from telly.tasks.training.classification import ClassificationTask

        return ClassificationTask(self)

    def has_head(self, options: EmbeddingOptions) -> bool:
        """The classifier is new."""
        return True
