"""METEOR without synonyms (Lavie and Agarwal 2007), by nltk: words match as they are, then by their stems."""

from __future__ import annotations

from collections.abc import Sequence

from telly.metrics.pairs import mean_over_pairs


class _NoSynonyms:
    """A wordnet that knows no word, so that scores need no corpus and depend on the texts alone."""

    def synsets(self, word: str) -> list[object]:
        """No set of synonyms of any word."""
        return []


def sentence_meteor(prediction: str, reference: str) -> float:
    """METEOR of one prediction: F(alpha .9) of matched words times 1 - .5 (chunks / matches)^3.

    nltk's `single_meteor_score` on lower-case whitespace tokens, with Porter's stemmer in nltk's default mode.

    Args:
        prediction: text; one without words scores 0.
        reference: the right text.

    Returns:
        per cent, 0 to 100. A text of n words scores 100 (1 - .5 / n^3) against itself: the penalty is never 0.
    """
    # nltk imports SciPy and scikit-learn where they are installed, which takes seconds: only METEOR waits for that.
    from nltk.translate.meteor_score import single_meteor_score

    score: float = single_meteor_score(reference.split(), prediction.split(), wordnet=_NoSynonyms())
    return 100 * score


def meteor(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Mean of `sentence_meteor` over all pairs, per cent."""
    return mean_over_pairs(sentence_meteor, predictions, references)
