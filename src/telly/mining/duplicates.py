"""Near-duplicates of code by MinHash and locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998)."""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from telly.errors import ConfigError
from telly.metrics.words import tokens

SHINGLE = 5
SIMILARITY = 0.8
"""Jaccard similarity of shingles from which two texts are near-duplicates."""
PERMUTATIONS = 64
BANDS, ROWS = 12, 5
"""Two texts of similarity .8 share a band with probability .99, two of .5 with .32; then the estimate decides."""

Signature = npt.NDArray[np.uint64]


def signature(code: str, language: str = "") -> Signature:
    """MinHash signature of a text's shingles of `SHINGLE` tokens; a shorter text is one.

    Args:
        code: the text. White space is ignored, other than the indentation of Python's lines.
        language: the language's name.

    Raises:
        ConfigError: datasketch is not installed.
    """
    minhash = _prototype().copy()
    words = _indented_tokens(code) if language == "python" else tokens(code)
    shingles = {" ".join(words[i : i + SHINGLE]).encode() for i in range(max(1, len(words) - SHINGLE + 1))}
    minhash.update_batch(sorted(shingles))
    values: Signature = minhash.hashvalues
    return values


def _indented_tokens(code: str) -> list[str]:
    """Tokens of Python, with an additional one wherever the indentation changes."""
    words: list[str] = []
    widths = [0]
    for line in code.expandtabs().split("\n"):
        of_line = tokens(line)
        if of_line and of_line[0] != "#":
            width = len(line) - len(line.lstrip())
            while width < widths[-1]:
                widths.pop()
                words.append("<dedent>")
            if width > widths[-1]:
                widths.append(width)
                words.append("<indent>")
        words += of_line
    return words


def are_near_duplicates(left: Signature, right: Signature, similarity: float = SIMILARITY) -> bool:
    """Return whether two texts are near-duplicates, by the similarity that their signatures estimate."""
    return bool(np.mean(left == right) >= similarity)


class NearDuplicates:
    """Index of texts that tells whether another text is a near-duplicate of one of them.

    Args:
        similarity: Jaccard similarity of shingles, as the signatures estimate it, from which two texts are duplicates.
    """

    def __init__(self, similarity: float = SIMILARITY) -> None:
        datasketch = _datasketch()
        self.similarity = similarity
        self._index = datasketch.MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS))
        self._signatures: list[Signature] = []

    def has(self, values: Signature) -> bool:
        """Return whether a near-duplicate of a text with this signature was added."""
        # Bands only give candidates; the signatures' own estimate decides.
        candidates = (self._signatures[i] for i in self._index.query(_minhash(values)))
        return any(are_near_duplicates(candidate, values, self.similarity) for candidate in candidates)

    def add(self, values: Signature) -> bool:
        """Add a text's signature unless a near-duplicate is there; return whether it was added."""
        if self.has(values):
            return False
        self._index.insert(len(self._signatures), _minhash(values), check_duplication=False)
        self._signatures.append(values)
        return True


def _minhash(values: Signature) -> Any:
    minhash = _prototype().copy()
    minhash.hashvalues = values
    return minhash


@cache
def _prototype() -> Any:
    # Created once and copied: drawing the permutations is slow.
    return _datasketch().MinHash(num_perm=PERMUTATIONS, hashfunc=zlib.crc32)


def _datasketch() -> Any:
    try:
        import datasketch
    except ImportError:
        raise ConfigError("finding near-duplicates needs datasketch: pip install 'telly[mining]'") from None
    return datasketch
