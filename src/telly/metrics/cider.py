"""CIDEr (Vedantam, Zitnick and Parikh 2015), the clipped variant with a length penalty that evaluators call CIDEr."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from telly.metrics.bleu import ngrams
from telly.metrics.pairs import check_pairs

LONGEST = 4
SIGMA = 6.0
SCALE = 10.0

Vector = list[dict[tuple[str, ...], float]]
"""Weight of every n-gram, one dictionary for each n from 1 to 4."""


def sentence_ciders(predictions: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """CIDEr of every prediction, on lower-case whitespace tokens.

    Per n from 1 to 4 the cosine of tf-idf vectors, where the prediction's weights are cut at the reference's, times
    exp(-d^2 / 72) with d the difference in the number of 2-grams; the mean over n, times 10. An n-gram's document
    frequency is the number of references that have it. Equals pycocoevalcap's `Cider`.

    Args:
        predictions: texts; one without words scores 0.
        references: the right text of each.

    Returns:
        scores from 0 to 10, [examples]. All are 0 for a single example: its idf is log(1 / 1).
    """
    check_pairs(predictions, references)
    reference_counts = [ngrams(reference.lower().split(), LONGEST) for reference in references]
    document_frequency = Counter(ngram for counts in reference_counts for ngram in counts)
    log_examples = math.log(len(references))
    # An n-gram that no reference has gets the idf of one that a single reference has, as pycocoevalcap does.
    idf = {ngram: log_examples - math.log(count) for ngram, count in document_frequency.items()}
    scores = []
    for prediction, right in zip(predictions, reference_counts, strict=True):
        predicted = ngrams(prediction.lower().split(), LONGEST)
        delta = _bigrams(predicted) - _bigrams(right)
        cosines = map(_clipped_cosine, _weigh(predicted, idf, log_examples), _weigh(right, idf, log_examples))
        scores.append(SCALE * sum(cosines) / LONGEST * math.exp(-(delta**2) / (2 * SIGMA**2)))
    return np.array(scores, np.float64)


def cider(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Mean of `sentence_ciders`: the raw value, 0 to 10, as evaluators report it (1.54, not 154)."""
    return float(sentence_ciders(predictions, references).mean())


def _bigrams(counts: Counter[tuple[str, ...]]) -> int:
    return sum(count for ngram, count in counts.items() if len(ngram) == 2)


def _weigh(counts: Counter[tuple[str, ...]], idf: dict[tuple[str, ...], float], unseen: float) -> Vector:
    weights: Vector = [{} for _ in range(LONGEST)]
    for ngram, count in counts.items():
        weights[len(ngram) - 1][ngram] = count * idf.get(ngram, unseen)
    return weights


def _clipped_cosine(predicted: dict[tuple[str, ...], float], right: dict[tuple[str, ...], float]) -> float:
    # Clipping keeps a prediction from gaining by repeating words; the norms stay unclipped, as in the evaluator.
    product = sum(min(weight, right[ngram]) * right[ngram] for ngram, weight in predicted.items() if ngram in right)
    norms = math.hypot(*predicted.values()) * math.hypot(*right.values())
    return product / norms if norms else 0.0
