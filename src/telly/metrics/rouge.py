"""ROUGE-L (Lin 2004): F of the longest common subsequence of words, with beta 1.2 as the caption evaluation has it."""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.distance import LCSseq

from telly.metrics.pairs import mean_over_pairs

BETA = 1.2


def sentence_rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L of one prediction on lower-case whitespace tokens: (1 + b^2) P R / (R + b^2 P), b = 1.2.

    Args:
        prediction: text; one without words scores 0.
        reference: the right text.

    Returns:
        per cent, 0 to 100; equal to pycocoevalcap's `Rouge` times 100.
    """
    words, right = prediction.lower().split(), reference.lower().split()
    common = LCSseq.similarity(words, right)
    if not common:
        return 0.0
    precision, recall = common / len(words), common / len(right)
    return 100 * (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def rouge_l(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Mean of `sentence_rouge_l` over all pairs, per cent."""
    return mean_over_pairs(sentence_rouge_l, predictions, references)
