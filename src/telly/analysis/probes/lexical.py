"""The lexical probe's data: the type of every code token, per piece of a model's tokenizer."""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from telly.analysis.probes.grammar import tree_sitter_nodes
from telly.analysis.probes.skipped import SkippedTexts, UnusableTextError, usable
from telly.errors import ConfigError
from telly.models.modes import InputMode, encode_texts, mode_head

CLASSES = ("identifier", "keyword", "operator", "number", "string")
NO_CLASS = -1
IDENTIFIER, KEYWORD, OPERATOR, NUMBER, STRING = range(len(CLASSES))

_LITERAL_STARTS = ("FSTRING_START", "TSTRING_START")  # of Python 3.12 and 3.14
_LITERAL_ENDS = ("FSTRING_END", "TSTRING_END")
_NOT_PYTHON = frozenset("!$?`")  # from Python 3.12 on these come as operators
_TEXT_NODE = re.compile(r"(?<!concatenated_)string|char|rune|regex|heredoc|nowdoc|jsx_text")
_NAME_NODE = re.compile(r"identifier|name|constant|variable|symbol")


class Span(NamedTuple):
    """A code token: characters `start` to `end` (exclusive) of its text, and its class, an index into `CLASSES`."""

    start: int
    end: int
    label: int


@dataclass(frozen=True)
class LexicalExamples:
    """Encoded texts with a class per token.

    Attributes:
        encodings: token ids of every usable text, special tokens included.
        labels: class of every token per usable text, [tokens]: an index into `CLASSES`, or -1 without a code token
            (special tokens, comments, white space).
        indices: indices of the usable texts in the input, [usable].
        skipped: the other texts.
    """

    encodings: list[list[int]]
    labels: list[npt.NDArray[np.int64]]
    indices: npt.NDArray[np.int64]
    skipped: list[SkippedTexts]


def lexical_examples(
    texts: Sequence[str], tokenizer: Any, max_tokens: int, language: str = "python"
) -> LexicalExamples:
    """Encode texts as `telly.models.modes.encode_texts` does, and label their tokens.

    Args:
        texts: source code.
        tokenizer: a fast tokenizer.
        max_tokens: maximum number of tokens per text, special tokens included; longer texts are cut on the right.
        language: `python`, or the name of a tree-sitter grammar.

    Raises:
        ConfigError: the tokenizer gives no offsets, the limit leaves no room, or a grammar is not installed.
    """
    if not tokenizer.is_fast:
        raise ConfigError(
            f"the lexical probe needs a fast tokenizer, which knows every token's characters, found "
            f"{type(tokenizer).__name__}; give the model a tokenizer.json"
        )
    spans, indices, skipped = usable(texts, partial(token_spans, language=language))
    readable = [texts[index] for index in indices]
    encodings = encode_texts(tokenizer, readable, max_tokens) if readable else []
    offsets = _offsets(tokenizer, readable, max_tokens) if readable else []
    labels = [align(*example) for example in zip(readable, spans, offsets, strict=True)]  # each [tokens]
    labelled = [i for i, classes in enumerate(labels) if (classes != NO_CLASS).any()]
    unlabelled = sorted(set(range(len(readable))) - set(labelled))
    skipped += [SkippedTexts(int(indices[i]), f"has no code token among its first {max_tokens}") for i in unlabelled]
    return LexicalExamples(
        [encodings[i] for i in labelled],
        [labels[i] for i in labelled],
        indices[labelled],
        sorted(skipped, key=lambda entry: entry.number),
    )


def _offsets(tokenizer: Any, texts: list[str], max_tokens: int) -> list[list[tuple[int, int]]]:
    """Character span of every token from `encode_texts`; (0, 0) for special tokens."""
    head = mode_head(tokenizer, InputMode.ENCODER_ONLY)
    room = max_tokens - len(head) - 1 if head else max_tokens
    encoded = tokenizer(
        texts, add_special_tokens=not head, truncation=True, max_length=room, return_offsets_mapping=True
    )
    offset_mapping: list[list[tuple[int, int]]] = encoded["offset_mapping"]
    if not head:
        return offset_mapping
    return [[*([(0, 0)] * len(head)), *offsets, (0, 0)] for offsets in offset_mapping]


def align(text: str, spans: Iterable[Span], offsets: Sequence[tuple[int, int]]) -> npt.NDArray[np.int64]:
    """Find the class of each piece of a tokenizer, [pieces].

    A piece has the class of the code token that contains its first character other than white space: the pieces of
    byte-level BPE begin with the blank before a word. Pieces without such a token have -1, as have empty ones: special
    tokens, whose offsets are (0, 0).

    Args:
        text: source code.
        spans: code tokens of the text.
        offsets: characters of every piece, as a fast tokenizer's `offset_mapping` has them.
    """
    classes = np.full(len(text), NO_CLASS, dtype=np.int64)
    for start, end, label in spans:
        classes[start:end] = label
    labels = np.full(len(offsets), NO_CLASS, dtype=np.int64)
    for i, (start, end) in enumerate(offsets):
        first = next((at for at in range(start, end) if not text[at].isspace()), None)
        if first is not None:
            labels[i] = classes[first]
    return labels


