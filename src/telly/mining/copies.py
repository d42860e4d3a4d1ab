"""Copies of functions: equal but for their name, comments and layout.

Clones, deduplication, leak-free splits and pre-training all use this definition. Functions are compared by their
syntax trees:

- Its own name is left out, at the definition and where the function refers to itself. So is the type that a method
  belongs to if it is beside the name (`A::` in C++, the receiver's type in Go), because most languages write it
  outside the function. Every other identifier counts, and so does every keyword, literal, operator and bracket.
- Comments and Python's docstrings are left out, other than a docstring that is all of a body.
- White space counts within literals, and elsewhere only through the tree: blocks of Python, and the line ends that end
  statements in Python, Ruby, Go, JavaScript and TypeScript. In these five, a semicolon that ends a statement is a line
  end.
"""

from __future__ import annotations

import enum
import hashlib
import re
from functools import cache, lru_cache
from typing import Any

from telly.mining.grammars import grammar
from telly.mining.own_names import IDENTIFIERS, count_arguments, of_type, self_references

LINE_LANGUAGES = frozenset({"python", "ruby", "go", "javascript", "typescript"})
"""Languages in which a line end may end a statement, so that the tree's structure counts as well as its tokens."""
_HEADERS = re.compile(r"for_|if_|empty_|.*switch_")
"""Nodes in which a semicolon is a separator and does not end a statement."""
_TEXTUAL = re.compile(r"(?!concatenated|chained|string_array)(?:.*(?:string|heredoc|nowdoc|char|regex|format)|text$)")
"""Types of nodes whose white space is part of a literal."""
_BARE = frozenset({"identifier", "constant"})
_ACCESS = frozenset({b".", b"?.", b"->", b"?->", b"::", b"&."})
_CALLS_BY_NAME = frozenset({"method_invocation", "function_call_expression"})
"""Calls in Java and PHP, where variables of the same name are something else."""


def content_key(code: str) -> str:
    """The key of a Python function from its text, as `tree_key` gives it."""
    import tree_sitter

    root = tree_sitter.Parser(_python()).parse(code.encode(errors="replace")).root_node
    function = next(of_type(root, "function_definition"), root)
    return tree_key(function, function, function, code.encode(errors="replace"), "python")


@cache
def _python() -> Any:
    return grammar("python")


def tree_key(outer: Any, node: Any, holder: Any, source: bytes, language: str) -> str:
    """A digest that two functions share if and only if they are copies of each other.

    Args:
        outer: the syntax node of the function's whole code.
        node: the node that has the name: `outer`, or a part of it such as the declarator that a value is assigned to.
        holder: the node that has the body: `node`, or the value within it.
        source: the text to which the nodes' offsets refer. It may contain more than the parser saw, if branches of the
            preprocessor were blanked; text that no node covers counts as it is.
        language: the language's name.
    """
    return _FunctionReader(outer, node, holder, source, language).digest()


