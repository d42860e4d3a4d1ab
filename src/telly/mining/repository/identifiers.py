"""The name in a node of a syntax tree, its parts joined with `.`.

A name comes from the types of nodes that are known to contain one. Without such a node there is no name: the text of an
arbitrary node is never taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

MAX_NAME = 200
MAX_STEPS = 50
"""Maximum number of nodes between a name and what it names: real code has a dozen, and each costs a call."""
WORD = re.compile(r"(?:r#|[#$@~]*)[\w\x80-\U0010ffff][\w$\x80-\U0010ffff]*[?!=]?|[$_]+")
_SELF = frozenset({"this", "self", "cls", "$this", "static"})
_WHOLE = frozenset(
    {
        *("variable_name", "setter", "operator", "private_property_identifier", "instance_variable", "class_variable"),
        *("global_variable", "destructor_name"),
    }
)
"""Nodes whose whole text is a name, though they have parts."""
_PARTS: dict[str, tuple[str, ...]] = {
    "member_expression": ("object", "property"),
    "nested_identifier": ("object", "property"),
    "attribute": ("object", "attribute"),
    "selector_expression": ("operand", "field"),
    "field_access": ("object", "field"),
    "field_expression": ("argument", "value", "field"),
    "member_access_expression": ("object", "expression", "name"),
    "scoped_property_access_expression": ("scope", "name"),
    "scope_resolution": ("scope", "name"),
    "qualified_identifier": ("scope", "name"),
    "qualified_name": ("qualifier", "name"),
    "scoped_identifier": ("path", "name"),
    "scoped_type_identifier": ("path", "name"),
    "call": ("receiver", "method"),
    "subscript_expression": ("object", "index"),
}
"""Nodes of several names, with the fields of these in their order."""
_WITHIN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("template_type", "template_function", "template_method", "dependent_name"), ("name",)),
    **dict.fromkeys(("function_declarator", "pointer_declarator", "array_declarator"), ("declarator",)),
    **dict.fromkeys(("generic_type", "reference_type"), ("type",)),
    **dict.fromkeys(("dynamic_type", "abstract_type"), ("trait",)),
}
"""Nodes around a name, with the field that leads to it."""
_AROUND = frozenset(
    {
        *("reference_declarator", "parenthesized_declarator", "attributed_declarator", "pointer_type"),
        *("parenthesized_type", "literal_element", "generic_name", "mut_pattern", "parenthesized_expression"),
        *("explicit_interface_specifier", "dynamic_type", "bounded_type"),
    }
)
"""Nodes around a name without a field for it: the name is that of the first child that has one."""


def dotted_name(node: Any, steps: int = MAX_STEPS) -> str | None:
    """The name in a node, its parts joined with `.`; None if there is none."""
    if node is None or not steps:
        return None
    special = _SPECIAL.get(node.type)
    if special is not None:
        name = special(node)
    elif node.type in _WHOLE:
        name = text_of(node)
    elif node.type in _PARTS:
        name = _joined(node, steps - 1)
    elif node.type in _WITHIN and (inner := _field(node, _WITHIN[node.type])) is not None:
        name = dotted_name(inner, steps - 1)
    elif node.type in _AROUND:
        name = next(filter(None, (dotted_name(child, steps - 1) for child in node.named_children)), None)
    elif node.named_child_count:
        name = None
    else:
        text = text_of(node)
        name = text if WORD.fullmatch(text) else None
    return name[:MAX_NAME] if name else None


def _joined(node: Any, steps: int) -> str | None:
    """The names of a node's fields; only the last if the first is no name or the object itself."""
    children = [child for name in _PARTS[node.type] if (child := node.child_by_field_name(name)) is not None]
    names = [dotted_name(child, steps) for child in children]
    if not names or not names[-1]:
        return None
    if node.type == "subscript_expression":
        if children[-1].type not in {"string", "member_expression"}:  # the index is known only at run time
            return None
        names[-1] = names[-1] if children[-1].type == "string" else f"[{names[-1]}]"
    first = names[0] if len(names) > 1 else None
    if first is None or first in _SELF or children[0].type == "relative_scope":
        return names[-1]
    return f"{first}.{names[-1]}"


def _field(node: Any, names: tuple[str, ...]) -> Any:
    return next((child for name in names if (child := node.child_by_field_name(name)) is not None), None)


def text_of(node: Any) -> str:
    """A node's text."""
    text: str = (node.text or b"").decode(errors="replace")
    return text


def _string(node: Any) -> str | None:
    """The content of a text literal that is one piece on one line."""
    parts = node.named_children
    text = text_of(parts[0]) if len(parts) == 1 and parts[0].type in {"string_fragment", "string_content"} else ""
    return text if text.isprintable() and text.strip() else None


def _computed(node: Any) -> str | None:
    """A name in square brackets, as of `[Symbol.iterator]`; a text in them is the name itself."""
    inner = next(iter(node.named_children), None)
    if inner is None or inner.type in {"string", "number"}:
        return dotted_name(inner)
    name = dotted_name(inner)
    if inner.type == "call_expression":  # [Symbol.for('key')]
        arguments = inner.child_by_field_name("arguments")
        keys = (
            [dotted_name(argument) if argument.type == "string" else None for argument in arguments.named_children]
            if arguments
            else []
        )
        function = dotted_name(inner.child_by_field_name("function"))
        name = f"{function}('{keys[0]}')" if function and len(keys) == 1 and keys[0] else None
    return f"[{name}]" if name else None


def _nested(node: Any) -> str | None:
    return ".".join(filter(None, map(dotted_name, node.named_children))) or None


def _operator(node: Any) -> str:
    """An operator of C++: of words with a space after `operator`, of signs without."""
    sign = "".join(text_of(node).removeprefix("operator").split())
    return f"operator {sign}" if sign[:1].isalpha() else f"operator{sign}"


def _cast(node: Any) -> str:
    """A conversion of C++, such as `operator bool`."""
    inner = node.child_by_field_name("declarator")
    while inner is not None and inner.type != "abstract_function_declarator":
        inner = next((child for child in inner.named_children if child.type.startswith("abstract_")), None)
    end = inner.start_byte if inner is not None else node.end_byte
    words = " ".join((node.text or b"")[: end - node.start_byte].decode(errors="replace").split())
    return re.sub(r" (?=[*&])", "", words)


_SPECIAL: dict[str, Callable[[Any], str | None]] = {
    "string": _string,
    "encapsed_string": _string,
    "computed_property_name": _computed,
    "nested_namespace_specifier": _nested,
    "operator_name": _operator,
    "operator_cast": _cast,
    "number": text_of,
    "simple_symbol": lambda node: text_of(node).removeprefix(":"),
}
