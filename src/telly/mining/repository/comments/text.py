"""Helpers of all comment styles: verbatim pieces, paragraphs, drawn lines and notes for tools."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from inspect import cleandoc

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]
"""A pattern and its replacement, as `re.sub` takes them."""

MAX_COMMENT = 10_000  # characters; the first paragraph ends long before

_DRAWN = re.compile(r"(?:[-=~^\"'#*+_/\\|.:<>•·─━═]\s*){3,}|[*#/=-]{1,2}")
_FRAME = re.compile(r"^([-=*#~_+/\\])\1{2,}\s+|\s+([-=*#~_+/\\])\2{2,}$")
_BULLET = re.compile(r"^[-*•]\s+(?=\w)")
_BANNER = re.compile(r"^([-=*#~_+/\\])\1{2,}\s.*\s([-=*#~_+/\\])\2{2,}$", re.DOTALL)
_PLACE = re.compile(r"\x00(\d+)\x00")
_TOOLS = (
    r"nolint\b|lint:|rubocop:|standard:(?:disable|enable)|frozen_string_literal:|(?:en)?coding:|typed:\s*\w+$|-\*-|!/"
    r"|:nodoc:|:doc:|steep:ignore|eslint(?:[- ]|-disable)|prettier-|@ts-(?:ignore|expect|nocheck|check)|tslint:"
    r"|jshint\b|jscs:|biome-ignore|istanbul |c8 ignore|v8 ignore|webpack\w+:|@__PURE__|NOLINT|NOPMD\b|NOSONAR\b"
    r"|CHECKSTYLE|clang-format |cppcheck-suppress|coverity\[|LCOV_EXCL|GCOV_EXCL|IWYU pragma|noqa\b|pylint:"
    r"|type:\s*ignore|phpcs:|@phpstan-|@psalm-|@codeCoverageIgnore|@formatter:|noinspection |language=\w+$|ReSharper "
    r"|rustfmt|tarpaulin"
)
_LAWYERS = r"SPDX-|Copyright\b|\(c\) |©"
_DIRECTIVE = re.compile(rf"^\s*(?:{_TOOLS}|{_LAWYERS})")
"""Lines for a tool or a lawyer, not for a reader."""
_NOTE = re.compile(r"^\s*(?:TODO|FIXME|XXX|HACK|BUG)\b\s*[(:]")
_LEGAL = re.compile(
    r"licen[sc]ed\s+under\s+the|permission\s+is\s+hereby\s+granted|all\s+rights\s+reserved|is\s+free\s+software[;:,]"
    r"|redistribution\s+and\s+use\s+in\s+source|use\s+of\s+this\s+source\s+code\s+is\s+governed"
    r"|this\s+file\s+is\s+(?:part\s+of|distributed|licen[sc]ed)",
    re.IGNORECASE,
)


class Verbatim:
    """Holds pieces of a text, such as inline code, that later rules must not change.

    A piece is replaced by its number between NUL characters until `restore` puts it back.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def keep(self, piece: str) -> str:
        """Hold a piece; return its placeholder."""
        self._pieces.append(piece)
        return f"\0{len(self._pieces) - 1}\0"

    def keep_all(self, text: str, rules: Iterable[Rule]) -> str:
        """Hold the result of every match of the rules, in their order. The text itself has no NUL."""

        def held(match: re.Match[str], replacement: str | Callable[[re.Match[str]], str]) -> str:
            result = match.expand(replacement) if isinstance(replacement, str) else replacement(match)
            return result if result == match[0] else self.keep(result)

        for pattern, replacement in rules:
            text = pattern.sub(lambda match, replacement=replacement: held(match, replacement), text)  # type: ignore[misc]
        return text

    def restore(self, text: str) -> str:
        """Put all pieces back, including those within others."""
        while _PLACE.search(text):
            text = _PLACE.sub(lambda match: self._pieces[int(match[1])], text)
        return text


def one_line(text: str) -> str:
    """The text with every run of white space as one blank, without characters that cannot be encoded."""
    return " ".join(text.encode(errors="replace").decode().split())


def is_drawn(line: str) -> bool:
    """Return whether a line is blank or only drawn, as the lines of boxes and rules."""
    bare = line.strip()
    return not bare or _DRAWN.fullmatch(bare) is not None


def is_directive(line: str) -> bool:
    """Return whether a line of a comment addresses a tool, such as a linter, or states a copyright."""
    return _DIRECTIVE.match(line) is not None


def is_note(line: str) -> bool:
    """Return whether a line begins as a note to the authors, such as `TODO:`."""
    return _NOTE.match(line) is not None


def is_legal(text: str) -> bool:
    """Return whether a text states the terms of a licence."""
    return _LEGAL.search(text) is not None


def is_banner(text: str) -> bool:
    """Return whether a text is the title of a section, drawn between rules on its one line."""
    return _BANNER.match(text) is not None


def without_frame(text: str) -> str:
    """A line without the rules that are drawn before and after it, or the bullet before it."""
    return _BULLET.sub("", _FRAME.sub("", text))


def paragraphs(lines: Iterable[str], stop: re.Pattern[str]) -> Iterator[list[str]]:
    """The paragraphs of a text, up to the first line that `stop` matches.

    Directives are passed over, and so are paragraphs that begin as a note to the authors, such as `TODO:`.
    """
    paragraph: list[str] = []
    in_note = False
    for line in lines:
        if is_directive(line):
            continue
        if is_drawn(line):
            if paragraph:
                yield paragraph
            paragraph, in_note = [], False
        elif stop.match(line) or (paragraph and is_note(line)):
            break
        else:
            in_note = in_note or is_note(line)
            paragraph += [] if in_note else [line.strip()]
    if paragraph:
        yield paragraph


_BLOCK_OPEN = re.compile(r"^\s*/\*[*!]*<?(?!/)")
_BLOCK_CLOSE = re.compile(r"\**\*/\s*$")
_STAR = re.compile(r"^[ \t]*(?:\*+(?=\s|$)|\*(?!/))[ \t]?")
_LINE_SIGN = re.compile(r"^[ \t]*(?://[/!]*<?|#+!?)")


def is_block(comment: str) -> bool:
    """Return whether a comment is a block between `/*` and `*/`."""
    return comment.lstrip().startswith("/*")


def without_signs(comment: str) -> str:
    """The text of a block comment, or of line comments one below the other, without the signs of the comment."""
    comment = comment[:MAX_COMMENT].replace("\0", "")
    if not is_block(comment):
        lines = [_LINE_SIGN.sub("", line).expandtabs().rstrip() for line in comment.split("\n")]
        indent = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
        return "\n".join(line[indent:] for line in lines).strip("\n")
    first, *rest = _BLOCK_CLOSE.sub("", _BLOCK_OPEN.sub("", comment)).split("\n")
    # Stars at the beginnings of most lines are signs; others mark the items of a list.
    starred = sum(line.lstrip().startswith("*") for line in rest)
    if 2 * starred >= sum(bool(line.strip()) for line in rest):
        rest = [_STAR.sub("", line) for line in rest]
    return cleandoc("\n".join([first, *rest]))
