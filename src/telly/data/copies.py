"""When two functions are copies of each other: equal but for their name, comments and layout.

This is the one definition that clones, deduplication, leak-free splits and pre-training share. A function is compared
as its syntax tree tells it:

- Its own name is left out, at the definition and where the function refers to itself. So is the type that a method
  belongs to where it stands beside the name (`A::` in C++, the receiver's type in Go), because most languages write it
  outside the function. Every other identifier counts, and so does every keyword, literal, operator and bracket.
- Comments and Python's docstrings are left out, other than a docstring that is all of a body.
- White space counts within literals, and elsewhere only through the tree: blocks of Python, and the line ends that end
  statements in Python, Ruby, Go, JavaScript and TypeScript. In these five, a semicolon that ends a statement is a line
  end.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from telly.data.grammars import grammar

LINE_LANGUAGES = frozenset({"python", "ruby", "go", "javascript", "typescript"})
"""Languages in which a line end may end a statement, so that the tree's structure counts as well as its tokens."""
OVERLOADING = frozenset({"java", "c-sharp", "cpp"})
"""Languages in which several functions may share a name, so that a function may call another one of its own name."""
_BRANCHES = frozenset({"if", "for", "while", "do", "switch", "case", "catch", "?", "??", "&&", "||"})

_HEADERS = re.compile(r"for_|if_|empty_|.*switch_")
"""Parts in which a semicolon separates and does not end a statement."""
_TEXTUAL = re.compile(r"(?!concatenated|chained|string_array)(?:.*(?:string|heredoc|nowdoc|char|regex|format)|text$)")
"""Types of nodes whose white space is part of a literal."""

_NAME_FIELDS = ("name", "declarator", "left", "key", "property", "operator")
_NESTED_DECLARATORS = frozenset({"reference_declarator", "parenthesized_declarator"})
_IDENTIFIERS = frozenset(
    {"identifier", "name", "constant", "property_identifier", "field_identifier", "private_property_identifier"}
)
_BARE = frozenset({"identifier", "constant"})
_ACCESS = frozenset({b".", b"?.", b"->", b"?->", b"::", b"&."})
_OWN_OBJECT = frozenset({b"self", b"this", b"cls", b"Self", b"static"})
_CLASSES = re.compile(
    r"(?:class|struct|interface|enum|record|trait)_(?:declaration|definition|specifier)$|class$|module$"
)
_CALLS_BY_NAME = frozenset({"method_invocation", "function_call_expression"})
"""Calls in Java and PHP, where variables of the same name are something else."""

_PART_OF_PATTERN = re.compile(
    r".*(?:pattern|pattern_list|pattern_target|expression_list|left_assignment_list|declarator)$"
)
_BINDING_FIELDS = frozenset({"name", "pattern", "left", "declarator", "parameter", "alias"})
_BINDING = re.compile(
    r".*(?:declarator|declaration|assignment|for_|foreach|range_clause|let_|match_|named_expression|as_pattern|_spec"
    r"|arrow_function|catch|exception_variable|(?:function|class)_(?:definition|expression|item))"
)


def content_key(code: str) -> str:
    """The key of a Python function from its text, as `tree_key` gives it."""
    import tree_sitter

    root = tree_sitter.Parser(_python()).parse(code.encode(errors="replace")).root_node
    function = next(_of_type(root, "function_definition"), root)
    return tree_key(function, function, "python")


@cache
def _python() -> Any:
    return grammar("python")


def tree_key(outer: Any, node: Any, language: str) -> str:
    """A digest that two functions share if and only if they are copies of each other.

    Args:
        outer: the syntax node of the function's whole code.
        node: the node of the function itself: `outer`, or a part of it such as the declarator that it is assigned to.
        language: the language's name.
    """
    return _Reader(outer, node, language).digest()


@dataclass(frozen=True)
class _Own:
    """What stands for the function itself in its code.

    Attributes:
        parts: ids of the nodes that are the name where the function is defined.
        names: the words by which the function can refer to itself behind `this` or its class.
        bare: the words by which it can refer to itself without either.
        objects: words before an access sign behind which the function's own name means the function.
        parameters: how many parameters it has; None where the language has no overloading.
    """

    parts: frozenset[int]
    names: frozenset[bytes]
    bare: frozenset[bytes]
    objects: frozenset[bytes]
    parameters: int | None


