"""C, C++ and C# for a parser that does not run the preprocessor: blanked text of the same length and lines.

A conditional such as `#ifdef` may cut a function in two, and a macro may be where a grammar expects none. The parser
then sees the text of one branch alone; functions are still taken from the original text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LITERAL = re.compile(
    rb'"""(?!").*?"""|@"(?:[^"]|"")*"|//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:\\.|[^"\\\n])*"|(?<!\w)\'(?:\\.|[^\'\\\n])*\'',
    re.DOTALL,
)
_DIRECTIVE = re.compile(
    rb"^[ \t]*#[ \t]*(if|ifdef|ifndef|elif|elifdef|elifndef|else|endif)\b((?:[^\n\\]|\\\n|\\.)*)", re.MULTILINE
)
_OTHER_DIRECTIVE = re.compile(rb"^[ \t]*#[ \t]*(?!if|elif|else|endif)\w(?:[^\n\\]|\\\n|\\.)*", re.MULTILINE)
_CLASS_MACRO = re.compile(
    rb"\b(?:class|struct|union)[ \t]+([A-Z][A-Z0-9_]+(?:[ \t]*\([^()\n]*\))?)"
    rb"(?=[ \t]+[A-Za-z_]\w*(?:[ \t]+final)?\s*(?:\{|:[^:;{}]*(?:::[^:;{}]*)*\{))"
)
_ARGUMENTS = rb"(?:[ \t]*\([^()\n]*\))?"
_MACRO = rb"(?:[A-Z_][A-Z0-9_]{2,}|__[a-z][a-z_]*|_[A-Z]\w*)\b"
_TYPE = rb"[A-Za-z_~][\w:~]*(?:<[^;{}()\n]*>)?"
_FUNCTION_MACRO = re.compile(
    rb"^[ \t]*(?:template[ \t]*<[^;{}()\n]*>[ \t]*)?(?:(?:static|extern|inline|virtual)[ \t]+)*"
    rb"(" + _MACRO + _ARGUMENTS + rb")(?=\s+(?!const\b|volatile\b|restrict\b)"
    rb"(?:(?:static|inline|const|unsigned|struct)[ \t]+)*"
    + _TYPE
    + rb"(?:"
    + _ARGUMENTS
    + rb"[\s*&]+"
    + _TYPE
    + rb"){1,3}\s*\()",
    re.MULTILINE,
)
"""A macro before a function's type, as in `INLINE int f(`, of several the first."""
_EXPORT = re.compile(rb"^[ \t]*(export)(?=[ \t]+[A-Za-z_])", re.MULTILINE)
_NAME_MACRO = re.compile(
    rb"\b(?!(?:struct|union|enum|class|const|volatile|static|inline|extern|virtual|explicit|constexpr|friend|register|typedef"
    rb"|unsigned|signed|return|else|throw|new|typename|case|goto)\b)[A-Za-z_]\w*[ \t*&]+"
    rb"(" + _MACRO + _ARGUMENTS + rb")(?=\s+\w+[ \t]*\()"
)
"""A macro between a function's type and its name, as in `int WINAPI f(`."""
_LAST_MACRO = re.compile(rb"\)(?:\s*const\b)?\s*(\b[A-Z_][A-Z0-9_]{2,}" + _ARGUMENTS + rb")(?=\s*\{)")
"""A macro between a function's parameters and its body, as in `f() REQUIRES(mutex) {`."""
_CONTINUES = re.compile(rb"(?:else|catch|finally)\b")
MAX_MACROS = 4
"""Maximum number of macros before one function."""
_COMPLETE = b";}:"


@dataclass
class _Branch:
    """One branch of a conditional.

    Attributes:
        start: offset of its beginning.
        condition: condition of its directive.
        end: offset of its end.
        depth: number of brackets opened and not closed; negative if more are closed.
        lowest: minimum of this number within the branch.
        braces: whether there is an opening brace.
        first: its first characters.
        last: its last character.
    """

    start: int
    condition: bytes
    end: int = 0
    depth: int = 0
    lowest: int = 0
    braces: bool = False
    first: bytes = b""
    last: bytes = b""


@dataclass
class _Conditional:
    """A conditional: the character before it, its branches and the text of its directives."""

    after: bytes
    branches: list[_Branch] = field(default_factory=list)
    directives: list[tuple[int, int]] = field(default_factory=list)


