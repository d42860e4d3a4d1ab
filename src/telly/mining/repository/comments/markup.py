"""Markdown and HTML within comments. Angle brackets and stars that are code or mentions of elements stay."""

from __future__ import annotations

import re

from telly.mining.repository.comments.text import Rule

_NO_BLANK_LINE = r"(?:[^`\n]|\n(?![ \t]*\n))"


def _span(match: re.Match[str]) -> str:
    """Inline code without its marks, unless these are quotes as in `this' and `that'."""
    inner: str = match[1]
    if inner.startswith((" ", "\n")) != inner.endswith((" ", "\n")) or not inner.strip():
        return match[0]
    return inner.strip()


CODE: tuple[Rule, ...] = (
    (re.compile(r"(?<!`)``(?!`)((?:[^\n]|\n(?![ \t]*\n)){1,400}?)(?<!`)``(?!`)"), _span),
    (re.compile(rf"(?<![`\\])`(?!`)({_NO_BLANK_LINE}{{1,400}})`(?!`)"), _span),
)
"""Inline code between backticks."""

LINKS: tuple[Rule, ...] = (
    (re.compile(r"(?<![\w\])])!?\[([^\[\]\n]+)\]\((?:[^()\s]|\([^()\s]*\))+(?:\s+(?:\"[^\"]*\"|'[^']*'))?\)"), r"\1"),
    (re.compile(r"(?<![\w\])])\[([^\[\]\n]+)\]\[[^\[\]\n]*[A-Za-z][^\[\]\n]*\]"), r"\1"),
    (re.compile(r"(?<![\w<])<((?:https?|mailto):[^<>\s]+)>"), r"\1"),
)
"""Links with their address in brackets or elsewhere; the words of a link stay."""
EMPHASIS: tuple[Rule, ...] = (
    (re.compile(r"(?<![\w*\\])(\*{1,3})([\w\x00](?:[^*]*[\w\x00.!?:)])?)\1(?![\w*])"), r"\2"),
    (re.compile(r"(?<![\w_\\])__(\w[^_]*\s[^_]*\w)__(?![\w_])"), r"\1"),  # several words, since one is a dunder
)
ESCAPES: tuple[Rule, ...] = ((re.compile(r"\\([*_`\[\]<>#|~])"), r"\1"),)
MARKDOWN: tuple[Rule, ...] = LINKS + EMPHASIS + ESCAPES

_ATTRIBUTES = r"(?:\s+[\w:-]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'<>]+))?)*\s*"
_MENTION = r"(?!\s*(?:and|or|,|/|\.\.\.?|…)\s*</)"
_INLINE = (
    r"abbr|a|big|bdo|b|cite|center|code|del|dfn|em|font|ins|i|kbd|mark|nobr|q|samp|small|span|strike|strong|sub|sup|s|tt|u"
    r"|var"
)
_BLOCKS = r"address|blockquote|caption|dd|div|dl|dt|h[1-6]|li|ol|pre|p|section|table|tbody|td|thead|th|tr|ul"
_NESTED = 8

_COMMENT = re.compile(r"<!--.{0,2000}?-->", re.DOTALL)
_PAIR = re.compile(
    rf"<({_INLINE}|(?:A|B|CODE|EM|I|PRE|STRONG|TT|U|VAR)){_ATTRIBUTES}>{_MENTION}((?:[^<]|<(?!/?\1\b)){{0,2000}}?)</\1\s*>"
)
_BLOCK_PAIR = re.compile(
    rf"<({_BLOCKS}|{_BLOCKS.upper()}){_ATTRIBUTES}>{_MENTION}((?:[^<]|<(?!/?\1\b)){{0,5000}}?)</\1\s*>"
)
_BLOCK_TAG = rf"</?(?:{_BLOCKS}|{_BLOCKS.upper()}|hr|HR){_ATTRIBUTES}/?>"
_BREAK = re.compile(
    rf"^[ \t]*{_BLOCK_TAG}|{_BLOCK_TAG}[ \t]*$|(?<=[.:!?;])[ \t]*<(?:p|P){_ATTRIBUTES}/?>|<[pP]\s*/>", re.MULTILINE
)
_LINE_BREAKS = re.compile(r"(?:<(?:br|BR)\s*/?>\s*){2,}")
_LINE_BREAK = re.compile(r"(?<![\w,] )<(?:br|BR)\s*/?>|<(?:br|BR)\s*/?>(?! [a-z])|<wbr\s*/?>")
"""Within a sentence, `replaces <br> with a blank`, it is a mention."""


def without_html(text: str) -> str:
    """A text of several lines without HTML's tags; those of blocks part paragraphs.

    A tag is only markup where it is closed, or where a block begins or ends. Type parameters such as `Map<A, B>` and
    mentions such as `a <table> of rows` stay.
    """
    if "<" not in text:
        return text
    text = _COMMENT.sub("", text)
    text = _LINE_BREAK.sub(" ", _LINE_BREAKS.sub("\n\n", text))
    text = _repeated(_PAIR, r"\2", text)
    text = _repeated(_BLOCK_PAIR, r"\n\n\2\n\n", text)
    return _BREAK.sub("\n\n", text)


def _repeated(pattern: re.Pattern[str], replacement: str, text: str) -> str:
    for _ in range(_NESTED):
        text, count = pattern.subn(replacement, text)
        if not count:
            break
    return text