class _Reader:
    """Reads one function's tree into a digest."""

    def __init__(self, outer: Any, node: Any, language: str) -> None:
        self.outer, self.language = outer, language
        self.text: bytes = outer.text or b""  # sliced below: a node's own `text` reads the source anew, which is slow
        self.start: int = outer.start_byte
        self.structured = language in LINE_LANGUAGES
        self.own = _own(outer, node, language)
        self.before: list[bytes] = []  # the last three tokens
        self.written = hashlib.blake2b(digest_size=16)

    def digest(self) -> str:
        # An explicit stack, because operators in a row nest deeper than Python's recursion goes.
        waiting: list[Any] = [self.outer]
        while waiting:
            item = waiting.pop()
            if isinstance(item, bytes):
                self.written.update(item)
            elif not item.child_count:
                self._leaf(item)
            elif item.id not in self.own.parts:
                waiting += reversed(self._parts(item))
        return self.written.hexdigest()

    def _parts(self, node: Any) -> list[Any]:
        """A node's children that count, with the texts between them that no child has."""
        textual = _is_textual(node.type)
        docstring = _docstring_id(node) if node.type == "block" and self.language == "python" else None
        found, at = list[Any](), node.start_byte
        for child in node.children:
            begin = child.start_byte
            if at < begin:
                found += self._gap(at, begin, textual=textual)
            at = child.end_byte
            if child.id != docstring and not self._is_left_out(child, node):
                found.append(child)
        if at < node.end_byte:
            found += self._gap(at, node.end_byte, textual=textual)
        if node.type == "jsx_expression" and not any(child.is_named for child in found if not isinstance(child, bytes)):
            return []  # a comment in JSX
        return [b"[", *found, b"]"] if self.structured else found

    def _gap(self, begin: int, end: int, *, textual: bool) -> list[bytes]:
        text = self.text[begin - self.start : end - self.start]
        text = text if textual else text.strip()
        return [] if text in {b"", b"\\"} else [_token(text)]  # a backslash continues a line

    def _is_left_out(self, child: Any, parent: Any) -> bool:
        kind = child.type
        if "comment" in kind or kind == "line_continuation" or child.id in self.own.parts:
            return True
        return self.structured and (kind.isspace() or (kind == ";" and not _HEADERS.match(parent.type)))

    def _leaf(self, leaf: Any) -> None:
        if leaf.id in self.own.parts:
            return
        text = self.text[leaf.start_byte - self.start : leaf.end_byte - self.start]
        kind = leaf.type
        if kind == "jsx_text":
            text = _jsx_text(text)
        elif not _is_textual(kind):
            text = b"\n" if text.isspace() and not self.structured else b" ".join(text.split())  # ends a directive
        if not text:
            return
        self.written.update(b"@" if self._is_own(leaf, text) else _token(text))
        self.before = [*self.before[-2:], text]

    def _is_own(self, leaf: Any, text: bytes) -> bool:
        """Whether an identifier refers to the function that is read."""
        if text not in self.own.names or leaf.type not in _IDENTIFIERS:
            return False
        third, second, last = [b"", b"", b"", *self.before][-3:]
        if last in _ACCESS:
            found = second in self.own.objects and third not in _ACCESS
        elif self.language in {"java", "php"}:
            found = text in self.own.bare and leaf.parent.type in _CALLS_BY_NAME
        else:
            found = text in self.own.bare and leaf.type in _BARE and leaf.parent.type != "keyword_argument"
        return found and self.own.parameters in {None, _arguments(leaf)}


@cache
def _is_textual(kind: str) -> bool:
    return _TEXTUAL.match(kind) is not None


def _token(text: bytes) -> bytes:
    return b"%d:%b" % (len(text), text)


