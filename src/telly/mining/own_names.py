"""References of a function to itself in its own code: its name at the definition, and words that refer to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

IDENTIFIERS = frozenset(
    {"identifier", "name", "constant", "property_identifier", "field_identifier", "private_property_identifier"}
)
OVERLOADING = frozenset({"java", "c-sharp", "cpp"})
"""Languages in which several functions may share a name, so that a function may call another one of its own name."""
_BRANCHES = frozenset({"if", "for", "while", "do", "switch", "case", "catch", "?", "??", "&&", "||"})
_NAME_FIELDS = ("name", "declarator", "left", "key", "property", "pattern", "operator")
_WRAPPED_NAMES = frozenset(
    {
        *("reference_declarator", "parenthesized_declarator"),
        *("expression_list", "pattern_list", "left_assignment_list", "literal_element"),
    }
)
_MEMBERS = frozenset({"member_expression", "field_access", "selector_expression", "attribute", "field_expression"})
_DOTTED = re.compile(rb"([\w$.@#\s]*)(?:\.|->)\s*([\w$#]+)")
_TEST_MACRO = re.compile(rb"(?:TYPED_)?TEST(?:_[FPG])?")
_RUBY_DEFINES = frozenset({b"define_method", b"define_singleton_method"})
_OWN_OBJECT = frozenset({b"self", b"this", b"cls", b"Self", b"static"})
_CLASSES = re.compile(
    r"(?:class|struct|interface|enum|record|trait)_(?:declaration|definition|specifier)$|class$|module$"
)
_PART_OF_PATTERN = re.compile(
    r".*(?:pattern|pattern_list|pattern_target|expression_list|left_assignment_list|declarator)$"
)
_BINDING_FIELDS = frozenset({"name", "pattern", "left", "declarator", "parameter", "alias"})
_BINDING = re.compile(
    r".*(?:declarator|declaration|assignment|for_|foreach|range_clause|let_|match_|named_expression|as_pattern|_spec"
    r"|arrow_function|catch|exception_variable|(?:function|class)_(?:definition|expression|item))"
)


@dataclass(frozen=True)
class SelfReferences:
    """References to the function itself in its code.

    Attributes:
        parts: ids of the nodes of the name in the definition.
        names: words by which the function can refer to itself after `this` or its class.
        bare: words by which it can refer to itself without either.
        objects: words before an access operator, after which the function's name refers to the function.
        parameters: number of its parameters; None if the language has no overloading.
    """

    parts: frozenset[int]
    names: frozenset[bytes]
    bare: frozenset[bytes]
    objects: frozenset[bytes]
    parameters: int | None


def self_references(outer: Any, node: Any, holder: Any, language: str) -> SelfReferences:
    """Find the references to a function in its own code."""
    parts: set[int] = set()
    words: list[bytes] = []
    objects = set(_OWN_OBJECT)
    defined = _name_node(node)
    if defined is not None:
        words += _define(defined, parts, objects)
    inner = holder.child_by_field_name("name") if holder != node else None  # const f = function g() {}
    inner_words = [] if inner is None else _define(inner, parts, objects)
    if language == "go":
        parts |= _receiver(node, objects)
    text = outer.text or b""
    if not any(text.count(word) > 1 for word in {*words, *inner_words}):  # nothing can refer to the function
        return SelfReferences(frozenset(parts), frozenset(), frozenset(), frozenset(), None)
    if language in OVERLOADING and not any(at.type in _BRANCHES for at in nodes(outer)):
        words, inner_words = [], []  # without a branch recursion never ends, so it is a call of an overload
    objects |= _class_name(node)
    bare = set(inner_words) | (set(words) if not _is_called_by_object(node, defined, language) else set())
    bare = {word for word in bare if not _is_bound(outer, text, word, parts)}
    parameters = _parameter_count(node) if language in OVERLOADING else None
    return SelfReferences(
        frozenset(parts), frozenset(words + inner_words), frozenset(bare), frozenset(objects), parameters
    )


def _name_node(node: Any) -> Any:
    """The node of a function's name, in C within declarators; None if the function has no name."""
    if node.type == "call":
        return _ruby_defined(node)
    if node.type == "property_declaration":  # of PHP, else it has a name itself
        node = next(of_type(node, "property_element"), node)
    at = node
    while at.type not in _MEMBERS and at.type not in {"qualified_identifier", "operator_cast", "call"}:
        fields = map(at.child_by_field_name, _NAME_FIELDS)
        following = next((child for child in fields if child is not None), None)
        if following is None and at.type in _WRAPPED_NAMES and at.named_child_count == 1:
            following = at.named_children[0]
        if following is None:
            break
        at = following
    if at == node or at.type == "call":
        return None
    test = at.parent if _TEST_MACRO.fullmatch(at.text or b"") and node.child_by_field_name("type") is None else None
    return (test.child_by_field_name("parameters") or at) if test is not None else at


