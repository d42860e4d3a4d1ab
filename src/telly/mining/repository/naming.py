"""The names of functions and classes, as a programmer of their language writes them.

A declaration has its name within it; a value has the name of the variable or property that it is assigned to.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from telly.mining.repository.identifiers import MAX_STEPS, WORD, dotted_name, text_of
from telly.mining.repository.languages import Language

DEFAULT = "default"
"""Name under which other modules import an unnamed export of JavaScript."""
_EXPORTS = frozenset({DEFAULT, "module.exports", "exports.default"})
"""Names of a module's exports; a function's own name is preferred to them."""
_BODIES = ("body", "accessors")
_BODY_KINDS = ("try_statement", "property_hook_list", "arrow_expression_clause", "block")
_MACRO = re.compile(r"[A-Z][A-Z0-9_]+")
_TEST_MACRO = re.compile(r"(TYPED_)?TEST(_[FPG])?")
_ASSIGNS = frozenset({"=", ":=", "||=", "??=", "&&="})
_LISTS = frozenset({"expression_list", "pattern_list", "left_assignment_list"})
_ARGUMENTS = frozenset({"arguments", "argument_list", "argument"})
_ACCESSORS = frozenset({"get", "set", "value"})
_DESCRIBE = frozenset({"Object.defineProperty", "Reflect.defineProperty"})
_DESCRIBE_ALL = frozenset({"Object.defineProperties", "Object.create"})
_SELF_RETURNING = frozenset({"bind", "freeze", "curry", "to_proc"})
_RUBY_LAMBDAS = frozenset({"lambda", "proc", "Proc.new"})
_RUBY_CLASSES = frozenset({"Struct.new", "Class.new", "Module.new", "Data.define"})
_RUBY_OPENS = frozenset({"class_eval", "class_exec", "module_eval", "module_exec"})
_RUBY_DEFINES = frozenset({"define_method", "define_singleton_method"})


@dataclass(frozen=True)
class Named:
    """A function with its name.

    Args:
        name: its name without those of its classes.
        node: the whole node, including the variable or property to which a value is assigned.
        holder: the node with its signature and its body.
    """

    name: str
    node: Any
    holder: Any


def named(node: Any, language: Language) -> Named | None:
    """A function's name and nodes; None if it has no name."""
    if node.type in language.values or _is_lambda(node, language):
        bound = binding(node, language)
        if bound is not None:
            return Named(_value_name(node, bound[0]), bound[1], node)
    name = _declared(node)
    holder = node.child_by_field_name("block") if node.type == "call" else node
    return Named(name, node, holder) if name else None


def class_name(node: Any, language: Language) -> str:
    """The name of a class, which comes before those of its functions; blank if it has none."""
    if node.type == "impl_item":
        return _implemented(node)
    if node.type == "singleton_class":
        value = node.child_by_field_name("value")
        return "" if value is None or value.type == "self" else dotted_name(value) or ""
    if node.type in {"object_creation_expression", "anonymous_class"}:
        bound = binding(node.parent if node.type == "anonymous_class" else node, language)
        return bound[0] if bound is not None else ""
    if node.type == "class":
        bound = binding(node, language)
        if bound is not None:
            return _value_name(node, bound[0])
    name = node.child_by_field_name("name")
    return "" if name is None or name.type == "string" else dotted_name(name) or ""


def block_class(node: Any, language: Language) -> str | None:
    """The name of a class that a call of Ruby makes or opens with its block; None for others, blank without a name."""
    called = _called(node)
    owner, _, method = called.rpartition(".")
    if method in _RUBY_OPENS and owner[:1].isupper():
        return owner
    if called not in _RUBY_CLASSES:
        return None
    bound = binding(node, language)
    return bound[0] if bound is not None else ""


def _value_name(node: Any, bound: str) -> str:
    """The name to which a value is assigned, or its own if it is assigned to a module's export."""
    return (dotted_name(node.child_by_field_name("name")) or bound) if bound in _EXPORTS else bound


def is_named_block(node: Any) -> bool:
    """Return whether a call of Ruby with a block defines a function; other blocks are merely run."""
    return _called(node) in _RUBY_LAMBDAS or _ruby_defined(node) is not None


def body_of(holder: Any) -> Any:
    """The node of a function's body; None if it has none."""
    fields = map(holder.child_by_field_name, _BODIES)
    kinds = (child for child in holder.children if child.type in _BODY_KINDS)
    return next((part for part in (*fields, *kinds) if part is not None), None)


