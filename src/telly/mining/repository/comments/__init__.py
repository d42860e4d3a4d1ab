"""Plain words of a documentation comment: its first paragraph without comment signs, tags and markup.

The signs are what makes a text a comment, such as `/**`, `*` and `//`. Each style has its own rules, since one style's
markup is another's text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from telly.metrics.words import unspaced_letters
from telly.mining.repository.comments import docstrings, doxygen, prose, tags, xmldoc

MIN_WORDS = 3
"""Number of words below which a comment, such as `Constructor.`, says too little to be a description."""
_NEVER = re.compile(r"(?!)")
"""A pattern that matches nothing."""


@dataclass(frozen=True)
class Style:
    """A style of documentation comments.

    Args:
        describe: returns the first paragraph of a comment, given with its signs, in plain words on one line; "" if it
            has none.
        sign: beginning of the comments that are documentation by the rules of the style, such as `/**`.
        plain: whether comments without the sign, such as `//`, document a function as well, if they touch it.
        foreign: pattern of comments that document something other than the code after them, such as the file.
        max_gap: maximum number of blank lines between a comment with the sign and the code that it documents.
        joined: whether all comments with the sign before a function are one text, even with other lines between them.
        stacked: whether a function may have several blocks with the sign one below the other, for instance one that
            gives its type alone.
    """

    describe: Callable[[str], str]
    sign: re.Pattern[str] = re.compile(r"/\*\*(?!/)")
    plain: bool = False
    foreign: re.Pattern[str] | None = None
    max_gap: int = 0
    joined: bool = False
    stacked: bool = False


# Tags of comments about a file, module or type, which may stand directly before a function.
_JS_FOREIGN = re.compile(
    r"^\W*@(?:file|fileoverview|overview|module|namespace|packageDocumentation|typedef|callback|license|preserve"
    r"|external|event)\b",
    re.MULTILINE,
)
_PHP_FOREIGN = re.compile(r"^\W*@(?:file|package|license|copyright)\b", re.MULTILINE)
# Likewise; and `/**<` and `///<` document what is before them, `@{` and `@}` open and close a group.
_DOXYGEN_FOREIGN = re.compile(
    r"^\W*[@\\](?:file|defgroup|addtogroup|weakgroup|name|page|mainpage|def|typedef|struct|enum|union|class|namespace|var"
    r"|dir|\{|\})(?!\w)|^\s*(?:///?|//!|/\*[*!])<|[@\\][{}]\s*(?:\*/)?\s*$",
    re.MULTILINE,
)
# Where the sign never matches, comments are documentation by their position alone.
STYLES = {
    "docstring": Style(docstrings.describe, _NEVER),
    "javadoc": Style(tags.javadoc, re.compile(r"/\*\*(?!/)|///(?!/)"), max_gap=1),
    "jsdoc": Style(tags.jsdoc, foreign=_JS_FOREIGN, max_gap=1, stacked=True),
    "phpdoc": Style(tags.phpdoc, foreign=_PHP_FOREIGN, max_gap=1),
    "doxygen": Style(
        doxygen.doxygen,
        re.compile(r"/\*\*(?![*/])|/\*!|///(?!/)|//!"),
        plain=True,
        foreign=_DOXYGEN_FOREIGN,
        max_gap=1,
    ),
    "xmldoc": Style(xmldoc.xmldoc, re.compile(r"///(?!/)|/\*\*(?![*/])"), max_gap=1, joined=True),
    "rustdoc": Style(prose.rustdoc, re.compile(r"///(?!/)|/\*\*(?![*/])"), joined=True),
    "godoc": Style(prose.godoc, _NEVER, plain=True),
    "rubydoc": Style(prose.rubydoc, _NEVER, plain=True),
}
"""The styles by their names in `Language.style`."""


def is_description(text: str) -> bool:
    """Return whether a text has enough words to describe a function."""
    # In scripts without spaces, such as Chinese, two letters count as a word.
    return len(text.split()) + unspaced_letters(text) // 2 >= MIN_WORDS