def _jsx_text(text: bytes) -> bytes:
    """Text between JSX tags as it is shown: line ends with the indentation around them are one blank, or none."""
    lines = text.split(b"\n")
    inner = [line.lstrip() if at else line for at, line in enumerate(lines)]
    inner = [line.rstrip() if at < len(lines) - 1 else line for at, line in enumerate(inner)]
    return b" ".join(line for line in inner if line)


def _docstring_id(block: Any) -> int | None:
    """The id of the statement in a block of Python that is a docstring: a text without `b` and `f`, first in a body.

    A body of nothing else has none, since such functions would all be copies of each other.
    """
    first, *others = [child for child in block.children if "comment" not in child.type] or [None]
    if first is None or not others or first.type != "expression_statement" or first.child_count != 1:
        return None
    literal = first.children[0]
    if literal.type not in {"string", "concatenated_string"}:
        return None
    starts = [(start.text or b"").lower() for start in _of_type(literal, "string_start")]
    if any(set(start.rstrip(b"\"'")) - set(b"ru") for start in starts):
        return None
    number: int = first.id
    return number if block.parent.type in {"function_definition", "class_definition"} else None


def _own(outer: Any, node: Any, language: str) -> _Own:
    """What stands for a function in its own code."""
    parts: set[int] = set()
    words: list[bytes] = []
    objects = set(_OWN_OBJECT)
    defined = _name_node(node)
    if defined is not None:
        words += _define(defined, parts, objects)
    value = next((part for field in ("value", "right") if (part := node.child_by_field_name(field)) is not None), None)
    inner = value.child_by_field_name("name") if value is not None and "function" in value.type else None
    inner_words = [] if inner is None else _define(inner, parts, objects)
    if language == "go":
        parts |= _receiver(node, objects)
    text = outer.text or b""
    if not any(text.count(word) > 1 for word in {*words, *inner_words}):  # nothing can refer to the function
        return _Own(frozenset(parts), frozenset(), frozenset(), frozenset(), None)
    if language in OVERLOADING and not any(at.type in _BRANCHES for at in _nodes(outer)):
        words, inner_words = [], []  # without a branch recursion never ends, so it is a call of an overload
    objects |= _class_name(node)
    bare = set(inner_words) | (set(words) if not _is_called_by_object(node, defined, language) else set())
    bare = {word for word in bare if not _is_bound(outer, text, word, parts)}
    parameters = _parameters(node) if language in OVERLOADING else None
    return _Own(frozenset(parts), frozenset(words + inner_words), frozenset(bare), frozenset(objects), parameters)


def _name_node(node: Any) -> Any:
    """The node of a function's name; in C it stands within declarators. None where the function has no name."""
    at = node
    while at.type not in {"qualified_identifier", "member_expression", "operator_cast"}:
        fields = map(at.child_by_field_name, _NAME_FIELDS)
        following = next((child for child in fields if child is not None), None)
        if following is None and at.type in _NESTED_DECLARATORS and at.named_children:
            following = at.named_children[-1]
        if following is None:
            break
        at = following
    return None if at == node else at


def _define(name: Any, parts: set[int], objects: set[bytes]) -> list[bytes]:
    """Add the nodes that are a function's name to `parts`, and return the word that the name ends with.

    Left as they are: the sign `~` of a destructor, the type that a conversion operator gives, computed keys, and the
    words `get` and `set` of accessors, which are no names.
    """
    match name.type:
        case "qualified_identifier":  # A::f
            last = name.child_by_field_name("name")
            scope = name.child_by_field_name("scope")
            parts |= {child.id for child in name.children if last is None or child.id != last.id}
            objects |= {scope.text, *(part.text for part in scope.named_children[:1])} if scope is not None else set()
            return [] if last is None else _define(last, parts, objects)
        case "member_expression":  # exports.f, A.prototype.f
            last, base = name.child_by_field_name("property"), name.child_by_field_name("object")
            plain = re.fullmatch(rb"[\w$.\s]+", name.text or b"") is not None
            parts |= {name.id} if plain else {last.id}
            objects |= {base.text} if plain and base.text else set()
            return [last.text or b""]
        case "destructor_name":
            parts |= {child.id for child in name.children if child.is_named}
            return []
        case "operator_cast" | "computed_property_name" | "subscript_expression" | "get" | "set" | "init":
            return []
    parts.add(name.id)
    return [name.text or b""] if name.type in _IDENTIFIERS else []


