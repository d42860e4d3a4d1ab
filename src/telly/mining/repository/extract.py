"""Functions and their documentation, from the syntax tree of one source text. Nothing is ever run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from telly.mining.copies import tree_key
from telly.mining.python_sources import MIN_CODE_LINES
from telly.mining.repository.constructs import BROKEN, FUNCTION, NO_NAME, constructs, parser_and_query
from telly.mining.repository.documentation import Documentation, documentation, last_row
from telly.mining.repository.languages import Language
from telly.mining.repository.naming import Named, body_of, named
from telly.mining.repository.preprocessor import without_branches, without_class_macros

MAX_CODE_CHARACTERS = 10_000
MAX_SIGNATURE = 300
MAX_DEPTH = 500
"""Maximum nesting of brackets. Real code has a dozen; a parser's time may grow with the square of thousands."""
MIN_LINE_TOKENS = 3
CHUNK = 1 << 12
"""Bytes that the parser reads at a time. A node's `text` reads at least as many, so large chunks make it slow."""
MAX_ANGLES = 2_000
"""Maximum of open `<` in a statement: the memory of Java's and C#'s parsers grows with its square, 150 MB at 3,000."""
_BRACKET_SPACE = re.compile(r"(?<=\w)([(\[]) |,? ([)\]])")
_OPEN, _CLOSE = b"([{", b")]}"


class UnparsableError(Exception):
    """A source without a usable tree; the message is the reason."""


@dataclass(frozen=True)
class Function:
    """A function or method of a file.

    Args:
        name: its name after the names of its classes.
        line: first line of its code, from 1.
        code: its code without documentation, blank lines and the indentation of its place.
        description: first paragraph of its documentation, in plain words; blank if there is none.
        cuts: indices of lines of the code that suit line completion; empty unless requested.
        last: last line of its code.
        signature: the code before its body, on one line.
        key: digest that copies of the function share (`telly.mining.copies`).
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
    """The functions of a file in their order, and the number of those left out, by reason."""

    functions: list[Function] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def extract(
    source: str, language: Language, *, documented: bool = True, cuts: bool = False, every: bool = False
) -> Extraction:
    """Extract the functions of a source text; of nested ones the outer, unless it is left out.

    Args:
        source: the text of a file.
        language: its language.
        documented: whether to leave out functions without a description.
        cuts: whether to find the lines that suit line completion.
        every: whether to include functions that are too short or too long to learn from, the functions within one
            that is too long, and functions whose docstring cannot be taken out and then stays.

    Raises:
        UnparsableError: there is no tree, or one of errors alone.
        ConfigError: the language's grammar is not installed.
    """
    raw = source.replace("\r\n", "\n").encode(errors="replace")
    if _depth(raw) > MAX_DEPTH or _angles(raw) > MAX_ANGLES:
        raise UnparsableError("nested too deeply")
    root = _root(raw, language)
    blank = frozenset(row for row, line in enumerate(raw.split(b"\n")) if not line.strip())
    extraction = Extraction()
    # Constructs come in the order of their beginnings, outer ones first: one that begins before the end of the last
    # function taken is within it. Errors within a function that does not parse are counted once, with the function.
    taken_until = broken_until = -1
    for construct in constructs(root, language):
        node = construct.node
        if node.start_byte < taken_until:
            extraction.left_out["within another function"] += construct.count
            continue
        if construct.kind != FUNCTION:
            if construct.kind != BROKEN or node.start_byte >= broken_until:
                extraction.left_out[construct.kind] += construct.count
            continue
        definition = named(node, language)
        function: Function | str = NO_NAME
        if definition is not None:
            function = _function(
                definition, construct.prefix, raw, language, blank, documented=documented, cuts=cuts, every=every
            )
        if isinstance(function, str):
            extraction.left_out[function] += 1
            if function == BROKEN:
                broken_until = max(broken_until, node.end_byte)
        else:
            extraction.functions.append(function)
            if definition is not None and len(function.code) <= MAX_CODE_CHARACTERS:
                taken_until = max(taken_until, definition.node.end_byte)
    if root.has_error and not extraction.functions and not set(extraction.left_out) - {BROKEN}:
        raise UnparsableError(f"does not parse as {language.name}")
    return extraction


def _depth(raw: bytes) -> int:
    """The maximum number of open brackets, including those in comments and literals."""
    if sum(raw.count(sign) for sign in _OPEN) <= MAX_DEPTH:
        return 0
    depth = max_depth = 0
    for sign in raw:
        if sign in _OPEN:
            depth += 1
            max_depth = max(max_depth, depth)
        elif sign in _CLOSE:
            depth = max(0, depth - 1)
    return max_depth


def _angles(raw: bytes) -> int:
    """The maximum number of `<` without their `>` in one statement, comparisons included."""
    if raw.count(b"<") <= MAX_ANGLES:
        return 0
    statements = (part for part in re.split(rb"[;{}]", raw) if part.count(b"<") > MAX_ANGLES)
    return max((part.count(b"<") - part.count(b">") for part in statements), default=0)


def _root(raw: bytes, language: Language) -> Any:
    """The root of a source's tree; if it does not parse, that of one branch of each preprocessor conditional."""
    read = without_class_macros(raw) if language.name == "cpp" else raw
    root = _tree(read, language).root_node
    if root.has_error and language.name in {"c", "cpp", "c-sharp"}:
        plainer = without_branches(read, macros=language.name != "c-sharp")
        if plainer != read:
            root = _tree(plainer, language).root_node
    return root


