"""Syntax highlighting for the page: functions in chunks, each with its kind and whether it is a word of the query.

Chunks are data, which the page shows as text, so no function's code can become part of its markup.
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
"""Maximum number of characters that are highlighted; the rest is plain."""
UNMARKED = stop_words() | set(words("can do does from how i my so we what when where which you"))
"""Words that are not marked unless the query has no others: stop words of BM25, and those of questions."""
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
"""Kinds of chunks by Pygments' token names; the first prefix that matches counts."""

Chunk = dict[str, Any]


def marked(query: str, location: CodeLocation, lines: int) -> dict[str, Any]:
    """Split a function's signature, description and first lines into chunks.

    Args:
        query: words to mark.
        location: the function.
        lines: maximum number of lines of its code; `more` is the number of lines after them.
    """
    query_words = set(words(query))
    query_words = query_words - UNMARKED or query_words
    function = location.function
    shown = snippet(location, lines)
    return {
        "signature": _chunks(function.signature, location.language, query_words),
        "description": _chunks(function.description, "", query_words),
        "lines": _by_line(_chunks("\n".join(shown), location.language, query_words)) if shown else [],
        "more": len(function.code.split("\n")) - len(shown),
    }


def _chunks(text: str, language: str, query_words: set[str]) -> list[Chunk]:
    """Cut a text wherever a token or a word of the query begins or ends."""
    kinds = list(_kinds(text, language))
    marks = list(spans(text, query_words))
    cuts = sorted({0, len(text), *(start for start, _ in kinds), *(edge for mark in marks for edge in mark)})
    chunks: list[Chunk] = []
    # cuts, tokens and marks are all in text order, so one pass suffices
    token = mark = 0
    for start, end in pairwise(cuts):
        while token + 1 < len(kinds) and kinds[token + 1][0] <= start:
            token += 1
        while mark < len(marks) and marks[mark][1] <= start:
            mark += 1
        match = mark < len(marks) and marks[mark][0] <= start
        chunks.append({"text": text[start:end], "kind": kinds[token][1], "match": match})
    return chunks


def _kinds(text: str, language: str) -> Iterator[tuple[int, str]]:
    """Start and kind of every run of tokens of one kind; the first starts at 0."""
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

    options = {"startinline": True} if language == "php" else {}  # functions come without `<?php`
    try:
        return get_lexer_by_name(language.replace("c-sharp", "csharp"), **options) if language else None
    except ClassNotFound:
        return None


def _by_line(chunks: list[Chunk]) -> list[list[Chunk]]:
    lines: list[list[Chunk]] = [[]]
    for chunk in chunks:
        for i, part in enumerate(chunk["text"].split("\n")):
            if i > 0:
                lines.append([])
            if part:
                lines[-1].append({**chunk, "text": part})
    return lines
