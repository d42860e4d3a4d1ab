"""The Porter stemmer that METEOR matches with (Porter 1980, "An algorithm for suffix stripping").

It has the changes of nltk's default mode, because published METEOR scores were computed with that: a few irregular
words, `-ies` and `-ied` of four-letter words, `-y` only after a consonant, and `-alli`, `-fulli`, `-bli`, `-logi`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

_IRREGULAR = {
    "sky": "sky", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news",
    "inning": "inning", "innings": "inning", "outing": "outing", "outings": "outing",
    "canning": "canning", "cannings": "canning", "howe": "howe",
    "proceed": "proceed", "exceed": "exceed", "succeed": "succeed",
}  # fmt: skip

_STEP_2 = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("bli", "ble"),
    ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate"),
    ("ator", "ate"), ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"),
    ("iviti", "ive"), ("biliti", "ble"), ("fulli", "ful"),
)  # fmt: skip
_STEP_3 = (("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", ""))
_STEP_4 = ("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate",
           "iti", "ous", "ive", "ize")  # fmt: skip


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """The stem of a word, in lower case. Words of one or two letters stay as they are."""
    lower = word.lower()
    if lower in _IRREGULAR:
        return _IRREGULAR[lower]
    if len(word) <= 2:
        return lower
    for step in (_plurals, _participles, _final_y, _double_suffixes, _suffixes, _long_suffixes, _tidy):
        lower = step(lower)
    return lower


def _consonants(text: str) -> list[bool]:
    """Whether each letter is a consonant; `y` is one at the start and after a vowel."""
    flags: list[bool] = []
    for letter in text:
        flags.append(not flags[-1] if letter == "y" and flags else letter not in "aeiou")
    return flags


def _measure(text: str) -> int:
    """How often a vowel is followed by a consonant: Porter's m."""
    flags = _consonants(text)
    return sum(not before and after for before, after in pairwise(flags))


def _ends_short(text: str) -> bool:
    """Consonant, vowel, consonant other than w, x, y at the end; or a two-letter word of vowel and consonant."""
    flags = _consonants(text)
    if len(text) == 2:
        return flags == [False, True]
    return flags[-3:] == [True, False, True] and text[-1] not in "wxy"


def _ends_double(text: str) -> bool:
    return len(text) >= 2 and text[-1] == text[-2] and _consonants(text)[-1]


def _replace(word: str, rules: Sequence[tuple[str, str]], allowed: Callable[[str], bool] | None = None) -> str:
    """Apply the first rule whose suffix the word has; where its condition fails, no later rule is tried."""
    for suffix, replacement in rules:
        if word.endswith(suffix):
            rest = word[: len(word) - len(suffix)]
            return rest + replacement if allowed is None or allowed(rest) else word
    return word


def _plurals(word: str) -> str:
    if word.endswith("ies") and len(word) == 4:
        return word[:-1]
    return _replace(word, (("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")))


def _participles(word: str) -> str:
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    rest = next((r for r in (word.removesuffix("ed"), word.removesuffix("ing")) if r != word), word)
    if rest == word or all(_consonants(rest)):
        return word
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    if _ends_double(rest):
        return rest if rest[-1] in "lsz" else rest[:-1]
    return rest + "e" if _measure(rest) == 1 and _ends_short(rest) else rest


def _final_y(word: str) -> str:
    rest = word[:-1]
    return rest + "i" if word.endswith("y") and len(rest) > 1 and _consonants(rest)[-1] else word


def _double_suffixes(word: str) -> str:
    if word.endswith("alli") and _measure(word[:-4]) > 0:
        return _double_suffixes(word[:-2])
    if word.endswith("logi"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    return _replace(word, _STEP_2, lambda rest: _measure(rest) > 0)


def _suffixes(word: str) -> str:
    return _replace(word, _STEP_3, lambda rest: _measure(rest) > 0)


def _long_suffixes(word: str) -> str:
    for suffix in _STEP_4:
        if word.endswith(suffix):
            rest = word[: -len(suffix)]
            removable = _measure(rest) > 1 and (suffix != "ion" or rest[-1] in "st")
            return rest if removable else word
    return word


def _tidy(word: str) -> str:
    if word.endswith("e"):
        rest = word[:-1]
        if _measure(rest) > 1 or (_measure(rest) == 1 and not _ends_short(rest)):
            word = rest
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word
