"""Exact match and edit similarity of generated code, as CodeXGLUE's line-completion evaluator has them."""

from __future__ import annotations

import re

from rapidfuzz.distance import Indel

_PLAIN_LITERALS = (("<NUM_LIT>", "0"), ("<STR_LIT>", ""), ("<CHAR_LIT>", ""))
_LITERAL = re.compile(r"<(?:STR|NUM|CHAR)_LIT:(.*?)>", re.DOTALL)


def restore_literals(text: str) -> str:
    """Put literals back where the data has placeholders, as CodeXGLUE's line-completion evaluator does before scoring.

    `<NUM_LIT>` becomes 0, `<STR_LIT>` and `<CHAR_LIT>` nothing, `<STR_LIT:x>`, `<NUM_LIT:x>` and `<CHAR_LIT:x>` x.
    """
    for placeholder, literal in _PLAIN_LITERALS:
        text = text.replace(placeholder, literal)
    return _LITERAL.sub(r"\1", text)


def exact_match(prediction: str, reference: str) -> bool:
    """Return whether both texts have the same whitespace tokens; for line completion, restore the literals first."""
    return prediction.split() == reference.split()


def edit_similarity(prediction: str, reference: str) -> float:
    """Similarity of two texts by insertions and deletions of characters, literals restored: 1 - distance / (a + b).

    a and b are the lengths in characters, without surrounding space. Rounded to a whole per cent, like the `ratio` of
    fuzzywuzzy in CodeXGLUE's evaluator.

    Args:
        prediction: text; one without characters scores 0 against any text.
        reference: the right text.

    Returns:
        per cent, 0 to 100, without a fraction.
    """
    predicted, right = restore_literals(prediction.strip()), restore_literals(reference.strip())
    characters = len(predicted) + len(right)
    return float(round(100 * Indel.similarity(predicted, right) / characters)) if characters else 100.0
