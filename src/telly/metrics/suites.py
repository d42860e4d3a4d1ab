"""The metrics of a task in one call: for training code after generation, and for `telly score`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from telly.metrics.bleu import bleu_of_sums, bleu_statistics, sentence_bleu
from telly.metrics.cider import sentence_ciders
from telly.metrics.interval import Statistic, mean_statistic, values_of
from telly.metrics.meteor import sentence_meteor
from telly.metrics.pairs import scores_of_pairs
from telly.metrics.rouge import sentence_rouge_l
from telly.metrics.text import edit_similarity, exact_match, restore_literals


def summarization(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Scores of summaries.

    `bleu` uses the tokens of CodeXGLUE's code-to-text evaluator; the others use lower-case whitespace tokens, since
    both sides are tokenised text in the data sets (`" ".join(docstring_tokens)`). An empty prediction scores 0.

    Args:
        predictions: generated summaries.
        references: the right summary of each.

    Returns:
        `bleu`, `meteor`, `rouge_l` in per cent, `cider` raw; greater is better.

    Raises:
        ValueError: no predictions, or another number of them than references.
        DataError: a reference is empty.
    """
    return values_of(summarization_statistics(predictions, references))


def generation(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Scores of generated code: `bleu` (corpus), `exact_match`, `edit_similarity`, all in per cent.

    An empty prediction has no matches, and its reference counts for the brevity penalty. Errors as `summarization`.
    """
    return values_of(generation_statistics(predictions, references))


def completion(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Scores of completed lines, literals restored: `exact_match`, `edit_similarity`, in per cent.

    An empty prediction scores 0. Errors as `summarization`.
    """
    return values_of(completion_statistics(predictions, references))


def summarization_statistics(predictions: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
    """The metrics of `summarization` in the form that can be resampled."""
    return {
        "bleu": _mean(sentence_bleu, predictions, references),
        "meteor": _mean(sentence_meteor, predictions, references),
        "rouge_l": _mean(sentence_rouge_l, predictions, references),
        "cider": mean_statistic(sentence_ciders(predictions, references)),
    }


def generation_statistics(predictions: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
    """The metrics of `generation` in the form that can be resampled."""
    return {
        "bleu": Statistic(bleu_statistics(predictions, references), bleu_of_sums),
        "exact_match": _mean(lambda p, r: 100.0 * exact_match(p, r), predictions, references),
        "edit_similarity": _mean(edit_similarity, predictions, references),
    }


def completion_statistics(predictions: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
    """The metrics of `completion` in the form that can be resampled."""
    return {
        "exact_match": _mean(_exact_line, predictions, references),
        "edit_similarity": _mean(edit_similarity, predictions, references),
    }


def _exact_line(prediction: str, reference: str) -> float:
    return 100.0 * exact_match(restore_literals(prediction), restore_literals(reference))


def _mean(score: Callable[[str, str], float], predictions: Sequence[str], references: Sequence[str]) -> Statistic:
    return mean_statistic(scores_of_pairs(score, predictions, references))