class _FunctionReader:
    """Reads one function's tree into a digest. It runs for every node of every function, so each must cost little."""

    def __init__(self, outer: Any, node: Any, holder: Any, source: bytes, language: str) -> None:
        self.outer, self.language = outer, language
        self.source = source  # sliced below: a node's own `text` reads the source again, which is slow
        self.structured = language in LINE_LANGUAGES
        self.references = self_references(outer, node, holder, language)
        self.before = [b"", b"", b""]  # the last three tokens, where the function may refer to itself

    def digest(self) -> str:
        # An explicit stack, because operators in a row nest deeper than Python's recursion goes.
        parts: list[bytes] = []
        stack: list[Any] = [self.outer]
        while stack:
            item = stack.pop()
            if type(item) is bytes:
                parts.append(item)
            elif item.child_count:
                stack += reversed(self._parts(item))
            else:
                parts.append(self._leaf(item))
        return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()

    def _parts(self, node: Any) -> list[Any]:
        """A node's significant children, with the texts between them that no child covers.

        Leaves become texts at once, unless the tokens before them decide what they are.
        """
        kind, source, references, structured = node.type, self.source, self.references, self.structured
        if kind == "jsx_expression" and all("comment" in child.type for child in node.named_children):
            return []
        textual = _is_textual(kind)
        docstring = _docstring_id(node) if kind == "block" and self.language == "python" else None
        parts, at = [b"["] if structured else list[Any](), node.start_byte
        for child in node.children:
            begin, end = child.start_byte, child.end_byte
            if at < begin:
                parts.append(_between(source[at:begin], textual))
            at = end
            inner, identity = child.type, child.id
            role = _role(inner)
            if role is not _Role.CODE and (role is _Role.COMMENT or (structured and _ends_statement(role, kind))):
                continue
            if identity in references.parts or identity == docstring:
                continue
            # Without names of the function itself, no later leaf depends on earlier ones: it can become text at once.
            parts.append(
                child if references.names or child.child_count else _leaf(inner, source[begin:end], structured)
            )
        if at < node.end_byte:
            parts.append(_between(source[at : node.end_byte], textual))
        if structured:
            parts.append(b"]")
        return parts

    def _leaf(self, leaf: Any) -> bytes:
        text = self.source[leaf.start_byte : leaf.end_byte]
        token = _leaf(leaf.type, text, self.structured)
        if not token:
            return token
        # `@` replaces every reference to the function itself, so that copies under other names have equal digests.
        token = b"@" if self._is_self_reference(leaf, text) else token
        self.before = [*self.before[1:], text]
        return token

    def _is_self_reference(self, leaf: Any, text: bytes) -> bool:
        """Return whether an identifier refers to the function that is read."""
        if text not in self.references.names or leaf.type not in IDENTIFIERS:
            return False
        third, second, last = self.before
        if last in _ACCESS:
            is_reference = second in self.references.objects and third not in _ACCESS
        elif self.language in {"java", "php"}:
            is_reference = text in self.references.bare and leaf.parent.type in _CALLS_BY_NAME
        else:
            is_reference = (
                text in self.references.bare and leaf.type in _BARE and leaf.parent.type != "keyword_argument"
            )
        return is_reference and self.references.parameters in {None, count_arguments(leaf)}


class _Role(enum.Enum):
    """Role of a node type: code, or layout that may not count."""

    CODE = enum.auto()
    COMMENT = enum.auto()
    LINE_END = enum.auto()
    SEMICOLON = enum.auto()


@cache
def _role(kind: str) -> _Role:
    if "comment" in kind or kind == "line_continuation":
        return _Role.COMMENT
    if kind.isspace():
        return _Role.LINE_END
    return _Role.SEMICOLON if kind == ";" else _Role.CODE


def _ends_statement(role: _Role, parent: str) -> bool:
    return role is _Role.LINE_END or not _HEADERS.match(parent)


@cache
def _is_textual(kind: str) -> bool:
    return _TEXTUAL.match(kind) is not None


@lru_cache(maxsize=1 << 14)
def _between(text: bytes, textual: bool) -> bytes:
    """The significant part of a text between two nodes; a backslash continues a line."""
    text = text if textual else b" ".join(text.split())
    return b"" if text in {b"", b"\\"} else _token(text)


@lru_cache(maxsize=1 << 14)
def _leaf(kind: str, text: bytes, structured: bool) -> bytes:
    """The significant part of a leaf."""
    if kind == "jsx_text":
        text = _jsx_text(text)
    elif not _is_textual(kind):
        text = b"\n" if text.isspace() and not structured else b" ".join(text.split())  # ends a directive
    return _token(text) if text else b""


def _token(text: bytes) -> bytes:
    return b"%d:%b" % (len(text), text)


def _jsx_text(text: bytes) -> bytes:
    """Text between JSX tags as browsers show it: a line end with its indentation is one blank, or none."""
    lines = text.split(b"\n")
    inner = [line.lstrip() if at else line for at, line in enumerate(lines)]
    inner = [line.rstrip() if at < len(lines) - 1 else line for at, line in enumerate(inner)]
    return b" ".join(line for line in inner if line)


def _docstring_id(block: Any) -> int | None:
    """The id of the statement in a block of Python that is a docstring: a text without `b` and `f`, first in a body.

    A body that is nothing but a docstring keeps it; otherwise all such functions would be copies of each other.
    """
    first, *rest = [child for child in block.children if "comment" not in child.type] or [None]
    if first is None or not rest or first.type != "expression_statement" or first.child_count != 1:
        return None
    literal = first.children[0]
    if literal.type not in {"string", "concatenated_string"}:
        return None
    starts = [(start.text or b"").lower() for start in of_type(literal, "string_start")]
    if any(set(start.rstrip(b"\"'")) - set(b"ru") for start in starts):
        return None
    identity: int = first.id
    return identity if block.parent.type in {"function_definition", "class_definition"} else None
