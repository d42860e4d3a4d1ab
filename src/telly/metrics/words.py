"""Words of code and text in any script, for every comparison by words: BM25, baselines, highlighting.

- Identifiers are split at underscores, digits and changes of case, in every script that has case: `größeÄndern` is
  `größe` and `ändern`.
- A combining mark belongs to its letter, and words are compared after NFKC normalisation (the one that Python applies
  to identifiers) and case folding, so `café` is one word however its accent is encoded.
- Scripts that are written without spaces, and Korean, whose particles are attached to the word, are cut into
  overlapping pairs of characters. This is what Lucene's CJKAnalyzer does: it needs no dictionary, and about equals
  segmentation by dictionary in retrieval.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import regex

_ASCII_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ASCII_TOKEN = re.compile(r"\w+|[^\w\s]")
_EXTEND = r"[\p{M}\p{Default_Ignorable_Code_Point}]*+"
"""Combining marks, joiners and soft hyphens, which never end a word."""
_UPPER = rf"(?>[\p{{Lu}}\p{{Lt}}]{_EXTEND})"
_UNSPACED = (
    r"\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Hang}\p{scx=Bopo}\p{scx=Thai}\p{scx=Laoo}\p{scx=Khmr}\p{scx=Mymr}"
)
_LOWER = rf"(?>[[\p{{L}}--[\p{{Lu}}\p{{Lt}}]]--[{_UNSPACED}]]{_EXTEND})"
"""Lower-case letters, and those of scripts without case."""
_RUN = rf"(?>[\p{{L}}&&[{_UNSPACED}]]{_EXTEND})+"
_WORD = regex.compile(
    rf"(?P<run>{_RUN})|{_UPPER}+(?!{_LOWER})|{_UPPER}?{_LOWER}+|(?>[\p{{N}}]{_EXTEND})+", regex.VERSION1
)
_UNSPACED_LETTER = regex.compile(rf"[\p{{L}}&&[{_UNSPACED}]]", regex.VERSION1)
_CHARACTER = regex.compile(r"\X")
_IGNORED = regex.compile(r"\p{Default_Ignorable_Code_Point}+")
_TOKEN = regex.compile(rf"(?P<run>{_RUN})|(?>[\w--[\p{{L}}&&[{_UNSPACED}]]]{_EXTEND})+|[^\w\s]", regex.VERSION1)


def words(text: str, *, characters: bool = False) -> list[str]:
    """Words of a text in their order, normalised and case-folded.

    Args:
        text: code, or a sentence.
        characters: include the single characters of unspaced scripts; an index needs them to find words of one
            character.
    """
    if text.isascii():
        return [word.lower() for word in _ASCII_WORD.findall(text)]
    return [folded(text[start:end]) for start, end in _spans(text, characters)]


def spans(text: str, targets: set[str]) -> Iterator[tuple[int, int]]:
    """Start and end of every word of a text whose form by `words` is in `targets`; pairs of characters overlap."""
    return ((start, end) for start, end in _spans(text, characters=True) if folded(text[start:end]) in targets)


def tokens(text: str) -> list[str]:
    """Identifiers and numbers as written, single characters of unspaced scripts, and single punctuation marks.

    Texts whose characters are encoded differently (NFC and NFD) have the same tokens. Case counts.
    """
    if text.isascii():
        return _ASCII_TOKEN.findall(text)
    parts: list[str] = []
    for match in _TOKEN.finditer(unicodedata.normalize("NFC", text)):
        parts += _CHARACTER.findall(match[0]) if match["run"] else [match[0]]
    return parts


def unspaced_letters(text: str) -> int:
    """Number of letters of a text that belong to scripts without spaces between words."""
    return 0 if text.isascii() else len(_UNSPACED_LETTER.findall(text))


def folded(word: str) -> str:
    """The form in which words are compared: normalised (NFKC), case-folded, without invisible characters.

    The capital `İ` of Turkish is an `i`; case folding alone would leave its dot behind as a mark.
    """
    if word.isascii():
        return word.lower()
    visible = _IGNORED.sub("", unicodedata.normalize("NFKC", word))
    return unicodedata.normalize("NFKC", visible.casefold().replace("i\N{COMBINING DOT ABOVE}", "i"))


def _spans(text: str, characters: bool) -> Iterator[tuple[int, int]]:
    for match in _WORD.finditer(text):
        if match["run"] is None:
            yield match.span()
            continue
        # A run of an unspaced script: overlapping pairs, and on request every character on its own.
        clusters = [cluster.span() for cluster in _CHARACTER.finditer(text, *match.span())]
        for i, (start, end) in enumerate(clusters):
            if characters or len(clusters) == 1:
                yield start, end
            if i + 1 < len(clusters):
                yield start, clusters[i + 1][1]
