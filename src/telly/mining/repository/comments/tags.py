"""Comments with tags: Javadoc, JSDoc with TSDoc, and PHPDoc."""

from __future__ import annotations

import re
from dataclasses import dataclass

from telly.mining.repository.comments.markup import CODE, EMPHASIS, LINKS, MARKDOWN, without_html
from telly.mining.repository.comments.paragraph import finished, first_paragraph
from telly.mining.repository.comments.text import Rule, Verbatim, is_block, without_signs

_REFERENCE = r"[^\s(){}|]+(?:\([^)}]*\))?"
_LINK = r"\{@(?:link|linkplain|linkcode|see|seealso|tutorial)\s+"
BRACED: tuple[Rule, ...] = (
    (re.compile(r"\{@(?:code|literal)\s+((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"), r"\1"),
    (re.compile(r"\{@(?:value|systemProperty)\s+#?([^{}]*)\}"), r"\1"),
)
TAGS_IN_TEXT: tuple[Rule, ...] = (
    (re.compile(r"\[([^\[\]\n]+)\]\{@(?:link|tutorial)[^{}]*\}"), r"\1"),  # JSDoc's [words]{@link target}
    (re.compile(rf"{_LINK}{_REFERENCE}\s*\|\s*([^{{}}]+)\}}"), r"\1"),
    (re.compile(rf"{_LINK}{_REFERENCE}\s+([^{{}}]+)\}}"), r"\1"),
    (re.compile(rf"{_LINK}#?({_REFERENCE})\s*\}}"), r"\1"),
    (re.compile(r"\{@return\s+([^{}]+)\}"), r"Returns \1."),
    (re.compile(r"\{@index\s+(\"[^\"]*\"|\S+)[^{}]*\}"), r"\1"),
    (re.compile(r"\{@summary\s+([^{}]*)\}"), r"\1"),
    (re.compile(r"\{@\w+[^{}]*\}"), ""),  # {@inheritDoc}
)
_FENCE = r"\s*(?:```|~~~)"
_TAG = re.compile(rf"^(?:\s*@[A-Za-z](?![\w-]*/)|{_FENCE})")
_LEAD = re.compile(r"^\s*@(?:brief|short|summary|description|desc|details)\b:?\s*", re.IGNORECASE)
_MODIFIER = re.compile(
    r"^\s*@(?:(?:private|protected|public|package|internal|async|static|override|abstract|readonly|sealed|virtual|alpha"
    r"|beta|experimental|api|final|generator|inner|instance|global|ignore|hidden|test|constructor|class|ngdoc\s+\w+)\s*"
    r"|(?:function|func|method|memberof!?|name|kind|access|category|group|alias|exports|constructs|since|version)"
    r"(?:\s+[^\s.]\S*)?\s*)$",
    re.IGNORECASE,
)
"""Tags that stand alone; what follows them is text again."""


@dataclass(frozen=True)
class Tagged:
    """Features of a comment style with tags.

    Args:
        verbatim: rules for pieces that no other rule may change.
        inline: rules for markup within the first paragraph.
        modifiers: whether tags may stand alone before the text.
    """

    verbatim: tuple[Rule, ...]
    inline: tuple[Rule, ...]
    modifiers: bool = False


JAVADOC = Tagged(BRACED + CODE, ())
MARKDOWN_JAVADOC = Tagged(BRACED + CODE, MARKDOWN)
JSDOC = Tagged(BRACED + CODE, MARKDOWN, modifiers=True)
PHPDOC = Tagged(BRACED + CODE, LINKS + EMPHASIS, modifiers=True)


def javadoc(comment: str) -> str:
    """The description in a Javadoc comment; one of lines with three slashes is written in Markdown."""
    return _described(without_signs(comment), JAVADOC if is_block(comment) else MARKDOWN_JAVADOC)


def jsdoc(comment: str) -> str:
    """The description in a comment of JSDoc or TSDoc."""
    return _described(without_signs(comment), JSDOC)


def phpdoc(comment: str) -> str:
    """The description in a PHPDoc comment."""
    return _described(without_signs(comment), PHPDOC)


def _described(text: str, style: Tagged) -> str:
    verbatim = Verbatim()
    text = verbatim.keep_all(text, style.verbatim)
    for pattern, replacement in TAGS_IN_TEXT:
        text = pattern.sub(replacement, text)
    lines = without_html(text).split("\n")
    if style.modifiers:
        lines = ["" if _MODIFIER.match(line) else line for line in lines]
    return finished(first_paragraph(lines, _TAG, _LEAD), style.inline, verbatim)
