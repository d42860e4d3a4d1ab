"""Functions and what documents them, from the syntax tree of one source text. Nothing is ever run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from telly.data.copies import tree_key
from telly.data.grammars import grammar
from telly.data.mining import MIN_CODE_LINES
from telly.data.repository.comments import description, is_description, without_signs
from telly.data.repository.languages import Language

MAX_CODE_CHARACTERS = 10_000
MAX_SIGNATURE = 300
MAX_DEPTH = 500
"""Brackets open at the same time. People write a dozen; a parser's time may grow with the square of thousands."""
MIN_LINE_TOKENS = 3
CHUNK = 1 << 16
NAME_FIELDS = ("name", "declarator", "left", "key", "property", "type")
MAX_ANGLES = 2_000
"""Signs `<` open within a statement: the memory of Java's and C#'s parsers grows with their square, 150 MB at 3,000."""
_BRACKET_SPACE = re.compile(r"(?<=\w)([(\[]) |,? ([)\]])")
_OPEN, _CLOSE = b"([{", b")]}"


class UnparsableError(Exception):
    """Why a source has no usable tree."""


@dataclass(frozen=True)
class Function:
    """A function or method of a file.

    Args:
        name: with the names of its classes before it.
        line: where its code begins, from 1.
        code: without what documents it, without blank lines and the indentation of its place.
        description: the first paragraph of what documents it, in plain words; blank where there is none.
        cuts: numbers of lines of the code that may be asked for in line completion; empty unless wanted.
        last: the line on which its code ends.
        signature: the code up to its body, on one line.
        key: what copies of the function share (`telly.data.copies`).
    """

    name: str
    line: int
    code: str
    description: str
    cuts: tuple[int, ...] = ()
    last: int = 0
    signature: str = ""
    key: str = ""


@dataclass
class Extraction:
    """The functions of a file in their order, and how many others it has, by reason."""

    functions: list[Function] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def extract(
    source: str, language: Language, *, documented: bool = True, cuts: bool = False, every: bool = False
) -> Extraction:
    """The functions of a source text; of one within another the outer one, where that is taken.

    Args:
        source: the text of a file.
        language: its language.
        documented: leave out functions without a description.
        cuts: find the lines that may be asked for in line completion.
        every: take also functions that are too short or too long to learn from, or whose docstring cannot be taken out
            and then stays; what lies within one that is too long is taken as well.

    Raises:
        UnparsableError: there is no tree, or one of errors alone.
        ConfigError: the language's grammar is not installed.
    """
    raw = source.replace("\r\n", "\n").encode(errors="replace")
    if _depth(raw) > MAX_DEPTH or _angles(raw) > MAX_ANGLES:
        raise UnparsableError("nested too deeply")
    root = _tree(raw, language).root_node
    found = Extraction()
    taken_until = -1
    for prefix, node in _functions(root, language):
        if node.start_byte < taken_until:
            found.left_out["within another function"] += 1
            continue
        function = _function(node, prefix, raw, language, cuts=cuts, every=every)
        if isinstance(function, Function) and documented and not function.description:
            function = "no description"
        if isinstance(function, str):
            found.left_out[function] += 1
        else:
            found.functions.append(function)
            if len(function.code) <= MAX_CODE_CHARACTERS:
                taken_until = node.end_byte
    if root.has_error and not found.functions:
        raise UnparsableError(f"does not parse as {language.name}")
    return found


def _depth(raw: bytes) -> int:
    """The most brackets that are open at a time, whether or not they stand in texts."""
    if sum(raw.count(sign) for sign in _OPEN) <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for sign in raw:
        if sign in _OPEN:
            depth += 1
            deepest = max(deepest, depth)
        elif sign in _CLOSE:
            depth = max(0, depth - 1)
    return deepest


def _angles(raw: bytes) -> int:
    """The most `<` without their `>` in one statement, also where they compare."""
    if raw.count(b"<") <= MAX_ANGLES:
        return 0
    statements = (part for part in re.split(rb"[;{}]", raw) if part.count(b"<") > MAX_ANGLES)
    return max((part.count(b"<") - part.count(b">") for part in statements), default=0)


