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
    """Whether both texts have the same whitespace tokens. For line completion, restore the literals first."""
    return prediction.split() == reference.split()


def edit_similarity(prediction: str, reference: str) -> float:
    """Similarity of two texts by insertions and deletions of characters, literals restored: 1 - distance / (a + b).

    a and b are the lengths in characters. Surrounding space is cut off. Rounded to a whole per cent, as the `ratio` of
    fuzzywuzzy that CodeXGLUE's evaluator takes.

    Args:
        prediction: text; one without characters scores 0 against any text.
        reference: the right text.

    Returns:
        per cent, 0 to 100, without a fraction.
    """
    given, right = restore_literals(prediction.strip()), restore_literals(reference.strip())
    characters = len(given) + len(right)
    return float(round(100 * Indel.similarity(given, right) / characters)) if characters else 100.0
