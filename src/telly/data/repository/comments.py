"""What a comment says in plain words: its first paragraph without comment signs, tags and markup.

One pipeline for all styles, since they mix in practice (Markdown in Javadoc, Javadoc tags in C++): signs off, XML and
tags, the first paragraph, then what marks words. Tables hold what is known of each style.
"""

from __future__ import annotations

import html
import re
from inspect import cleandoc

MAX_COMMENT = 20_000  # characters; the first paragraph stands long before
MIN_WORDS = 3

_BLOCK_OPEN = re.compile(r"^\s*/\*[*!]*<?")
_BLOCK_CLOSE = re.compile(r"\**\*/\s*$")
_STAR = re.compile(r"^[ \t]*\*+(?!/)[ \t]?", re.MULTILINE)
_LINE_SIGN = re.compile(r"^[ \t]*(?://[/!]?<?|#+!?)[ \t]?", re.MULTILINE)
_RUBY_BLOCK = re.compile(r"\A=begin[^\n]*\n(.*?)(?:\n=end[^\n]*)?\Z", re.DOTALL)

_DIRECTIVE = re.compile(
    r"^\s*(?:go:\w+|\+build\b|nolint\b|lint:|export\s+\w+$|rubocop:|frozen_string_literal:|encoding:|-\*-|:nodoc:"
    r"|eslint[- ]|eslint-disable|prettier-|@ts-|istanbul |NOLINT|clang-format|cppcheck-|noqa\b|pylint:|type:\s*ignore"
    r"|SPDX-|Copyright\b|\(c\) )"
)
"""Lines for a tool or a lawyer, not for a reader."""
_DRAWN = re.compile(r"^[\W_]*$")
"""Lines of signs alone, as in boxes and rules."""

_LEADING_TAG = re.compile(r"^\s*[@\\](?:brief|short|summary|description|desc|details?|abstract)\b:?\s*", re.IGNORECASE)
_TAG_LINE = re.compile(r"^\s*(?:[@\\][A-Za-z][\w-]*|:[a-z][\w ,.*\[\]]*:(?!`))")
"""Javadoc, JSDoc, PHPDoc, YARD, Doxygen and epydoc tags, and reST's field lists."""
_SECTION = re.compile(
    r"^\s*(?:#+\s.*|(?:Args|Arguments|Parameters|Params|Keyword Args|Keyword Arguments|Other Parameters|Returns?|Raises"
    r"|Yields?|Examples?|Usage|Notes?|See Also|References|Attributes|Methods|Warnings?|Todo|Throws|Errors|Panics|Safety"
    r"|Inputs?|Outputs?|Options)\s*:\s*)$",
    re.IGNORECASE,
)
_UNDERLINE = re.compile(r"^\s*([-=~^\"'#*+])\1{2,}\s*$")
_DOCTEST = re.compile(r"^\s*(?:>>>|\.\. |```|~~~|\$ )")

_XML_SUMMARY = re.compile(r"<summary>(.*?)(?:</summary>|\Z)", re.DOTALL | re.IGNORECASE)
_XML_REFERENCE = re.compile(
    r"<(?:see|seealso|paramref|typeparamref)\b[^>]*?(?:cref|name|langword|href)\s*=\s*\"(?:\w:)?([^\"]*)\"[^>]*?/>",
    re.IGNORECASE,
)
_BREAK = re.compile(
    r"</?(?:p|para|ul|ol|dl|pre|table|h[1-6]|blockquote|hr)\b[^<>]*>|(?:<br\s*/?>\s*){2,}", re.IGNORECASE
)
_HTML = re.compile(
    r"</?(?:a|abbr|b|big|br|c|center|cite|code|dd|del|div|dt|em|font|i|img|ins|item|kbd|li|list|listheader|q|remarks|s"
    r"|samp|see|seealso|small|span|strike|strong|sub|summary|sup|tbody|td|term|description|th|thead|tr|tt|u|value|var"
    r"|param|returns|exception|typeparam|example|inheritdoc)\b[^<>]*>",
    re.IGNORECASE,
)
_PARTING = frozenset({"br", "br/", "dd", "div", "dt", "item", "li", "td", "th", "tr"})
_HTML_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)

_WORDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\{@(?:link|linkplain|see|tutorial)\s+[^\s}|]+[\s|]+([^}]+)\}", r"\1"),  # {@link Type words}
        (r"\{@(?:link|linkplain|see|tutorial)\s+#?([^\s}]+)\}", r"\1"),
        (r"\{@(?:code|literal|value|index|snippet)\s*([^{}]*)\}", r"\1"),
        (r"\{@\w+[^{}]*\}", ""),  # {@inheritDoc}
        (r"(?<![\w:]):(?:[a-z]+:)?[a-z]+:`~?([^`<]*?)\s*<[^`>]*>`", r"\1"),  # :ref:`words <target>`
        (r"(?<![\w:]):(?:[a-z]+:)?[a-z]+:`[~!]?([^`]*)`", r"\1"),  # :func:`name`
        (r"`([^`<]+?)\s*<[^`>]+>`__?", r"\1"),  # `words <address>`_
        (r"!?\[([^\]\n]+)\]\((?:[^()\s]|\([^()\s]*\))*(?:\s+\"[^\"]*\")?\)", r"\1"),  # [words](address)
        (r"\[(`?[\w:.#<>()]+`?)\](?:\[[^\]\n]*\])?", r"\1"),  # [`Type`] of rustdoc and godoc
        (r"\[\[([^\]\n]+)\]\]", r"\1"),
        (r"[LU]\{([^{}<]+?)\s*<[^{}]*>\}", r"\1"),
        (r"[LBCIUMGESX]\{([^{}]*)\}", r"\1"),  # epydoc: L{Type}, B{bold}
        (r"[@\\](?:c|p|a|e|b|em|ref|link)\s+(?=\S)", ""),  # Doxygen: \c name
        (r"[@\\]endlink\b", ""),
        (r"``([^`]*)``", r"\1"),
        (r"`([^`]*)`_{0,2}", r"\1"),
        (r"(?<!\w)\|([\w ]+)\|_?(?!\w)", r"\1"),  # substitutions of reST
        (r"(?<![\w*])\*{1,3}(\w(?:[^*\n]*[\w.!?)])?)\*{1,3}(?![\w*])", r"\1"),
        (r"(?<!\w)__(\w[^_\n]*\w)__(?!\w)", r"\1"),
        (r"(?<![\w+])\+([\w.:]+)\+(?![\w+])", r"\1"),  # RDoc: +name+
        (r"\s+", " "),
    )
)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def without_signs(comment: str) -> str:
    """The text of one comment, or of several lines of comments, without what marks it as a comment."""
    comment = comment[:MAX_COMMENT]
    ruby = _RUBY_BLOCK.match(comment)
    if ruby:
        return ruby[1]
    if _BLOCK_OPEN.match(comment):
        inner = _BLOCK_CLOSE.sub("", _BLOCK_OPEN.sub("", comment))
        return cleandoc(_STAR.sub("", inner))
    return cleandoc(_LINE_SIGN.sub("", comment))


def description(text: str) -> str:
    """The first paragraph of a documentation text as plain words on one line; blank where there is none.

    Args:
        text: a docstring, or a comment after `without_signs`.
    """
    text = _HTML_COMMENT.sub("", cleandoc(text[:MAX_COMMENT]).replace("\r", ""))
    summary = _XML_SUMMARY.search(text)
    if summary:
        text = summary[1].strip()
    text = _BREAK.sub("\n\n", _XML_REFERENCE.sub(r"\1", text))
    words = _HTML.sub(_without_tag, " ".join(_first_paragraph(text)))
    words = html.unescape(words)
    for pattern, replacement in _WORDS:
        words = pattern.sub(replacement, words)
    return words.encode(errors="replace").decode().strip(" \t-*#=_/\\")


def _without_tag(tag: re.Match[str]) -> str:
    """A blank for a tag that parts words, nothing for one that marks them."""
    return " " if tag[0].strip("</>").split()[0].lower() in _PARTING else ""


def is_description(words: str) -> bool:
    """Whether there are enough words to say what a function does."""
    return len(words.split()) + len(_CJK.findall(words)) // 2 >= MIN_WORDS


def _is_title(lines: list[str], at: int) -> bool:
    """Whether a line is underlined and has text below; else it is a sentence in a box."""
    underlined = at + 1 < len(lines) and _UNDERLINE.match(lines[at + 1])
    return bool(underlined) and not all(map(_DRAWN.match, lines[at + 2 :]))


def _first_paragraph(text: str) -> list[str]:
    lines = text.split("\n")
    kept: list[str] = []
    for at, line in enumerate(lines):
        if _DIRECTIVE.match(line):
            continue
        if not kept:
            line = _LEADING_TAG.sub("", line)  # noqa: PLW2901 - `@brief What it does` is the description itself
        if _DRAWN.match(line) or _is_title(lines, at):
            if kept:
                break
            continue
        if _TAG_LINE.match(line) or _SECTION.match(line) or _DOCTEST.match(line):
            break
        kept.append(line.strip())
    return kept