def _receiver(node: Any, objects: set[bytes]) -> set[int]:
    """The type in a Go method's receiver; what the receiver is called is added to `objects`."""
    receiver = node.child_by_field_name("receiver")
    declared = next(_of_type(receiver, "parameter_declaration"), None) if receiver is not None else None
    if declared is None:
        return set()
    name, of = declared.child_by_field_name("name"), declared.child_by_field_name("type")
    objects |= {name.text} if name is not None and name.text else set()
    base = next(_of_type(of, "type_identifier"), None) if of is not None else None
    return set() if base is None else {base.id}


def _class_name(node: Any) -> set[bytes]:
    """The name of the class around a function."""
    parent = node.parent
    while parent is not None and not _CLASSES.search(parent.type):
        parent = parent.parent
    name = parent.child_by_field_name("name") if parent is not None else None
    return {name.text} if name is not None and name.text else set()


def _is_called_by_object(node: Any, name: Any, language: str) -> bool:
    """Whether a function can be called only through an object: its name alone would mean another function."""
    if name is not None and name.type == "member_expression":
        return True
    if language == "python":
        parameters = node.child_by_field_name("parameters")
        first = parameters.named_children[:1] if parameters is not None else []
        return any((leaf.text or b"") in {b"self", b"cls"} for leaf in first)
    if language == "rust":
        return next(_of_type(node.child_by_field_name("parameters") or node, "self_parameter"), None) is not None
    methods = {"method_definition", "pair", "field_definition", "public_field_definition"}
    kinds = {"go": {"method_declaration"}, "php": {"method_declaration"}, "javascript": methods, "typescript": methods}
    return node.type in kinds.get(language, ())


def _parameters(node: Any) -> int | None:
    found = node.child_by_field_name("parameters")
    if found is None:
        found = next(_of_type(node, "parameter_list"), None)
    return None if found is None else _count(found)


def _arguments(leaf: Any) -> int | None:
    """How many arguments the call has that an identifier is the name of."""
    call = leaf.parent
    for _ in range(3):
        if call is None:
            return None
        arguments = call.child_by_field_name("arguments")
        if arguments is not None:
            return _count(arguments)
        call = call.parent
    return None


def _count(node: Any) -> int:
    return sum("comment" not in child.type for child in node.named_children)


def _is_bound(outer: Any, text: bytes, word: bytes, parts: set[int]) -> bool:
    """Whether a parameter or a variable within the function has the same name, and so hides the function."""
    places = [outer.start_byte + found.start() for found in re.finditer(re.escape(word), text)]
    for place in places:
        leaf = outer.descendant_for_byte_range(place, place + len(word))
        if leaf is None or leaf.child_count or leaf.end_byte - leaf.start_byte != len(word) or leaf.id in parts:
            continue
        if leaf.type == "shorthand_property_identifier_pattern" or _binds(leaf):
            return True
    return False


def _binds(leaf: Any) -> bool:
    if leaf.type not in _IDENTIFIERS:
        return False
    child, parent = leaf, leaf.parent
    while parent is not None:
        field = next(
            (parent.field_name_for_child(at) for at, n in enumerate(parent.children) if n.id == child.id), None
        )
        if "parameter" in parent.type and field not in {"value", "type", "default_value"}:
            return True
        if field in _BINDING_FIELDS and _BINDING.match(parent.type):
            return True
        if not _PART_OF_PATTERN.match(parent.type) or field in {"value", "right"}:
            return False
        child, parent = parent, parent.parent
    return False


def _of_type(node: Any, kind: str) -> Iterator[Any]:
    """The nodes of one type within a node, in their order."""
    return (at for at in _nodes(node) if at.type == kind)


def _nodes(node: Any) -> Iterator[Any]:
    """A node and all nodes within it, in their order."""
    waiting = [node]
    while waiting:
        at = waiting.pop()
        yield at
        waiting += reversed(at.children)