def _tree(raw: bytes, language: Language) -> Any:
    """Parse within a limit of steps, not seconds, so that what is refused does not depend on the machine."""
    parser, _ = parser_and_query(language)
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
        parser.reset()  # it would go on with this source otherwise
        raise UnparsableError("takes too long to parse")
    return tree


def _text(node: Any) -> str:
    text: str = (node.text or b"").decode(errors="replace")
    return text


def _function(
    definition: Named,
    prefix: str,
    raw: bytes,
    language: Language,
    blank: Collection[int],
    *,
    documented: bool,
    cuts: bool,
    every: bool,
) -> Function | str:
    """A function, or the reason why it is left out."""
    outer = _around(definition.node, language)
    if outer.has_error:
        return BROKEN
    found_documentation = documentation(definition.node, language, blank)
    if isinstance(found_documentation, str):
        if not every:
            return found_documentation
        found_documentation = Documentation()
    lines = _lines(outer, raw)
    rows = [row for row in lines if row not in found_documentation.rows and lines[row].strip()]
    code = "\n".join(lines[row] for row in rows)
    if len(rows) < MIN_CODE_LINES and not every:
        return "shorter than three lines"
    if len(code) > MAX_CODE_CHARACTERS and not every:
        return "longer than 10,000 characters"
    if documented and not found_documentation.words:
        return "no description"  # before its key is computed, which costs as much as all the rest
    cut_indices = tuple(rows.index(row) for row in _cuts(definition.holder) if row in rows[1:]) if cuts else ()
    return Function(
        prefix + definition.name,
        outer.start_point[0] + 1,
        code,
        found_documentation.words,
        cut_indices,
        last_row(outer) + 1,
        _signature(definition.holder, outer),
        tree_key(outer, definition.node, definition.holder, raw, language.name),
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
    """A node's lines by row, without the indentation of the first line."""
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
    head = b""
    for comment in sorted(_comments(before), key=lambda node: node.start_byte):
        head, at = head + text[at - start : comment.start_byte - start] + b" ", comment.end_byte
    words = " ".join((head + text[at - start : end - start]).decode(errors="replace").split())
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
    """Rows of a function's body with enough code, none of them within a comment or a literal of several lines."""
    body = body_of(holder)
    if body is None:
        return []
    # A body that begins on the row of its head, with a brace, has its first statement on the next row.
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
