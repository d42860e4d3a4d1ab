"""Plain words of a documentation comment: its first paragraph without comment signs, tags and markup.

Each style has its own rules, since one style's markup is another's text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from telly.metrics.words import unspaced_letters
from telly.mining.repository.comments import docstrings, doxygen, prose, tags, xmldoc

MIN_WORDS = 3


@dataclass(frozen=True)
class Style:
    """A style of documentation comments.

    Args:
        describe: function from a comment with its signs to the first paragraph in plain words on one line, or a blank.
        sign: beginning of comments that are documentation by the rules of the style.
        plain: whether other comments document a function as well, if they touch it.
        foreign: pattern of comments that document something other than the code after them.
        gap: maximum number of blank lines after a comment with the sign.
        joined: whether all comments with the sign before a function belong together.
        stacked: whether a function may have several such blocks, for instance one with its type alone.
    """

    describe: Callable[[str], str]
    sign: re.Pattern[str] = re.compile(r"/\*\*(?!/)")
    plain: bool = False
    foreign: re.Pattern[str] | None = None
    gap: int = 0
    joined: bool = False
    stacked: bool = False


_JS_FOREIGN = re.compile(
    r"^\W*@(?:file|fileoverview|overview|module|namespace|packageDocumentation|typedef|callback|license|preserve"
    r"|external|event)\b",
    re.MULTILINE,
)
_DOXYGEN_FOREIGN = re.compile(
    r"^\W*[@\\](?:file|defgroup|addtogroup|weakgroup|name|page|mainpage|def|typedef|struct|enum|union|class|namespace|var"
    r"|dir|\{|\})(?!\w)|^\s*(?:///?|//!|/\*[*!])<|[@\\][{}]\s*(?:\*/)?\s*$",
    re.MULTILINE,
)
# The sign `(?!)` matches nothing: in such a style comments are documentation by their place alone.
STYLES = {
    "docstring": Style(docstrings.describe, re.compile(r"(?!)")),
    "javadoc": Style(tags.javadoc, re.compile(r"/\*\*(?!/)|///(?!/)"), gap=1),
    "jsdoc": Style(tags.jsdoc, foreign=_JS_FOREIGN, gap=1, stacked=True),
    "phpdoc": Style(tags.phpdoc, foreign=re.compile(r"^\W*@(?:file|package|license|copyright)\b", re.MULTILINE), gap=1),
    "doxygen": Style(
        doxygen.doxygen, re.compile(r"/\*\*(?![*/])|/\*!|///(?!/)|//!"), plain=True, foreign=_DOXYGEN_FOREIGN, gap=1
    ),
    "xmldoc": Style(xmldoc.xmldoc, re.compile(r"///(?!/)|/\*\*(?![*/])"), gap=1, joined=True),
    "rustdoc": Style(prose.rustdoc, re.compile(r"///(?!/)|/\*\*(?![*/])"), joined=True),
    "godoc": Style(prose.godoc, re.compile(r"(?!)"), plain=True),
    "rubydoc": Style(prose.rubydoc, re.compile(r"(?!)"), plain=True),
}
"""The styles by their names in `Language.style`."""


def is_description(words: str) -> bool:
    """Return whether there are enough words to describe a function."""
    return len(words.split()) + unspaced_letters(words) // 2 >= MIN_WORDS
