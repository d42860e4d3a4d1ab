"""Texts that a probe cannot use; each is recorded with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from telly.errors import DataError

MIN_EXAMPLES = 50

T = TypeVar("T")


@dataclass(frozen=True)
class SkippedTexts:
    """A text that was left out.

    Attributes:
        number: index of the text in the input.
        reason: why, to be read after "the text"; equal causes have equal reasons, so that they can be counted.
    """

    number: int
    reason: str


class UnusableTextError(DataError):
    """A text that a probe cannot use.

    Args:
        reason: as in `SkippedTexts`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"expected a text that the probe can use, found one that {reason}; mend it or leave it out")
        self.reason = reason


def usable(
    texts: Iterable[str], derive: Callable[[str], T]
) -> tuple[list[T], npt.NDArray[np.int64], list[SkippedTexts]]:
    """Apply `derive` to each text, and collect the texts for which it raises `UnusableTextError`.

    Returns:
        the results, the indices of their texts [usable], and the skipped texts.
    """
    results: list[T] = []
    indices: list[int] = []
    skipped: list[SkippedTexts] = []
    for index, text in enumerate(texts):
        try:
            results.append(derive(text))
            indices.append(index)
        except UnusableTextError as error:
            skipped.append(SkippedTexts(index, error.reason))
    return results, np.asarray(indices, dtype=np.int64), skipped


def require(examples: Sized, skipped: Sequence[SkippedTexts], what: str) -> None:
    """Check that enough texts are left for a probe.

    Args:
        examples: one entry per usable text.
        skipped: the other texts.
        what: name of the probe, for the message.

    Raises:
        DataError: fewer than 50 are left.
    """
    if len(examples) >= MIN_EXAMPLES:
        return
    total = len(examples) + len(skipped)
    message = (
        f"the {what} probe needs at least {MIN_EXAMPLES} usable texts, found {len(examples)}: "
        f"{total} were given and {len(skipped)} skipped"
    )
    if skipped:
        ((reason, count),) = Counter(entry.reason for entry in skipped).most_common(1)
        message += f" ({count} because the text {reason})"
    raise DataError(f"{message}; give more texts, or check the language they are read as")
