"""Functions and what documents them, from the syntax tree of one source text. Nothing is ever run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from telly.mining.copies import tree_key
from telly.mining.python_sources import MIN_CODE_LINES
from telly.mining.repository.constructs import BROKEN, FUNCTION, NO_NAME, constructs, tools
from telly.mining.repository.documentation import Documentation, documentation, last_row
from telly.mining.repository.languages import Language
from telly.mining.repository.naming import Named, body_of, named
from telly.mining.repository.preprocessor import without_branches, without_class_macros

MAX_CODE_CHARACTERS = 10_000
MAX_SIGNATURE = 300
MAX_DEPTH = 500
"""Brackets open at the same time. People write a dozen; a parser's time may grow with the square of thousands."""
MIN_LINE_TOKENS = 3
CHUNK = 1 << 12
"""Bytes that the parser reads at a time. A node's `text` reads at least as many, so large chunks make it slow."""
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
        key: what copies of the function share (`telly.mining.copies`).
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
    root = _root(raw, language)
    blank = frozenset(row for row, line in enumerate(raw.split(b"\n")) if not line.strip())
    found = Extraction()
    taken_until = broken_until = -1
    for construct in constructs(root, language):
        node = construct.node
        if node.start_byte < taken_until:
            found.left_out["within another function"] += construct.count
            continue
        if construct.kind != FUNCTION:
            if construct.kind != BROKEN or node.start_byte >= broken_until:
                found.left_out[construct.kind] += construct.count
            continue
        known = named(node, language)
        function: Function | str = NO_NAME
        if known is not None:
            function = _function(
                known, construct.prefix, raw, language, blank, documented=documented, cuts=cuts, every=every
            )
        if isinstance(function, str):
            found.left_out[function] += 1
            if function == BROKEN:
                broken_until = max(broken_until, node.end_byte)
        else:
            found.functions.append(function)
            if known is not None and len(function.code) <= MAX_CODE_CHARACTERS:
                taken_until = max(taken_until, known.node.end_byte)
    if root.has_error and not found.functions and not set(found.left_out) - {BROKEN}:
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


def _root(raw: bytes, language: Language) -> Any:
    """The root of a source's tree; what does not parse as it is and has conditionals, as one branch of these."""
    read = without_class_macros(raw) if language.name == "cpp" else raw
    root = _tree(read, language).root_node
    if root.has_error and language.name in {"c", "cpp", "c-sharp"}:
        plainer = without_branches(read, macros=language.name != "c-sharp")
        if plainer != read:
            root = _tree(plainer, language).root_node
    return root


def _tree(raw: bytes, language: Language) -> Any:
    """Parse within a number of steps, not seconds: so what is refused does not depend on the machine."""
    parser, _ = tools(language)
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


def _text(node: Any) -> str:
    text: str = (node.text or b"").decode(errors="replace")
    return text


def _function(
    known: Named,
    prefix: str,
    raw: bytes,
    language: Language,
    blank: Collection[int],
    *,
    documented: bool,
    cuts: bool,
    every: bool,
) -> Function | str:
    """A function, or why it is left out."""
    outer = _around(known.node, language)
    if outer.has_error:
        return BROKEN
    document = documentation(known.node, language, blank)
    if isinstance(document, str):
        if not every:
            return document
        document = Documentation()
    lines = _lines(outer, raw)
    kept = [row for row in lines if row not in document.rows and lines[row].strip()]
    code = "\n".join(lines[row] for row in kept)
    if len(kept) < MIN_CODE_LINES and not every:
        return "shorter than three lines"
    if len(code) > MAX_CODE_CHARACTERS and not every:
        return "longer than 10,000 characters"
    if documented and not document.words:
        return "no description"  # before its key is computed, which costs as much as all the rest
    places = tuple(kept.index(row) for row in _cuts(known.holder) if row in kept[1:]) if cuts else ()
    return Function(
        prefix + known.name,
        outer.start_point[0] + 1,
        code,
        document.words,
        places,
        last_row(outer) + 1,
        _signature(known.holder, outer),
        tree_key(outer, known.node, known.holder, raw, language.name),
    )


def _around(node: Any, language: Language) -> Any:
    """The node that holds the function's code."""
    outer = node
    while (parent := outer.parent) is not None and parent.type in language.wrappers:
        if sum(child.type == outer.type for child in parent.named_children) > 1:  # one of several in a declaration
            break
        outer = parent
    return outer


def _lines(node: Any, raw: bytes) -> dict[int, str]:
    """A node's lines by row, without the indentation of the first."""
    start = raw.rfind(b"\n", 0, node.start_byte) + 1
    lead = raw[start : node.start_byte]
    indent = lead[: len(lead) - len(lead.lstrip())].decode(errors="replace")
    lines = raw[node.start_byte : node.end_byte].decode(errors="replace").split("\n")
    return {node.start_point[0] + at: line.removeprefix(indent) if at else line for at, line in enumerate(lines)}


def _signature(holder: Any, outer: Any) -> str:
    """The code before a function's body, without comments and line breaks."""
    body = body_of(holder)
    if body is None:
        return " ".join(_text(outer).partition("\n")[0].split())[:MAX_SIGNATURE]
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


def _cuts(holder: Any) -> list[int]:
    """Rows of a function's body with enough code, none of them within a comment or a text of several lines."""
    body = body_of(holder)
    if body is None:
        return []
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
