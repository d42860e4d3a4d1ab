"""The table of metrics: name, direction and unit. It has no heavy imports, so that `--help` can use it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric's name, direction and unit.

    Attributes:
        name: its key in records and JSON.
        greater_is_better: the direction.
        percentage: whether values run from 0 to 100; otherwise they are fractions, or raw (`cider`).
        description: one line about it.
        detail: whether the table of a run in the terminal leaves it out, unless it selects the best epoch.
    """

    name: str
    greater_is_better: bool
    percentage: bool
    description: str
    detail: bool = False

    @property
    def digits(self) -> int:
        """Digits after the point that are worth printing."""
        return 2 if self.percentage else 4


_METRICS = (
    Metric("bleu", True, True, "smoothed BLEU-4: mean over sentences for summaries, over the corpus for code"),
    Metric("meteor", True, True, "METEOR by words and stems, without synonyms; mean over sentences"),
    Metric("rouge_l", True, True, "ROUGE-L, F with beta 1.2; mean over sentences"),
    Metric("cider", True, False, "CIDEr, raw value from 0 to 10; mean over sentences"),
    Metric("exact_match", True, True, "predictions with the same whitespace tokens as the reference"),
    Metric("edit_similarity", True, True, "similarity by inserted and deleted characters, mean of whole per cents"),
    Metric("mrr", True, False, "mean reciprocal rank of the first right answer"),
    Metric("mrr@10", True, False, "mean reciprocal rank of the first right answer, 0 beyond rank 10", detail=True),
    Metric("ndcg@10", True, False, "discounted gain of the first 10 answers, by grade, divided by the best possible"),
    Metric("recall@1", True, False, "right answers ranked first"),
    Metric("recall@5", True, False, "right answers among the first 5", detail=True),
    Metric("recall@10", True, False, "right answers among the first 10"),
    Metric("map", True, False, "mean over queries of the average precision at the right answers", detail=True),
    Metric("map@r", True, False, "mean average precision over the first R answers of a query with R right ones"),
    Metric("r_precision", True, False, "right ones among the first R answers of a query with R right ones"),
    Metric("accuracy", True, False, "right labels"),
    Metric("precision", True, False, "right ones among those labelled 1"),
    Metric("recall", True, False, "those labelled 1 among the right ones"),
    Metric("f1", True, False, "harmonic mean of precision and recall of label 1"),
    Metric("macro_f1", True, False, "F1 of every label, averaged over labels"),
    Metric("roc_auc", True, False, "probability that a 1 scores above a 0, ties half"),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _METRICS}


def truncated_name(name: str, dimensions: int) -> str:
    """Name of the results of the first dimensions of embeddings alone."""
    return f"{name}, {dimensions} dimensions"
