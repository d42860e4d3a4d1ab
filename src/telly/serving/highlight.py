"""Functions in pieces for a page: what each piece is in its language, and whether the query has that word.

Pieces are data. Whoever shows them makes text of them, so no function's code can become part of a page's markup.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from telly.metrics.bm25 import stop_words
from telly.metrics.words import spans, words
from telly.using.answers import snippet
from telly.using.index import CodeLocation

MAX_CHARACTERS = 8_000
"""Of a function that are told apart; what follows is plain."""
COMMON = stop_words() | set(words("can do does from how i my so we what when where which you"))
"""Words that are not marked, unless the query has no others: those that BM25 ignores, and those of questions."""
KINDS = (
    ("Comment", "comment"),
    ("Literal.String", "string"),
    ("Literal.Number", "number"),
    ("Keyword", "keyword"),
    ("Operator.Word", "keyword"),
    ("Name.Function", "function"),
    ("Name.Class", "function"),
    ("Name.Builtin.Pseudo", ""),
    ("Name.Builtin", "builtin"),
    ("Name.Decorator", "builtin"),
)
"""Kinds of pieces by Pygments' names of tokens; the first that fits."""

Piece = dict[str, Any]


def marked(query: str, place: CodeLocation, lines: int) -> dict[str, Any]:
    """A function's signature, description and first lines in pieces.

    Args:
        query: whose words are marked.
        place: the function.
        lines: how many of its code; `more` says how many others there are.
    """
    wanted = set(words(query))
    wanted = wanted - COMMON or wanted
    function = place.function
    shown = snippet(place, lines)
    return {
        "signature": _pieces(function.signature, place.language, wanted),
        "description": _pieces(function.description, "", wanted),
        "lines": _by_line(_pieces("\n".join(shown), place.language, wanted)) if shown else [],
        "more": len(function.code.split("\n")) - len(shown),
    }


def _pieces(text: str, language: str, wanted: set[str]) -> list[Piece]:
    """The text cut wherever a token or a word of the query begins or ends."""
    kinds = list(_kinds(text, language))
    marks = list(spans(text, wanted))
    cuts = sorted({0, len(text), *(start for start, _ in kinds), *(edge for mark in marks for edge in mark)})
    found: list[Piece] = []
    token = mark = 0
    for start, end in pairwise(cuts):
        while token + 1 < len(kinds) and kinds[token + 1][0] <= start:
            token += 1
        while mark < len(marks) and marks[mark][1] <= start:
            mark += 1
        match = mark < len(marks) and marks[mark][0] <= start
        found.append({"text": text[start:end], "kind": kinds[token][1], "match": match})
    return found


def _kinds(text: str, language: str) -> Iterator[tuple[int, str]]:
    """Where kinds begin that differ from the one before; the first at 0."""
    last = None
    lexer = _lexer(language)
    if lexer is not None:
        for start, token, _ in lexer.get_tokens_unprocessed(text[:MAX_CHARACTERS]):
            if _kind(token) != last:
                last = _kind(token)
                yield start, last
    if last is None or len(text) > MAX_CHARACTERS:
        yield 0 if last is None else MAX_CHARACTERS, ""


@cache
def _kind(token: Any) -> str:
    name = str(token).removeprefix("Token.")
    return next((kind for prefix, kind in KINDS if name == prefix or name.startswith(f"{prefix}.")), "")


@cache
def _lexer(language: str) -> Any:
    """Pygments' lexer of a language; None where it has none."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    options = {"startinline": True} if language == "php" else {}
    try:
        return get_lexer_by_name(language.replace("c-sharp", "csharp"), **options) if language else None
    except ClassNotFound:
        return None


def _by_line(pieces: list[Piece]) -> list[list[Piece]]:
    lines: list[list[Piece]] = [[]]
    for piece in pieces:
        for number, part in enumerate(piece["text"].split("\n")):
            if number:
                lines.append([])
            if part:
                lines[-1].append({**piece, "text": part})
    return lines