def token_spans(code: str, language: str = "python") -> list[Span]:
    """Find the code tokens of a text, in order; comments and white space do not count.

    Python is read by the standard library's `tokenize`, so it need not parse. A formatted string is one token, as it
    was before Python 3.12, and soft keywords are identifiers. Other languages are read from the leaves of their
    tree-sitter tree.

    Raises:
        UnusableTextError: the text cannot be read in the language, or has no code token.
        ConfigError: a grammar is not installed.
    """
    try:
        encoded = code.encode()
    except UnicodeEncodeError:
        raise UnusableTextError("has half a surrogate pair") from None
    spans = list(_python_spans(code) if language == "python" else _tree_sitter_spans(encoded, language))
    if not spans:
        raise UnusableTextError("has no code token")
    return spans


def _python_spans(code: str) -> Iterator[Span]:
    plain, origin = _unix_lines(code)
    starts = [0]
    for line in plain.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(plain).readline))
    except (tokenize.TokenError, SyntaxError):
        raise UnusableTextError("cannot be tokenised as python") from None
    for first, last, label in _labelled(tokens):
        start = starts[first.start[0] - 1] + first.start[1]
        end = starts[last.end[0] - 1] + last.end[1]
        yield Span(origin[start], origin[end - 1] + 1, label)


def _unix_lines(code: str) -> tuple[str, list[int]]:
    """Normalise line ends to line feeds, as Python reads its sources; also gives each character's original place."""
    dropped = {match.start() for match in re.finditer(r"\r(?=\n)", code)}
    origin = [at for at in range(len(code)) if at not in dropped]
    return re.sub(r"\r\n?", "\n", code), origin


def _labelled(
    tokens: Iterable[tokenize.TokenInfo],
) -> Iterator[tuple[tokenize.TokenInfo, tokenize.TokenInfo, int]]:
    """Group tokens with their class, as (first, last, class); only formatted strings have more than one token."""
    depth = 0
    opening = None
    for token in tokens:
        kind = tokenize.tok_name[token.type]
        if kind in _LITERAL_STARTS:
            opening = opening or token
            depth += 1
        elif kind in _LITERAL_ENDS:
            depth -= 1
            if depth == 0 and opening is not None:
                yield opening, token, STRING
                opening = None
        elif depth == 0:
            label = _python_class(token)
            if label != NO_CLASS:
                yield token, token, label


def _python_class(token: tokenize.TokenInfo) -> int:
    if token.type == tokenize.NAME:
        return KEYWORD if keyword.iskeyword(token.string) else IDENTIFIER
    if token.string in _NOT_PYTHON or (token.type == tokenize.ERRORTOKEN and not token.string.isspace()):
        raise UnusableTextError("cannot be tokenised as python")
    return {tokenize.OP: OPERATOR, tokenize.NUMBER: NUMBER, tokenize.STRING: STRING}.get(token.type, NO_CLASS)


def _tree_sitter_spans(code: bytes, language: str) -> Iterator[Span]:
    waiting, shift = tree_sitter_nodes(code, language)
    characters = _characters_before(code)
    waiting.reverse()
    while waiting:
        node = waiting.pop()
        if "comment" in node.type:
            continue
        whole = node.is_named and _TEXT_NODE.search(node.type) is not None
        if node.children and not whole:
            waiting.extend(reversed(node.children))
            continue
        start, end = node.start_byte - shift, node.end_byte - shift
        if start < end:
            label = STRING if whole else _leaf_class(node.type, node.is_named, code[start:end].decode())
            yield Span(int(characters[start]), int(characters[end]), label)


def _characters_before(code: bytes) -> npt.NDArray[np.int64]:
    """Count the characters of UTF-8 text that begin before each byte, [bytes + 1]."""
    begins = (np.frombuffer(code, dtype=np.uint8) & 0xC0) != 0x80  # all but continuation bytes
    return np.concatenate([[0], np.cumsum(begins, dtype=np.int64)])


def _leaf_class(kind: str, named: bool, text: str) -> int:
    """The class of a leaf other than a string literal.

    Grammars name what varies (`identifier`) and quote what does not (`"if"`), but for words such as `this`, `null` or
    `void_type`, which are recognised because they are words. No language lets a name begin with a digit.
    """
    if text[0].isdigit() or (text[0] == "." and text[1:2].isdigit()):
        return NUMBER
    if named and _NAME_NODE.search(kind):
        return IDENTIFIER
    return KEYWORD if re.match(r"[#@]?[^\W\d]", text) else OPERATOR