def without_class_macros(raw: bytes) -> bytes:
    """C++ without macros between `class` and a name, which parsers take for the class's name."""
    return _blanked(raw, [match.span(1) for match in _CLASS_MACRO.finditer(raw)])


def without_branches(raw: bytes, *, macros: bool = True) -> bytes:
    """A text with only one branch of each conditional that cuts a statement.

    Args:
        raw: the text.
        macros: whether to blank macros around the heads of functions, which C# does not have, as well.
    """
    # Literals, comments and other directives are blanked first, so that brackets and directives in them do not count.
    masked = _OTHER_DIRECTIVE.sub(_spaces, _LITERAL.sub(_spaces, raw))
    spans = _macros(_DIRECTIVE.sub(_spaces, masked)) if macros else []
    open_groups: list[_Conditional] = []
    at = 0
    last = b""
    for match in _DIRECTIVE.finditer(masked):
        kind, condition = match[1], match[2].strip()
        text = masked[at : match.start()].strip()
        last = text[-1:] or last
        if open_groups:
            _add_text(open_groups[-1].branches[-1], text)
        if kind.startswith(b"if"):
            open_groups.append(_Conditional(last, [_Branch(match.end(), condition)], [match.span()]))
        elif open_groups:
            group = open_groups[-1]
            group.branches[-1].end = match.start()
            group.directives.append(match.span())
            if kind != b"endif":
                group.branches.append(_Branch(match.end(), condition))
            else:
                open_groups.pop()
                chosen = _chosen_branch(group)
                # Conditionals between whole statements stay, since all their branches parse.
                if any(_is_cut(branch, group.after) for branch in group.branches):
                    spans += group.directives
                    spans += [(branch.start, branch.end) for branch in group.branches if branch is not chosen]
                if open_groups:
                    _add_inner(open_groups[-1].branches[-1], chosen)
        at = match.end()
    return _blanked(raw, spans)


def _macros(code: bytes) -> list[tuple[int, int]]:
    """Positions of macros around the heads of functions, in a text without directives and literals."""
    spans = [match.span(1) for match in _EXPORT.finditer(code)]
    # A pattern matches one macro of a function: blanking it makes room for the next.
    for _ in range(MAX_MACROS):
        code = _blanked(code, spans)
        new_spans = [match.span(1) for match in _FUNCTION_MACRO.finditer(code)]
        new_spans += [match.span(1) for match in _NAME_MACRO.finditer(_blanked(code, new_spans))]
        new_spans += [match.span(1) for match in _LAST_MACRO.finditer(code)]
        if not new_spans:
            break
        spans += new_spans
    return spans


def _spaces(match: re.Match[bytes]) -> bytes:
    return _blank(match[0])


def _blank(text: bytes) -> bytes:
    return b"\n".join(b" " * len(line) for line in text.split(b"\n"))


def _chosen_branch(group: _Conditional) -> _Branch:
    """The first branch that is not empty and not that of `#if 0`."""
    return next((branch for branch in group.branches if branch.last and branch.condition != b"0"), group.branches[0])


def _add_text(branch: _Branch, text: bytes) -> None:
    """Count the brackets of a piece of text that belongs to a branch."""
    for bracket in re.findall(rb"[()\[\]{}]", text):
        branch.depth += 1 if bracket in b"([{" else -1
        branch.lowest = min(branch.lowest, branch.depth)
    branch.braces |= b"{" in text
    branch.first, branch.last = branch.first or text[:8], text[-1:] or branch.last


def _add_inner(branch: _Branch, inner: _Branch) -> None:
    """Count the brackets of a conditional's chosen branch in the branch around it."""
    branch.lowest = min(branch.lowest, branch.depth + inner.lowest)
    branch.depth += inner.depth
    branch.braces |= inner.braces
    branch.first, branch.last = branch.first or inner.first, inner.last or branch.last


def _is_cut(branch: _Branch, after: bytes) -> bool:
    """Return whether a branch is not a sequence of whole statements, given the text before it as its head."""
    if branch.depth or branch.lowest < 0 or _CONTINUES.match(branch.first):
        return True
    if after == b")" and branch.first.startswith(b"{"):
        return True
    return bool(branch.last) and not branch.braces and branch.last not in _COMPLETE


def _blanked(raw: bytes, spans: list[tuple[int, int]]) -> bytes:
    """The text with spaces in place of some pieces."""
    text = bytearray(raw)
    for start, end in spans:
        text[start:end] = _blank(raw[start:end])
    return bytes(text)
