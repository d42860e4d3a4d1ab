"""BLEU (Papineni et al. 2002) in CodeXGLUE's two smoothed forms: per sentence for summaries, per corpus for code."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from telly.metrics.pairs import check_pairs, mean_over_pairs

LONGEST = 4

_TOKEN = re.compile(r"[^\W_]+|_|[^\s\w]")


def ngrams(words: Sequence[str], longest: int = LONGEST) -> Counter[tuple[str, ...]]:
    """Count the n-grams of 1 to `longest` words."""
    return Counter(tuple(words[i : i + n]) for n in range(1, longest + 1) for i in range(len(words) - n + 1))


def summary_tokens(text: str) -> list[str]:
    """Lower-case words and single punctuation marks; an underscore is a mark.

    These are the tokens of CodeXGLUE's evaluator: it splits at every mark first and then runs NIST's normalisation, of
    which only the split at underscores is left to do. XML entities stay split up: `&lt;` is three tokens. Scores can
    be compared only with this published tokenisation, which differs from `telly.metrics.words`: a combining mark is a
    token.
    """
    return _TOKEN.findall(text.lower())


def sentence_bleu(prediction: str, reference: str) -> float:
    """Smoothed BLEU-4 of one summary, as CodeXGLUE's code-to-text evaluator has it.

    Geometric mean of the n-gram precisions, matches and totals of n > 1 plus one (Lin and Och 2004), times
    exp(min(0, 1 - (reference length + 1) / (prediction length + 1))).

    Args:
        prediction: text; one without tokens scores 0, where that evaluator gives exp(-reference length).
        reference: the right text. With one reference its length is the shortest.

    Returns:
        per cent, 0 to 100.
    """
    row = _statistics(summary_tokens(prediction), summary_tokens(reference))
    matches, totals, (length, reference_length) = row[:LONGEST], row[LONGEST : 2 * LONGEST], row[2 * LONGEST :]
    if not matches[0]:
        return 0.0
    logs = [math.log((m + (n > 0)) / (t + (n > 0))) for n, (m, t) in enumerate(zip(matches, totals, strict=True))]
    return 100 * math.exp(sum(logs) / LONGEST + min(0.0, 1 - (reference_length + 1) / (length + 1)))


def summary_bleu(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Mean of `sentence_bleu` over all pairs, per cent."""
    return mean_over_pairs(sentence_bleu, predictions, references)


def bleu_statistics(predictions: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """Sufficient statistics of corpus BLEU for every pair of whitespace-token texts, [examples, 10].

    Columns: matched n-grams for n = 1 to 4, n-grams of the prediction for n = 1 to 4, length of the prediction, length
    of the reference. BLEU of any subset of examples is `bleu_of_sums` of the sums of their rows.
    """
    check_pairs(predictions, references)
    rows = [_statistics(p.split(), r.split()) for p, r in zip(predictions, references, strict=True)]
    return np.array(rows, np.float64)


def bleu_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smoothed corpus BLEU of summed `bleu_statistics`, as CodeXGLUE's text-to-code evaluator has it.

    Geometric mean over n = 1 to 4 of (matches + 1) / (totals + 1), times exp(1 - reference length / prediction length)
    where the predictions are not longer than the references.

    Args:
        sums: [..., 10].

    Returns:
        per cent, 0 to 100, [...]; 0 if there is no predicted token.
    """
    matches, totals = sums[..., :LONGEST], sums[..., LONGEST : 2 * LONGEST]
    length, reference_length = sums[..., -2], sums[..., -1]
    precision = np.exp(np.log((matches + 1) / (totals + 1)).mean(axis=-1))
    with np.errstate(divide="ignore"):
        brevity = np.exp(np.minimum(0.0, 1 - reference_length / length))  # length 0 gives exp(-inf), which is 0
    score: NDArray[np.float64] = 100 * precision * brevity
    return score


def corpus_bleu(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Smoothed corpus BLEU-4 over whitespace tokens, per cent; see `bleu_of_sums`."""
    return float(bleu_of_sums(bleu_statistics(predictions, references).sum(axis=0)))


def _statistics(words: Sequence[str], right: Sequence[str]) -> list[int]:
    predicted = ngrams(words)
    matches = [0] * LONGEST  # clipped: an n-gram counts at most as often as the reference has it
    for ngram, count in (predicted & ngrams(right)).items():
        matches[len(ngram) - 1] += count
    totals = [max(0, len(words) - n) for n in range(LONGEST)]
    return [*matches, *totals, len(words), len(right)]
