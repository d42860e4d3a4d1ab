"""Comments close to plain text: Rust's Markdown, Go's text with links, Ruby's RDoc and YARD."""

from __future__ import annotations

import re

from telly.mining.repository.comments.markup import CODE, LINKS, MARKDOWN, without_html
from telly.mining.repository.comments.paragraph import finished, first_paragraph
from telly.mining.repository.comments.text import Rule, Verbatim, is_directive, without_signs

_NOTHING = re.compile(r"(?!)")
_FENCE = re.compile(r"^\s*(?:```|~~~)")

# Rust

_PATH = r"(?:\w+@)?(?:[A-Za-z_]\w*(?:<[^<>\[\]]*>)?(?:::|\.|\b))+(?:\(\)|!)?"
_RUST: tuple[Rule, ...] = (
    *MARKDOWN[: len(LINKS)],
    (re.compile(r"(?<![\w\])])\[(\x00\d+\x00)\](?![\[(])"), r"\1"),  # [`Type`]
    (re.compile(rf"(?<![\w\])])\[(?=\w\w)({_PATH})\](?![\[(\w])"), r"\1"),  # [Type]
    *MARKDOWN[len(LINKS) :],
)


def rustdoc(comment: str) -> str:
    """The description in a documentation comment of Rust, which is written in Markdown."""
    verbatim = Verbatim()
    text = without_html(verbatim.keep_all(without_signs(comment), CODE))
    return finished(first_paragraph(text.split("\n"), _FENCE, _NOTHING), _RUST, verbatim)


# Go

_GO_DIRECTIVE = re.compile(r"^//(?:[a-z0-9]+:[a-z0-9]|line |extern |export |\s*\+build\b)", re.MULTILINE)
_GO_STOP = re.compile(
    r"^(?:\t| {2,}|Deprecated:|```|@(?i:summary|description|id|tags|accept|produce|param|success|failure|header"
    r"|response|router|security|deprecated|x-\w+)\b)"
)
_SWAG_LEAD = re.compile(r"^\s*@(?:Summary|Description)\s+", re.IGNORECASE)
"""Swag describes the routes of a server in comments of tags, below a first line such as `Show godoc`."""
_SWAG_FIRST = re.compile(r"^\s*\w+ godoc\s*$")
_GO_TARGET = re.compile(r"^\s*\[([^\[\]]+)\]:\s+\S+$")
_GO_NAME = r"[A-Z]\w*(?:\.[A-Z]\w*)?"
_GO_LINK = re.compile(
    rf"(?<![^\s(\"'*-])\[(\*?(?:(?:[\w.-]+/)*[a-z]\w*\.)?{_GO_NAME}|[\w.-]+(?:/[\w.-]+)+)\](?![\w\[(])"
)


def godoc(comment: str) -> str:
    """The description in a comment of Go: plain text with links such as [Name]; indented lines are code."""
    verbatim = Verbatim()
    text = "\n".join(line for line in comment.split("\n") if not _GO_DIRECTIVE.match(line))
    lines = verbatim.keep_all(without_signs(text), CODE).split("\n")
    targets = [match[1] for line in lines if (match := _GO_TARGET.match(line))]
    rules: list[Rule] = [(_GO_LINK, r"\1")]
    rules += [(re.compile(rf"\[({re.escape(target)})\]"), r"\1") for target in targets]
    lines = [line for line in lines if not _GO_TARGET.match(line) and not _SWAG_FIRST.match(line)]
    return finished(first_paragraph(lines, _GO_STOP, _SWAG_LEAD), tuple(rules), verbatim, entities=False)


# Ruby

_RUBY_BLOCK = re.compile(r"\A=begin[^\n]*\n(.*?)(?:\n=end[^\n]*)?\Z", re.DOTALL)
_RUBY_HIDDEN = re.compile(r"^--\s*$.*?(?:^\+\+\s*$|\Z)", re.MULTILINE | re.DOTALL)
_RUBY_TYPE = re.compile(r"^#\s?(?::(?![a-z-]+:)|\||\s*@rbs\b).*$", re.MULTILINE)
_YARD_TAG = re.compile(r"^(\s*)@!?[a-z]")
_RDOC_BLOCK = re.compile(r"^(\s*):?(?:call-seq|section|category|title|main|include|args|yields|arg|notnew|enddoc):")
_RDOC_HEADING = re.compile(r"^\s*=+\s+\w")
_TOMDOC = re.compile(r"^(?:Public|Internal|Private):\s+(?=\w)")
_RUBY_VERBATIM: tuple[Rule, ...] = (
    *CODE,
    (re.compile(r"(?<![\w+])\+([\w.:?!#=@$\[\]<>-]+)\+(?![\w+])"), r"\1"),
    (re.compile(r"<(tt|code)>(.{1,400}?)</\1>"), r"\2"),
)
_RUBY: tuple[Rule, ...] = (
    (re.compile(r"\{((?:[A-Z]\w*|#\w+)(?:(?:::|#|\.)\w+[?!=]?)*)\}"), r"\1"),  # {Shop::Cart#add}
    (re.compile(r"\{(?:(?:[A-Z]\w*|#)(?:(?:::|#|\.)?\w+[?!=]?)*|https?:\S+)\s+([^{}]+)\}(?!\[)"), r"\1"),
    (re.compile(r"\{([^{}]+)\}\[(?:https?|mailto|rdoc-ref|link|rdoc-label):[^\[\]\s]*\]"), r"\1"),
    (re.compile(r"(?<!\w)(\w{1,80})\[(?:https?|mailto|rdoc-ref|link|rdoc-label):[^\[\]\s]*\]"), r"\1"),
    *LINKS,
    (re.compile(r"(?<![\w*\\])(\*{1,2})(\w(?:[^*]*[\w.!?])?)\1(?![\w*])"), r"\2"),
    (re.compile(r"<(b|em|i|strong)>([^<>]{1,400}?)</\1>"), r"\2"),
    (re.compile(r"(?<!\S)\\(?=[A-Z#])"), ""),  # keeps RDoc from making a link
)


def rubydoc(comment: str) -> str:
    """The description in a comment of Ruby, with the markup of RDoc and the tags of YARD."""
    block = _RUBY_BLOCK.match(comment)
    text = block[1] if block else without_signs(_RUBY_TYPE.sub("#", comment))
    verbatim = Verbatim()
    lines = verbatim.keep_all(_RUBY_HIDDEN.sub("", text), _RUBY_VERBATIM).split("\n")
    lines = ["" if _RDOC_HEADING.match(line) else line for line in _without_ruby_tags(lines)]
    paragraph = _TOMDOC.sub("", first_paragraph(lines, _FENCE, _NOTHING))
    return finished(paragraph, _RUBY, verbatim, entities=False)


def _without_ruby_tags(lines: list[str]) -> list[str]:
    """The lines without tags and the lines indented below them; the text continues after these, as YARD reads it."""
    text_lines: list[str] = []
    indent = -1
    for line in lines:
        if is_directive(line):
            continue
        tag = _YARD_TAG.match(line) or _RDOC_BLOCK.match(line)
        if tag:
            indent = len(tag[1])
        elif line.strip() and len(line) - len(line.lstrip()) <= indent:
            indent = -1
        text_lines.append("" if tag or indent >= 0 else line)
    return text_lines
