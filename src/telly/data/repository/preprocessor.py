"""C and C++ as a parser can read them that does not run the preprocessor: same length, same lines.

A conditional such as `#ifdef` may cut a function in two, and a macro may stand where a grammar expects none. The parser
then sees the text of one branch alone; what is taken from the file is still the text as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LITERAL = re.compile(rb'//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:\\.|[^"\\\n])*"|(?<!\w)\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
_DIRECTIVE = re.compile(
    rb"^[ \t]*#[ \t]*(if|ifdef|ifndef|elif|elifdef|elifndef|else|endif)\b((?:[^\n\\]|\\\n|\\.)*)", re.MULTILINE
)
_OTHER_DIRECTIVE = re.compile(rb"^[ \t]*#[ \t]*(?!if|elif|else|endif)\w(?:[^\n\\]|\\\n|\\.)*", re.MULTILINE)
_CLASS_MACRO = re.compile(
    rb"\b(?:class|struct|union)[ \t]+([A-Z][A-Z0-9_]+(?:[ \t]*\([^()\n]*\))?)"
    rb"(?=[ \t]+[A-Za-z_]\w*(?:[ \t]+final)?\s*(?:\{|:[^:;{}]*(?:::[^:;{}]*)*\{))"
)
_FUNCTION_MACRO = re.compile(
    rb"^[ \t]*(?:(?:static|extern|inline|virtual)[ \t]+)*((?:[A-Z_][A-Z0-9_]{2,}|__[a-z]+__)(?:[ \t]*\([^()\n]*\))?)"
    rb"(?=\s+(?!const\b|volatile\b|restrict\b)(?:(?:static|inline|const|unsigned|struct)[ \t]+)*"
    rb"[A-Za-z_]\w*[\s*&]+\w+\s*\()",
    re.MULTILINE,
)
_EXPORT = re.compile(rb"^[ \t]*(export)(?=[ \t]+[A-Za-z_])", re.MULTILINE)
_NAME_MACRO = re.compile(
    rb"\b(?!(?:struct|union|enum|class|const|volatile|static|inline|extern|virtual|explicit|constexpr|friend|register|typedef"
    rb"|unsigned|signed|return|else|throw|new|typename|case|goto)\b)[A-Za-z_]\w*[ \t*&]+"
    rb"(__[a-z][a-z_]*|[A-Z][A-Z0-9_]{2,})(?=[ \t]+\w+[ \t]*\()"
)
"""A macro between a function's type and its name, as in `int WINAPI f(`."""
_COMPLETE = b";}:"


@dataclass
class _Branch:
    """One branch of a conditional: where it begins and ends, how its brackets stand, and its first and last words."""

    start: int
    condition: bytes
    end: int = 0
    depth: int = 0
    lowest: int = 0
    braces: bool = False
    first: bytes = b""
    last: bytes = b""


@dataclass
class _Group:
    """A conditional with its branches, and the text of its directives."""

    branches: list[_Branch] = field(default_factory=list)
    directives: list[tuple[int, int]] = field(default_factory=list)


def without_class_macros(raw: bytes) -> bytes:
    """C++ without macros between `class` and a name, which parsers take for the class's name."""
    return _blanked(raw, [match.span(1) for match in _CLASS_MACRO.finditer(raw)])


def without_branches(raw: bytes) -> bytes:
    """A text with one branch alone of each conditional that cuts a statement, and without macros before functions."""
    masked = _OTHER_DIRECTIVE.sub(_spaces, _LITERAL.sub(_spaces, raw))
    code = _DIRECTIVE.sub(_spaces, masked)
    spans = [match.span(1) for match in (*_EXPORT.finditer(code), *_FUNCTION_MACRO.finditer(code))]
    spans += [match.span(1) for match in _NAME_MACRO.finditer(_blanked(code, spans))]
    open_groups: list[_Group] = []
    at = 0
    for match in _DIRECTIVE.finditer(masked):
        kind, condition = match[1], match[2].strip()
        if open_groups:
            _read(open_groups[-1].branches[-1], masked[at : match.start()])
        if kind.startswith(b"if"):
            open_groups.append(_Group([_Branch(match.end(), condition)], [match.span()]))
        elif open_groups:
            group = open_groups[-1]
            group.branches[-1].end = match.start()
            group.directives.append(match.span())
            if kind != b"endif":
                group.branches.append(_Branch(match.end(), condition))
            else:
                open_groups.pop()
                kept = _kept(group)
                if any(map(_is_cut, group.branches)):
                    spans += group.directives
                    spans += [(one.start, one.end) for one in group.branches if one is not kept]
                if open_groups:
                    _add(open_groups[-1].branches[-1], kept)
        at = match.end()
    return _blanked(raw, spans)


def _spaces(match: re.Match[bytes]) -> bytes:
    return _blank(match[0])


def _blank(text: bytes) -> bytes:
    return b"\n".join(b" " * len(line) for line in text.split(b"\n"))


def _kept(group: _Group) -> _Branch:
    """The first branch that is not empty and not that of `#if 0`."""
    return next((one for one in group.branches if one.last and one.condition != b"0"), group.branches[0])


def _read(branch: _Branch, text: bytes) -> None:
    """Add a piece of text to a branch."""
    for bracket in re.findall(rb"[()\[\]{}]", text):
        branch.depth += 1 if bracket in b"([{" else -1
        branch.lowest = min(branch.lowest, branch.depth)
    text = text.strip()
    branch.braces |= b"{" in text
    branch.first, branch.last = branch.first or text[:5], text[-1:] or branch.last


def _add(branch: _Branch, inner: _Branch) -> None:
    """Add what is read of a conditional to the branch that it stands in."""
    branch.lowest = min(branch.lowest, branch.depth + inner.lowest)
    branch.depth += inner.depth
    branch.braces |= inner.braces
    branch.first, branch.last = branch.first or inner.first, inner.last or branch.last


def _is_cut(branch: _Branch) -> bool:
    """Whether a branch is no sequence of whole statements or declarations."""
    if branch.depth or branch.lowest < 0 or re.match(rb"else\b", branch.first):
        return True
    return bool(branch.last) and not branch.braces and branch.last not in _COMPLETE


def _blanked(raw: bytes, spans: list[tuple[int, int]]) -> bytes:
    """The text with spaces in place of some pieces."""
    text = bytearray(raw)
    for start, end in spans:
        text[start:end] = _blank(raw[start:end])
    return bytes(text)
