"""Comments of C and C++: Doxygen with its commands, kernel-doc, and plain comments."""

from __future__ import annotations

import re

from telly.mining.repository.comments.markup import CODE, EMPHASIS, LINKS, without_html
from telly.mining.repository.comments.paragraph import finished, first_paragraph
from telly.mining.repository.comments.tags import BRACED, TAGS_IN_TEXT
from telly.mining.repository.comments.text import Rule, Verbatim, without_signs

_WORD = r"(?:[\w:.$~#-]*\w(?:\(\))?)"
_DOXYGEN_VERBATIM: tuple[Rule, ...] = (
    (re.compile(r"[@\\]f\$(.*?)[@\\]f\$", re.DOTALL), r"\1"),
    (re.compile(rf"(?<!\w)[@\\](?:c|p)\s+(<?[^\s,;]*[^\s,;.:!?)]|{_WORD})"), r"\1"),
    (re.compile(r"(?<![\w:]):(?:[a-z]+:)?[a-z]+:`[~!]?([^`\n]{1,400})`"), r"\1"),  # Sphinx with Breathe
    *BRACED,
    *CODE,
)
_DOXYGEN: tuple[Rule, ...] = (
    *TAGS_IN_TEXT,
    (re.compile(rf"(?<!\w)[@\\](?:ref|subpage|xref)\s+{_WORD}\s+\"([^\"]*)\""), r"\1"),
    (re.compile(r"(?<!\w)[@\\](?:ref|subpage|a|e|b|em|cite)\s+(?=[\w:~#\"\x00<])"), ""),
    (re.compile(r"(?<!\w)[@\\]link\s+\S{1,200}\s+(.{1,300}?)\s*[@\\]endlink\b"), r"\1"),
    (re.compile(r"(?<!\w)[@\\]n\b(?=\s|$)"), " "),
    (re.compile(r"(?<!\w)%(?!(?:hh|ll|[hlLjzt])?[diouxXeEfFgGaAcspn]\b)(?=[A-Za-z_])"), ""),  # a word without a link
    *LINKS,
    *EMPHASIS,
    (re.compile(r"[\\@]([@\\&$#<>%\"*])"), r"\1"),
)
_DOXYGEN_LEAD = re.compile(r"^\s*[@\\](?:brief|short|details|summary|description|desc|abstract)\b:?\s*")
_DOXYGEN_STOP = re.compile(
    r"^\s*(?:[@\\](?:(?:code|verbatim(?!\s+embed)|dot|msc|startuml|htmlonly|latexonly|li|arg|par|cond|section|subsection"
    r"|image)(?!\w)|f\[|f\{)|```|~~~)"
)
_SECTIONS = (
    r"t?params?|returns?|result|retval|throws?|exceptions?|see|sa|notes?|warnings?|pre|post|invariant|authors?|dates?"
    r"|version|since|deprecated|todo|bug|test|remarks?|attention|copyright"
)
_DOXYGEN_LINE = re.compile(
    r"^\s*[@\\](?:fn|ingroup|internal|endinternal|callgraph|callergraph|hide\w+|showinitializer|static|pure|public\w*"
    r"|private\w*|protected\w*|memberof|overload|anchor|nosubgrouping|function|method|const|qualifier|endcond)\b.*$"
    rf"|^\s*[@\\](?!(?:{_SECTIONS})\s*$)\w+(?:\s+embed:\S+)?\s*$"
)
"""Commands whose whole line is not text."""
_DOXYGEN_SECTION = re.compile(r"^\s*[@\\](?!(?:c|p|a|e|b|em|ref|link|n|subpage|cite|xref|f\$)(?!\w))[A-Za-z]")
"""Any other command lasts until a blank line; what follows that is text again, as Doxygen reads it."""
_KERNEL_ARGUMENT = re.compile(r"^\s*@[\w.]+(?:\.\.\.)?:\s")
_PLAIN_STOP = re.compile(r"^\s*(?:[@\\](?:t?param|returns?|retval|brief|throws|see|type)\b|```)")
_DOXYGEN_SIGN = re.compile(r"^\s*(?:/\*\*(?![*/])|/\*!|///(?!/)|//!)")


def doxygen(comment: str) -> str:
    """The description in a comment of C or C++; only comments that Doxygen reads have its markup."""
    if not _DOXYGEN_SIGN.match(comment):
        verbatim = Verbatim()
        text = verbatim.keep_all(without_signs(comment), CODE)
        return finished(first_paragraph(text.split("\n"), _PLAIN_STOP, _DOXYGEN_LEAD), (), verbatim, entities=False)
    verbatim = Verbatim()
    text = verbatim.keep_all(without_signs(comment), _DOXYGEN_VERBATIM)
    lines = _without_doxygen_sections(without_html(text).split("\n"))
    return finished(first_paragraph(lines, _DOXYGEN_STOP, _DOXYGEN_LEAD), _DOXYGEN, verbatim)


def _without_doxygen_sections(lines: list[str]) -> list[str]:
    """The lines without those about parameters, results and the like, and without commands on lines of their own."""
    text_lines: list[str] = []
    within = False
    for line in lines:
        if not line.strip() or _DOXYGEN_LEAD.match(line) or _DOXYGEN_STOP.match(line):
            within = False
        elif _DOXYGEN_LINE.match(line):
            line = ""  # noqa: PLW2901
        elif _DOXYGEN_SECTION.match(line) or _KERNEL_ARGUMENT.match(line):
            within = True
        text_lines.append("" if within else line)
    return text_lines
