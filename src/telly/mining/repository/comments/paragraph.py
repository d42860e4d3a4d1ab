"""The first paragraph of a comment whose signs and verbatim pieces are taken out."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from telly.mining.repository.comments.text import (
    Rule,
    Verbatim,
    is_banner,
    is_legal,
    one_line,
    paragraphs,
    without_frame,
)

_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*)$")
_SECTION_TITLE = re.compile(
    r"^(?:(?:(?:optional|required|keyword|named|input|output|function|template|other) )?"
    r"(?:args|arguments|parameters|params)|inputs?|outputs?|returns?(?: values?)?|throws|raises|errors|panics|safety"
    r"|examples?|usage|notes?|see also|references|options|todo|warnings?)\s*:?$",
    re.IGNORECASE,
)
_SECTION_LINE = re.compile(
    r"^\W{0,2}(?:Arg(?:ument)?s?|ARG(?:UMENT)?S?|Param(?:eter)?s?|PARAM(?:ETER)?S?|Inputs?|INPUTS?|Outputs?|OUTPUTS?"
    r"|Returns?(?: values?)?|RETURNS?|Return [Vv]alues?)\s*:\s"
)
"""A line that begins a list of parameters or results."""
_NAME_FIRST = re.compile(r"^[\w.:]+\(\)\s+[-\u2013]\s+(?=\w)")  # kernel-doc: `name() - what it does`


def first_paragraph(lines: list[str], stop: re.Pattern[str], lead: re.Pattern[str]) -> str:
    """The first paragraph before a tag, or else the one that a tag such as `@description` begins."""
    begin = next((at for at, line in enumerate(lines) if line.strip()), 0)
    if begin < len(lines):
        lines = [*lines[:begin], lead.sub("", lines[begin]), *lines[begin + 1 :]]
    paragraph = _before_sections(lines, stop)
    if not paragraph:
        begin = next((at for at, line in enumerate(lines) if lead.match(line)), len(lines))
        paragraph = _before_sections(
            [lead.sub("", line) for line in lines[begin : begin + 1]] + lines[begin + 1 :], stop
        )
    return paragraph


def _before_sections(lines: Iterable[str], stop: re.Pattern[str]) -> str:
    """The first paragraph before a section; other titles are passed over."""
    body: list[str] = []
    for line in lines:
        heading = _HEADING.match(line)
        title = heading[1].strip() if heading else line.strip()
        if _SECTION_LINE.match(title) or (_SECTION_TITLE.match(title) and (heading or title.endswith(":"))):
            break
        body.append("" if heading else line)
    return " ".join(next(paragraphs(body, stop), []))


def finished(paragraph: str, inline: tuple[Rule, ...], verbatim: Verbatim, *, entities: bool = True) -> str:
    """A paragraph of a comment in plain words on one line; blank for a licence or the title of a section."""
    text = one_line(paragraph)
    if is_legal(text) or is_banner(text):
        return ""
    for pattern, replacement in inline:
        text = pattern.sub(replacement, text)
    text = html.unescape(text) if entities else text
    return one_line(verbatim.restore(_NAME_FIRST.sub("", without_frame(text))))