def binding(value: Any, language: Language) -> tuple[str, Any] | None:
    """Target of an assigned value: the name, and the node that holds both."""
    binders = dict(language.binders)
    # Climb until a node gives the value a name. Nodes that pass it on unchanged are stepped through: lists (which fix
    # its position among the names), casts, and calls that return the function that they are given.
    child, parent, index = value, value.parent, None
    for _ in range(MAX_STEPS):
        if parent is None:
            return None
        if parent.type in binders:
            if parent.type == "export_statement":
                return DEFAULT, child
            name = _described(parent) or _target(parent, binders[parent.type], child, index)
            return (name, parent) if name else None
        if parent.type in _LISTS:
            index = parent.named_children.index(child)
        elif parent.type in _ARGUMENTS:
            if parent.parent is not None and parent.parent.type in _ARGUMENTS:
                parent = parent.parent
            if parent.parent is None or not _returns_argument(parent.parent, language):
                return None
            parent = parent.parent
        elif _returns_itself(parent, child):
            parent = parent.parent if parent.type == "member_expression" else parent
        elif parent.type not in language.passes or (parent.type == "initializer_list" and parent.named_child_count > 1):
            return None
        child, parent = parent, parent.parent
    return None


def _returns_itself(node: Any, value: Any) -> bool:
    """Return whether a method of the function itself returns it: `.bind(this)`, `.freeze`."""
    called = {"member_expression": ("object", "property"), "call": ("receiver", "method")}.get(node.type)
    if called is None or node.child_by_field_name(called[0]) != value:
        return False
    method = node.child_by_field_name(called[1])
    is_call = node.type == "call" or (node.parent is not None and node.parent.type == "call_expression")
    return is_call and method is not None and text_of(method) in _SELF_RETURNING


def _target(binder: Any, field: str, value: Any, index: int | None) -> str | None:
    """The name on the other side of an assignment, of several names the one at the value's index."""
    targets = binder.children_by_field_name(field)
    if value in targets or any(child.type.endswith("=") and child.type not in _ASSIGNS for child in binder.children):
        return None
    if len(targets) == 1 and targets[0].type in _LISTS:
        targets = targets[0].named_children
    targets = [target for target in targets if target.is_named]
    if index is None and len(targets) != 1:
        return None
    index = index or 0
    if index >= len(targets):
        return None
    return dotted_name(targets[index])


def _returns_argument(call: Any, language: Language) -> bool:
    """Return whether a call returns its argument, a function, or a version of it."""
    function = call.child_by_field_name("function")
    while function is not None and function.type == call.type:  # connect(state)(function () {})
        function = function.child_by_field_name("function")
    name = (dotted_name(function) or "").rpartition(".")[2] if function is not None else ""
    higher_order = "forwardRef" in language.calls and re.match(r"with[A-Z]", name) is not None
    return name in language.calls or higher_order


def _described(member: Any) -> str | None:
    """The property that a member of JavaScript's property descriptors is for, as in `defineProperty(a, 'b', {get})`."""
    descriptor, key = member.parent, None
    if descriptor is None or descriptor.type != "object":
        return None
    if dotted_name(member.child_by_field_name("key" if member.type == "pair" else "name")) not in _ACCESSORS:
        return None
    if descriptor.parent is not None and descriptor.parent.type == "pair":  # of several properties
        key = dotted_name(descriptor.parent.child_by_field_name("key"))
        descriptor = descriptor.parent.parent
    arguments = descriptor.parent
    if arguments is None or arguments.type != "arguments":
        return None
    function = dotted_name(arguments.parent.child_by_field_name("function"))
    if function not in (_DESCRIBE_ALL if key else _DESCRIBE):
        return None
    owner, *rest = arguments.named_children
    key = key or (dotted_name(rest[0]) if rest and rest[0].type == "string" else None)
    if key is None or descriptor not in rest:
        return None
    known = dotted_name(owner) if function != "Object.create" and owner.type != "this" else None
    return f"{known}.{key}" if known else key


def _declared(node: Any) -> str | None:
    """The name that a declaration gives itself."""
    if node.type == "method_definition" and (described := _described(node)) is not None:
        return described
    if (special := _DECLARED.get(node.type)) is not None:
        return special(node)
    name = dotted_name(node.child_by_field_name("name"))
    owner = _interface(node)
    return f"{owner}.{name}" if name and owner else name


def _interface(node: Any) -> str | None:
    """The interface that a member of C# names before its own name."""
    interface = next((child for child in node.named_children if child.type == "explicit_interface_specifier"), None)
    return dotted_name(interface)