@cache
def _tools(language: Language) -> tuple[Any, Any]:
    import tree_sitter

    made = grammar(*language.grammar)
    return tree_sitter.Parser(made), tree_sitter.Query(made, language.query)


def _tree(raw: bytes, language: Language) -> Any:
    """Parse within a number of steps, not seconds: so what is refused does not depend on the machine."""
    parser, _ = _tools(language)
    steps = 0

    def too_many(*_: object) -> bool:
        nonlocal steps
        steps += 1
        return steps > 1000 + len(raw) // 10

    try:
        tree = parser.parse(lambda offset, _: raw[offset : offset + CHUNK], progress_callback=too_many)
    except ValueError:
        tree = None
    if tree is None:
        parser.reset()
        raise UnparsableError("takes too long to parse")
    return tree


def _functions(root: Any, language: Language) -> Iterator[tuple[str, Any]]:
    """All functions in the order of their beginnings, each with the names of the classes around it."""
    import tree_sitter

    captures = tree_sitter.QueryCursor(_tools(language)[1]).captures(root)
    nodes = [(node, kind) for kind in ("class", "function") for node in captures.get(kind, ())]
    around: list[tuple[int, str]] = []
    for node, kind in sorted(nodes, key=lambda pair: (pair[0].start_byte, -pair[0].end_byte, pair[1])):
        while around and around[-1][0] <= node.start_byte:
            around.pop()
        if kind == "class":
            around.append((node.end_byte, _name(node)))
        else:
            yield "".join(f"{name}." for _, name in around if name), node


def _name(node: Any) -> str:
    """A function's or class's own name; in C it stands within the declarator."""
    while node is not None and node.child_count and node.type not in {"qualified_identifier", "member_expression"}:
        inner = (node.child_by_field_name(name) for name in NAME_FIELDS)
        following = next((child for child in inner if child is not None), None)
        if following is None:
            break
        node = following
    return " ".join(_text(node).split())[:200]


def _text(node: Any) -> str:
    text: str = (node.text or b"").decode(errors="replace")
    return text


def _function(node: Any, prefix: str, raw: bytes, language: Language, *, cuts: bool, every: bool) -> Function | str:
    """A function, or why it is left out."""
    outer, before = _around(node, language)
    if outer.has_error:
        return "does not parse"
    quoted = range(0)
    if language.comments:
        document = without_signs(_comment(before, language))
    else:
        docstring = _docstring(node)
        if isinstance(docstring, str) and not every:
            return docstring
        document, quoted = ("", range(0)) if isinstance(docstring, str) else docstring
    lines = _lines(outer, raw)
    kept = [row for row in lines if row not in quoted and lines[row].strip()]
    code = "\n".join(lines[row] for row in kept)
    if len(kept) < MIN_CODE_LINES and not every:
        return "shorter than three lines"
    if len(code) > MAX_CODE_CHARACTERS and not every:
        return "longer than 10,000 characters"
    words = description(document) if document.strip() else ""
    if words and not is_description(words):
        words = ""
    places = tuple(kept.index(row) for row in _cuts(node) if row in kept[1:]) if cuts else ()
    return Function(
        prefix + _name(node),
        outer.start_point[0] + 1,
        code,
        words,
        places,
        _last_row(outer) + 1,
        _signature(node, outer),
        tree_key(outer, node, _holder(node) or node, raw, language.name),
    )


def _around(node: Any, language: Language) -> tuple[Any, Any]:
    """The node that holds the function's code, and the one before which its comment stands."""
    outer = node
    while outer.parent is not None and outer.parent.type in language.wrappers:
        outer = outer.parent
    before = outer
    while (parent := before.parent) is not None:
        first = parent.type in language.bodies and before.prev_sibling is None
        if parent.type not in language.shells and not first:
            break
        before = parent
        if first:
            break
    return outer, before


def _comment(node: Any, language: Language) -> str:
    """The comment right before a node: one block, or lines without a gap; blank where it documents nothing."""
    found: list[str] = []
    below = node
    before = node.prev_sibling
    while before is not None and before.type in language.between:
        below, before = before, before.prev_sibling
    while before is not None and "comment" in before.type and below.start_point[0] - _last_row(before) <= 1:
        text = _text(before).rstrip()
        last = before.prev_sibling
        beside_code = last is not None and _last_row(last) == before.start_point[0]
        block = text.startswith(("/*", "=begin"))
        if not text.startswith(language.comments) or (beside_code and "comment" not in last.type) or (block and found):
            break
        found.append(text)
        if block:
            break
        below, before = before, last
    return "\n".join(reversed(found))


