"""METEOR without synonyms (Lavie and Agarwal 2007): words match as they are, then by their stems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from telly.metrics.pairs import mean_over_pairs
from telly.metrics.porter import stem

ALPHA = 0.9
BETA = 3
GAMMA = 0.5


def sentence_meteor(prediction: str, reference: str) -> float:
    """METEOR of one prediction: F(alpha .9) of matched words times 1 - .5 (chunks / matches)^3.

    Equals nltk's `single_meteor_score` on lower-case whitespace tokens with a wordnet that knows no synonyms.

    Args:
        prediction: text; one without words scores 0.
        reference: the right text.

    Returns:
        per cent, 0 to 100. A text of n words scores 100 (1 - .5 / n^3) against itself: the penalty is never 0.
    """
    words, right = prediction.lower().split(), reference.lower().split()
    matches = _align(words, right)
    if not matches:
        return 0.0
    precision, recall = len(matches) / len(words), len(matches) / len(right)
    f_mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    return 100 * (1 - GAMMA * (_chunks(matches) / len(matches)) ** BETA) * f_mean


def meteor(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Mean of `sentence_meteor` over all pairs, per cent."""
    return mean_over_pairs(sentence_meteor, predictions, references)


def _align(words: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """Matched positions (prediction, reference), in the prediction's order: equal words first, then equal stems."""
    left_over, free = list(enumerate(words)), list(enumerate(right))
    exact = _match(left_over, free)
    left_over = [(i, stem(word)) for i, word in left_over]
    free = [(j, stem(word)) for j, word in free]
    return sorted(exact + _match(left_over, free))


def _match(words: list[tuple[int, str]], right: list[tuple[int, str]]) -> list[tuple[int, int]]:
    """Match from the end, each word with the last free equal one, as nltk does; matched words leave both lists."""
    places: dict[str, list[int]] = defaultdict(list)
    for j, word in right:
        places[word].append(j)
    matches = [(i, places[word].pop()) for i, word in reversed(words) if places[word]]
    taken, used = {i for i, _ in matches}, {j for _, j in matches}
    words[:] = [(i, word) for i, word in words if i not in taken]
    right[:] = [(j, word) for j, word in right if j not in used]
    return matches


def _chunks(matches: Sequence[tuple[int, int]]) -> int:
    """Runs of matches that are neighbours in both texts."""
    return 1 + sum((i + 1, j + 1) != following for (i, j), following in pairwise(matches))