def _c_function(node: Any) -> str | None:
    """The name in a declarator. `NAME(...) {` without a type calls a macro, unless it makes an object of its class."""
    declarator = node.child_by_field_name("declarator")
    name = dotted_name(declarator)
    if name == "void" and declarator.type == "parenthesized_declarator":  # `f(void)` after a type that does not parse
        return dotted_name(node.child_by_field_name("type"))
    if name is None or declarator.type != "function_declarator" or node.child_by_field_name("type") is not None:
        return name
    if not _MACRO.fullmatch(name) or name == _class_around(node, ("class_specifier", "struct_specifier")):
        return name
    parameters = declarator.child_by_field_name("parameters")
    words = [" ".join(text_of(child).split()) for child in parameters.named_children] if parameters is not None else []
    return ".".join(words) if _TEST_MACRO.fullmatch(name) and all(map(WORD.fullmatch, words)) else None


def _class_around(node: Any, kinds: tuple[str, ...]) -> str | None:
    around = node.parent
    while around is not None and around.type not in kinds:
        around = around.parent
    return dotted_name(around.child_by_field_name("name")) if around is not None else None


def _method(node: Any) -> str | None:
    """A method, after its owner: the receiver's type in Go, an explicit interface in C#."""
    name = dotted_name(node.child_by_field_name("name"))
    receiver = node.child_by_field_name("receiver")
    types = [child.child_by_field_name("type") for child in receiver.named_children] if receiver is not None else []
    owner = dotted_name(types[0]) if types else _interface(node)
    return f"{owner}.{name}" if owner and name else name


def _ruby_singleton(node: Any) -> str | None:
    """A method of `self` within a class is the class's; that of another object has the object before its name."""
    name = dotted_name(node.child_by_field_name("name"))
    owner = node.child_by_field_name("object")
    if name is None or owner is None or owner.type == "self":
        return name
    inside = _class_around(node, ("class", "module"))
    return name if dotted_name(owner) in {None, inside} else f"{dotted_name(owner)}.{name}"


def _ruby_defined(node: Any) -> str | None:
    """The name that is passed to `define_method`."""
    arguments = node.child_by_field_name("arguments")
    if _called(node).rpartition(".")[2] not in _RUBY_DEFINES or arguments is None or not arguments.named_child_count:
        return None
    first = arguments.named_children[0]
    return dotted_name(first) if first.type in {"simple_symbol", "string"} else None


def _cs_operator(node: Any) -> str:
    """An operator of C# from its keyword to its parameters: `operator +`, `explicit operator int`."""
    at = next(child for child in node.children if child.type in {"explicit", "implicit", "operator"})
    end = node.child_by_field_name("parameters")
    last = end.start_byte if end is not None else at.end_byte
    text = (node.text or b"")[at.start_byte - node.start_byte : last - node.start_byte]
    return " ".join(text.decode(errors="replace").split())


def _cs_indexer(node: Any) -> str:
    owner = _interface(node)
    return f"{owner}.this[]" if owner else "this[]"


def _cs_destructor(node: Any) -> str | None:
    name = dotted_name(node.child_by_field_name("name"))
    return f"~{name}" if name else None


def _property(node: Any) -> str | None:
    """A property of C#, or of PHP, where the name is within an element."""
    element = next((child for child in node.named_children if child.type == "property_element"), node)
    name = dotted_name(element.child_by_field_name("name"))
    owner = _interface(node)
    return f"{owner}.{name}" if name and owner else name


def _implemented(node: Any) -> str:
    """The type that an `impl` of Rust is for; the trait if that type has no name or is a parameter."""
    kind = node.child_by_field_name("type")
    parameters = node.child_by_field_name("type_parameters")
    generics = parameters.named_children if parameters is not None else []
    name = dotted_name(kind)
    if name is None or any(name == dotted_name(parameter.child_by_field_name("name")) for parameter in generics):
        name = dotted_name(node.child_by_field_name("trait")) or name
    return name or ""


def _called(call: Any) -> str:
    """Text of the callee of a Ruby call: `Struct.new`."""
    return dotted_name(call) or ""


def _is_lambda(node: Any, language: Language) -> bool:
    return language.name == "ruby" and node.type == "call" and _called(node) in _RUBY_LAMBDAS


_DECLARED: dict[str, Callable[[Any], str | None]] = {
    "function_definition": lambda node: _c_function(node) or dotted_name(node.child_by_field_name("name")),
    "method_declaration": _method,
    "singleton_method": _ruby_singleton,
    "call": _ruby_defined,
    "operator_declaration": _cs_operator,
    "conversion_operator_declaration": _cs_operator,
    "indexer_declaration": _cs_indexer,
    "destructor_declaration": _cs_destructor,
    "property_declaration": _property,
}