def _last_row(node: Any) -> int:
    """The row of a node's last character; Rust's comments end at the beginning of the next row."""
    row: int = node.end_point[0]
    return row - 1 if node.end_point[1] == 0 and row > node.start_point[0] else row


def _docstring(node: Any) -> tuple[str, range] | str:
    """Python's docstring and the rows that it fills, or why they cannot be taken out; both empty without one."""
    body = node.child_by_field_name("body")
    statements = [child for child in body.children if "comment" not in child.type] if body is not None else []
    if not statements or statements[0].type != "expression_statement" or statements[0].child_count != 1:
        return "", range(0)
    text = statements[0].children[0]
    if (
        text.type != "string"
        or not text.child_count
        or _text(text.children[0]).lower().strip("\"'") not in {"", "r", "u"}
    ):
        return "", range(0)
    content = "".join(_text(child) for child in text.children if child.type == "string_content")
    rows = range(text.start_point[0], text.end_point[0] + 1)
    if len(statements) == 1:
        return "nothing but a docstring"
    if statements[1].start_point[0] in rows or body.start_point[0] == node.start_point[0]:
        return "docstring on a line with code"
    return content, rows


def _lines(node: Any, raw: bytes) -> dict[int, str]:
    """A node's lines by row, without the indentation of the first."""
    start = raw.rfind(b"\n", 0, node.start_byte) + 1
    lead = raw[start : node.start_byte]
    indent = lead[: len(lead) - len(lead.lstrip())].decode(errors="replace")
    lines = raw[node.start_byte : node.end_byte].decode(errors="replace").split("\n")
    return {node.start_point[0] + at: line.removeprefix(indent) if at else line for at, line in enumerate(lines)}


def _holder(node: Any) -> Any:
    """The node that has the body: the function, or the value that it is given as; None where there is no body."""
    parts = (node, *map(node.child_by_field_name, ("value", "right")))
    return next((part for part in parts if part is not None and part.child_by_field_name("body") is not None), None)


def _signature(node: Any, outer: Any) -> str:
    """The code before a function's body, without comments and line breaks."""
    holder = _holder(node)
    if holder is None:
        return " ".join(_text(outer).partition("\n")[0].split())[:MAX_SIGNATURE]
    body = holder.child_by_field_name("body")
    before = [child for child in holder.children if child.end_byte <= body.start_byte and "comment" not in child.type]
    end = before[-1].end_byte if before else body.start_byte
    text, start, at = outer.text or b"", outer.start_byte, outer.start_byte
    kept = b""
    for comment in sorted(_comments(before), key=lambda node: node.start_byte):
        kept, at = kept + text[at - start : comment.start_byte - start] + b" ", comment.end_byte
    words = " ".join((kept + text[at - start : end - start]).decode(errors="replace").split())
    return _BRACKET_SPACE.sub(r"\1\2", words)[:MAX_SIGNATURE].removesuffix(":")


def _comments(nodes: list[Any]) -> Iterator[Any]:
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if "comment" in node.type:
            yield node
        else:
            waiting.extend(node.children)


def _cuts(node: Any) -> list[int]:
    """Rows of a function's body with enough code, none of them within a comment or a text of several lines."""
    holder = _holder(node)
    if holder is None:
        return []
    body = holder.child_by_field_name("body")
    braced = body.start_point[0] == (body.prev_sibling or holder).end_point[0]
    first = body.start_point[0] + braced
    tokens: Counter[int] = Counter()
    covered: set[int] = set()
    waiting = [body]
    while waiting:
        part = waiting.pop()
        rows = range(part.start_point[0], part.end_point[0] + 1)
        if "comment" in part.type:
            covered.update(rows)
        elif part.child_count:
            waiting.extend(part.children)
        elif len(rows) > 1:
            covered.update(rows)
        else:
            tokens[rows[0]] += 1
    return sorted(
        row for row, count in tokens.items() if count >= MIN_LINE_TOKENS and row >= first and row not in covered
    )
