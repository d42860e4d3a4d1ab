"""Python docstrings: reStructuredText with its roles, Google and NumPy sections, epydoc and doctests.

A docstring often speaks of code without marking it, so brackets, operators, dunders and tags are text here.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from inspect import cleandoc

from telly.mining.repository.comments.text import (
    MAX_COMMENT,
    Rule,
    Verbatim,
    is_drawn,
    is_legal,
    is_note,
    one_line,
    without_frame,
)

_CODE_ROLES = r"(?:code|literal|math|samp|kbd|file|command|option|regexp|envvar|program)"
_VERBATIM: tuple[Rule, ...] = (
    (re.compile(r"\[`~([A-Za-z][\w.]*)(?:\(\))?`\](?![\[(])"), r"\1"),  # [`~Type`] of doc-builder
    (
        re.compile(r"(?:(?<![\w:]):(?:[a-z]+:)?[a-z]+:|(?<![`\w]))``(?=[^\s`])((?:(?!``).){1,400}?)(?<=\S)``(?!`)"),
        r"\1",
    ),
    (re.compile(rf"(?<![\w:]):(?:[a-z]+:)?{_CODE_ROLES}:`([^`]{{1,400}})`"), r"\1"),
    (re.compile(r"(?<![\w:]):(?:[a-z]+:)?[a-z]+:`~?([^`<]{1,400}?)\s*<[^`>]*>`"), r"\1"),  # :ref:`words <target>`
    (re.compile(r"(?<![\w:]):(?:[a-z]+:)?[a-z]+:`[~!]?([^`]{1,400})`"), r"\1"),  # :func:`name`
    (re.compile(r"(?<![`\w])`([^`<]{1,400}?)\s*<[^`>]+>`__?(?!\w)"), r"\1"),  # `words <address>`_
    (re.compile(r"(?<![`\w])`~([A-Za-z]\w*(?:\.\w+)+(?:\(\))?)`(?!`)"), r"\1"),  # `~package.name`
    (re.compile(r"(?<![`\w])`(?=[^\s`])([^`]{1,400})(?<=\S)`(?:__?(?!\w))?(?!`)"), r"\1"),
)
_ADDRESS = r"(?:https?://|mailto:|\.{0,2}/|#|[\w/.-]+\.(?:md|html?|rst|ipynb)\b)[^()\s]*(?:\([^()\s]*\)[^()\s]*)*"
_MARKUP: tuple[Rule, ...] = (
    (re.compile(rf"(?<![\w\])])!?\[([^\[\]]+)\]\({_ADDRESS}(?:\s+\"[^\"]*\")?\)"), r"\1"),  # [words](address)
    (re.compile(r"(?<![\w\])])\[(\x00\d+\x00|[A-Za-z][\w .]*)\]\[(?:[A-Za-z]\w*(?:\.\w+)+|(?<=\x00\]\[))\]"), r"\1"),
    (re.compile(r"(?<![\w\\}$])L\{([^{}<]+?)\s*<[^{}]*>\}"), r"\1"),
    (re.compile(r"(?<![\w\\}$])[BCILMU]\{([^{}]*)\}"), r"\1"),  # epydoc: L{Type}, B{bold}
    (re.compile(r"(?<![\w|])\|([A-Za-z](?:[\w ]*\w)?[A-Za-z])\|_{0,2}(?![\w|])"), r"\1"),  # substitutions of reST
    (re.compile(r"(?<![\w*\\])(\*{1,3})([\w\x00](?:[^*]*[\w\x00.!?)])?)\1(?![\w*])"), r"\2"),
    (re.compile(r"(?<![\w\\])\\(\*)\\?(\*?)(?=\w)"), r"\1\2"),  # \*args
    (re.compile(r"(?<!\w)(\[[\w.-]+\])_(?!\w)"), r"\1"),  # [1]_
    (re.compile(r"(?<![\w\])])\[(\x00\d+\x00)\](?![\[(])"), r"\1"),  # [`Type`]
    (re.compile(r"(?:\s+|(?<=[.!?:;,]))::$"), ""),
    (re.compile(r"::$"), ":"),
)

_QUALIFIED = (
    r"(?:(?:Optional|Required|Positional|Keyword|Named|Input|Output|Function|Method|Other|Additional|Extra) )?"
    r"(?:Args|Arguments|Parameters|Params|Kwargs)(?: \([^()]*\))?"
)
_PARTS = rf"{_QUALIFIED}|Keyword arguments|Hyperparameters|Returns?|Return [Vv]alues?|Raises|Yields?|Attributes"
_REMARKS = (
    "Receives|Examples?|Usage|Notes?|See Also|References|Methods|Warns|Warnings?|Todo|Throws|Errors|Inputs?|Outputs?"
    "|Options"
)
_SECTION = re.compile(rf"^[*_]*(?:{_PARTS}|{_REMARKS}|Properties|Shape|Side Effects)\s*:?[*_]*\s*$", re.IGNORECASE)
_PARAMETERS = re.compile(r"^(?:Other )?(?:Parameters|Arguments|Args|Params)\b")
_STOP = re.compile(
    rf"^(?:[*_]*(?:{_PARTS}|{_REMARKS})[*_]*\s*:[*_]*\s*$|(?-i:{_PARTS})\s*:(?:\s|$)|(?-i:Args|Arguments|Parameters|Params)\s*$"
    r"|(?-i:[Pp]aram(?:eter)? \w+\s*:|\\param\b)"
    r"|(?-i::[A-Za-z][\w ,.*\[\]()|/-]*:(?!`))"  # reST's field lists
    r"|(?-i:>>>|```|~~~|(?:\.\.|!!!)\s\S|\$ )"
    r"|@(?-i:param|type|arg|argument|returns?|rtype|raises?|except|exception|throws|keyword|kwarg|kwparam|[ic]?var|note|see"
    r"|since|version|author|todo|deprecated|warning|bug|attention|precondition|postcondition|requires|invariant|group"
    r"|sort|undocumented|status|contact|license|copyright|change|changed|permission|example)\b)",
    re.IGNORECASE,
)
_BARE_TITLE = re.compile(r"^(?:Returns|Raises|Yields)$")
_UNDERLINE = re.compile(r"^([-=~^\"'`#*+])\1{2,}$")
_HEADING = re.compile(r"^#{1,6}\s+(.*)$")
_SIGNATURE = re.compile(r"^[\w.]+\((?:[^()]|\([^()]*\))*\)(?:\s*->\s*(?:[\w.]*\[[^\]]*\]|[\w.]+))?(?:\s*--)?$")
_LEAD = re.compile(r"^@brief\s+")
_DIRECTIVE = re.compile(r"^(?:\.\.|!!!|\?\?\?\+?)(?:\s|$)")
_TITLE_WORDS = 3
"""Minimum number of words of a title that describes the function."""


def docstring_value(literal: str) -> str | None:
    """The text of a docstring as Python reads it; None for other expressions, such as bytes and f-strings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's code are not our user's business
            expression = ast.parse(f"({literal}\n)", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return expression.value if isinstance(expression, ast.Constant) and isinstance(expression.value, str) else None


def describe(docstring: str) -> str:
    """The first paragraph of a docstring, given as Python reads it, in plain words on one line."""
    lines = cleandoc(docstring[:MAX_COMMENT].replace("\0", "")).split("\n")
    for paragraph in _paragraphs(lines):
        lines = paragraph[1:] if len(paragraph) > 1 and _SIGNATURE.match(paragraph[0]) else paragraph
        text = one_line(" ".join(lines))
        if is_legal(text):
            return ""
        if not _SIGNATURE.match(text) and not is_note(text):
            return _in_plain_words(_LEAD.sub("", text))
    return ""


def _in_plain_words(text: str) -> str:
    verbatim = Verbatim()
    text = verbatim.keep_all(text, _VERBATIM)
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return one_line(verbatim.restore(without_frame(text)))


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    """Paragraphs before the first section. Titles of a word or two and directives before a text are passed over."""
    paragraph: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        titled = _is_title(lines, at)
        heading = _HEADING.match(line)
        if titled or heading:
            title = heading[1] if heading else line
            if _SECTION.match(title) or (titled and _PARAMETERS.match(title)):
                break
            if not heading and (paragraph or len(title.split()) >= _TITLE_WORDS):
                paragraph.append(title)
            at += bool(titled)
            line = ""
        if is_drawn(line) or (_DIRECTIVE.match(line) and not paragraph):
            if paragraph:
                yield paragraph
                paragraph = []
            at = _after_block(lines, at) if line and _DIRECTIVE.match(line) else at + 1
            continue
        if _STOP.match(line) or (paragraph and _BARE_TITLE.match(line)):
            break
        paragraph.append(line)
        at += 1
    if paragraph:
        yield paragraph


def _after_block(lines: list[str], at: int) -> int:
    """The line after a directive and the lines that are indented below it."""
    indent = len(lines[at]) - len(lines[at].lstrip())
    at += 1
    while at < len(lines) and (not lines[at].strip() or len(lines[at]) - len(lines[at].lstrip()) > indent):
        at += 1
    return at


def _is_title(lines: list[str], at: int) -> bool:
    """Return whether a line is underlined and has text below; otherwise it is a sentence in a box."""
    if is_drawn(lines[at]) or at + 1 >= len(lines) or not _UNDERLINE.match(lines[at + 1].strip()):
        return False
    return not all(map(is_drawn, lines[at + 2 :])) or _SECTION.match(lines[at].strip()) is not None