def _ruby_defined(call: Any) -> Any:
    """The name that is passed to `define_method`; None for other calls."""
    method, arguments = call.child_by_field_name("method"), call.child_by_field_name("arguments")
    if method is None or arguments is None or method.text not in _RUBY_DEFINES or not arguments.named_children:
        return None
    first = arguments.named_children[0]
    return first if first.type in {"simple_symbol", "string"} else None


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
        case kind if kind in _MEMBERS:  # exports.f, A.prototype.f
            dotted = _DOTTED.fullmatch(name.text or b"")
            parts |= {name.id} if dotted else {name.named_children[-1].id}
            objects |= {dotted[1]} if dotted else set()
            return [dotted[2]] if dotted else []
        case "destructor_name":
            parts |= {child.id for child in name.children if child.is_named}
            return []
        case "operator_cast" | "computed_property_name" | "subscript_expression" | "get" | "set" | "init":
            return []
    parts.add(name.id)
    if name.type == "simple_symbol":
        return [(name.text or b"")[1:]]
    return [name.text or b""] if name.type in IDENTIFIERS else []


def _receiver(node: Any, objects: set[bytes]) -> set[int]:
    """The node of the type in a Go method's receiver; the receiver's name is added to `objects`."""
    receiver = node.child_by_field_name("receiver")
    declared = next(of_type(receiver, "parameter_declaration"), None) if receiver is not None else None
    if declared is None:
        return set()
    name, declared_type = declared.child_by_field_name("name"), declared.child_by_field_name("type")
    objects |= {name.text} if name is not None and name.text else set()
    base = next(of_type(declared_type, "type_identifier"), None) if declared_type is not None else None
    return set() if base is None else {base.id}


def _class_name(node: Any) -> set[bytes]:
    """The name of the class around a function."""
    parent = node.parent
    while parent is not None and not _CLASSES.search(parent.type):
        parent = parent.parent
    name = parent.child_by_field_name("name") if parent is not None else None
    return {name.text} if name is not None and name.text else set()


def _is_called_by_object(node: Any, name: Any, language: str) -> bool:
    """Return whether a function can be called only through an object: its name alone refers to another function."""
    if name is not None and name.type in _MEMBERS:
        return True
    if language == "python":
        parameters = node.child_by_field_name("parameters")
        first = parameters.named_children[:1] if parameters is not None else []
        return any((leaf.text or b"") in {b"self", b"cls"} for leaf in first)
    if language == "rust":
        return next(of_type(node.child_by_field_name("parameters") or node, "self_parameter"), None) is not None
    methods = {"method_definition", "pair", "field_definition", "public_field_definition"}
    kinds = {"go": {"method_declaration"}, "php": {"method_declaration"}, "javascript": methods, "typescript": methods}
    return node.type in kinds.get(language, ())


def _parameter_count(node: Any) -> int | None:
    """The number of a function's parameters; None if it has no list of them."""
    parameters = node.child_by_field_name("parameters")
    if parameters is None:
        parameters = next(of_type(node, "parameter_list"), None)
    return None if parameters is None else _child_count(parameters)


def count_arguments(leaf: Any) -> int | None:
    """The number of arguments of the call of an identifier; None if it is not called."""
    call = leaf.parent
    for _ in range(3):  # the name may be part of a member access or of a generic name
        if call is None:
            return None
        arguments = call.child_by_field_name("arguments")
        if arguments is not None:
            return _child_count(arguments)
        call = call.parent
    return None


def _child_count(node: Any) -> int:
    return sum("comment" not in child.type for child in node.named_children)


def _is_bound(outer: Any, text: bytes, word: bytes, parts: set[int]) -> bool:
    """Return whether a parameter or a variable within the function has the same name, and so hides the function."""
    offsets = [outer.start_byte + match.start() for match in re.finditer(re.escape(word), text)]
    for offset in offsets:
        leaf = outer.descendant_for_byte_range(offset, offset + len(word))
        if leaf is None or leaf.child_count or leaf.end_byte - leaf.start_byte != len(word) or leaf.id in parts:
            continue
        if leaf.type == "shorthand_property_identifier_pattern" or _binds(leaf):
            return True
    return False


def _binds(leaf: Any) -> bool:
    """Return whether an identifier is a parameter, or a target of an assignment, a loop or a definition."""
    if leaf.type not in IDENTIFIERS:
        return False
    # Climb through patterns, such as those of tuples, to the node that binds all their names.
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


def of_type(node: Any, kind: str) -> Iterator[Any]:
    """The nodes of one type within a node, in their order."""
    return (at for at in nodes(node) if at.type == kind)


def nodes(node: Any) -> Iterator[Any]:
    """A node and all nodes within it, in their order."""
    waiting = [node]
    while waiting:
        at = waiting.pop()
        yield at
        waiting += reversed(at.children)
