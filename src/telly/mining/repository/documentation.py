"""Documentation of a function: the docstring within it, or the comment before it.

Attributes, decorators, overload signatures and other comments may come between a comment and its function. The package
`telly.mining.repository.comments` reads what the comment says.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from telly.mining.repository.comments import STYLES, Style, is_description
from telly.mining.repository.comments.docstrings import docstring_value
from telly.mining.repository.comments.text import is_block
from telly.mining.repository.languages import Language

MAX_STEPS = 1_000
"""Maximum number of siblings before a function that are searched. A comment of more lines documents nothing."""
_MARKS = frozenset(
    {"sig", "private", "protected", "public", "module_function", "private_class_method", "public_class_method"}
    | {"override", "abstract", "overridable", "final", "memoize", "memo_wise", "deprecate"}  # gems for signatures
    | {"desc", "long_desc", "method_option", "method_options", "option"}  # Thor
)
"""Ruby's calls that qualify the method after them, as attributes do in other languages."""
_SIGNATURES = frozenset({"function_signature", "method_signature", "abstract_method_signature", "declaration"})
_WRAPPED = frozenset({"export_statement", "ambient_declaration"})
_MACRO = re.compile(r"[A-Z][A-Z0-9_]+\s*(?:\(.*\))?\s*;?", re.DOTALL)
_RUST_DOC = re.compile(r"#\[doc\s*=\s*(?:r#*)?\"(.*)\"#*\]", re.DOTALL)
_ITEM = re.compile(
    r"(?:[*-]\s+)?[`$&*@]{0,3}(\w+)`?(?:\s*,\s*\w+)*\s*(?:\([^()]*\)\s*)?"
    r"(?::\s|\s--\s|\s[-\u2013]\s(?=[A-Z\[{]|(?:the|an?|if|whether)\b)|(?<=`)\s[-\u2013]\s)"
)
"""An item of a list of parameters, without a title above it: `x: the width`, `x (int): the width`, `x - The width`."""
MAX_PARTS = 100
"""Maximum number of nodes of a function in which its parameters are searched."""
_LEADING = frozenset({"modifiers", "attribute_list", "annotation", "marker_annotation", "decorator"})
_NAMES = ("name", "declarator")


@dataclass(frozen=True)
class Documentation:
    """Documentation of one function.

    Args:
        words: the description; blank if there is none.
        rows: rows of the source within the function's code that contain nothing else.
    """

    words: str = ""
    rows: frozenset[int] = frozenset()


@dataclass
class _CommentGroups:
    """Comments before a function, the nearest first; a group is a list of comments that belong together.

    Attributes:
        signed: groups of comments with the style's sign.
        touching: groups of other comments, without a gap between them and the function.
    """

    signed: list[list[str]] = field(default_factory=list)
    touching: list[list[str]] = field(default_factory=list)


def documentation(node: Any, language: Language, blank: Collection[int]) -> Documentation | str:
    """Find the documentation of a function, or the reason why its docstring cannot be taken out of its code.

    Args:
        node: the function.
        language: its language.
        blank: the blank rows of the source. In the tree they look like text that was hidden from the parser.
    """
    style = STYLES[language.style]
    if language.style == "docstring":
        return _docstring(node, style)
    comments = [(level, _comments_above(level, node, language, style, blank)) for level in _levels(node, language)]
    texts = [text for _, groups in comments for text in map(_text_of, groups.signed)]
    candidates = [text for text in texts if not (style.foreign and style.foreign.search(text))]
    # Comments without the sign count only if there is none with it, and only before a whole declaration, not within it.
    if not texts:
        outside = [groups for level, groups in comments if level.parent.type not in language.wrappers]
        candidates = [text for groups in outside for text in _touching(groups)]
    words = next((words for words in map(style.describe, candidates) if _is_description(words, node)), "")
    return Documentation(words) if words else _within(node, style)


def last_row(node: Any) -> int:
    """The row of a node's last character; Rust's comments end at the beginning of the next row."""
    row: int = node.end_point[0]
    return row - 1 if node.end_point[1] == 0 and row > node.start_point[0] else row


def is_comment(node: Any) -> bool:
    """Return whether a node is a comment in any grammar."""
    return "comment" in node.type


def _text(node: Any) -> str:
    text: str = (node.text or b"").decode(errors="replace")
    return text


def _docstring(node: Any, style: Style) -> Documentation | str:
    """Python's docstring: the first statement, if it is a text and nothing else."""
    body = node.child_by_field_name("body")
    statements = [child for child in body.named_children if not is_comment(child)] if body is not None else []
    if not statements or statements[0].type != "expression_statement" or statements[0].child_count != 1:
        return Documentation()
    first = statements[0]
    literal = first.children[0]
    while literal.type == "parenthesized_expression":
        literal = next((child for child in literal.named_children if not is_comment(child)), first)
    value = docstring_value(_text(first)) if literal.type in {"string", "concatenated_string"} else None
    if value is None:
        return Documentation()
    rows = range(first.start_point[0], first.end_point[0] + 1)
    if len(statements) == 1:
        return "nothing but a docstring"
    if statements[1].start_point[0] in rows or body.start_point[0] == node.start_point[0]:
        return "docstring on a line with code"
    words = style.describe(value)
    return Documentation(words if _is_description(words, node) else "", frozenset(rows))


def _is_description(words: str, function: Any) -> bool:
    """Return whether words describe a function, and not one of its parameters."""
    item = _ITEM.match(words)
    return is_description(words) and (item is None or item[1] not in _parameter_words(function))


def _parameter_words(function: Any) -> frozenset[str]:
    """The words between the brackets of a function's parameters."""
    waiting = [function]
    for node in waiting:
        parameters = node.child_by_field_name("parameters")
        if parameters is not None:
            return frozenset(re.findall(r"\w+", _text(parameters)))
        waiting.extend(node.named_children[: MAX_PARTS - len(waiting)])
    return frozenset()


def _levels(node: Any, language: Language) -> Iterator[Any]:
    """A function and the nodes around it whose comment documents it as well."""
    yield node
    while (parent := node.parent) is not None and _documents_child(parent, node, language):
        node = parent
        yield node


def _documents_child(parent: Any, node: Any, language: Language) -> bool:
    """Return whether a comment before a node documents its child, since the child is all of it or its first part."""
    if parent.type.startswith("preproc_"):
        alternative = parent.child_by_field_name("alternative")
        if alternative == node:
            return True
        heads = [parent.child_by_field_name(name) for name in ("condition", "name")]
        return [
            child for child in parent.named_children if child not in (*heads, alternative) and not is_comment(child)
        ] == [node]
    before = node.prev_named_sibling
    return parent.type in (*language.shells, *language.wrappers) and (before is None or before.type != node.type)


def _siblings_before(node: Any, language: Language) -> Iterator[Any]:
    """Nodes before a node, the nearest first; for the first statement of a body, those before the body."""
    for _ in range(MAX_STEPS):
        before = node.prev_sibling
        if before is None and node.parent is not None and node.parent.type in language.bodies:
            node = node.parent
            before = node.prev_sibling
        if before is None:
            return
        yield before
        node = before


def _comments_above(
    level: Any, function: Any, language: Language, style: Style, blank: Collection[int]
) -> _CommentGroups:
    """The comments before a node, up to anything else that does not belong to the function.

    Two distances decide which comments belong together: whether nothing separates a comment from the function, and
    whether nothing separates it from the last comment below it.
    """
    groups = _CommentGroups()
    below = level
    touches_function = touches_last = True
    for sibling in _siblings_before(level, language):
        doc = _RUST_DOC.fullmatch(_text(sibling)) if sibling.type == "attribute_item" else None
        if not is_comment(sibling) and doc is None:
            if not _may_stand_between(sibling, function, language):
                break
            touches_function = touches_function and sibling.type != "access_specifier"
            below, touches_last = sibling, False
            continue
        # Blank rows below the comment; the count stops after eight, which is more than any style allows.
        gap = sum(
            row in blank for row in range(last_row(sibling) + 1, min(below.start_point[0], last_row(sibling) + 9))
        )
        if gap > style.max_gap or (gap > 0 and _is_first_of_file(sibling)):
            break
        if _is_beside_code(sibling, below, style):
            if not _may_stand_between(sibling.prev_sibling, function, language):
                break
            continue
        touches_function, touches_last = touches_function and gap <= 0, touches_last and gap <= 0
        text = _text(sibling).rstrip() if doc is None else _rust_doc(doc[1])
        below = sibling
        if not _take(
            groups, text, style, touches_function=touches_function, touches_last=touches_last, stacks=gap <= 0
        ):
            break
        touches_last = True
    return groups


def _take(
    groups: _CommentGroups, text: str, style: Style, *, touches_function: bool, touches_last: bool, stacks: bool
) -> bool:
    """Add a comment to its group; return whether the one above it may belong to the function as well."""
    block = _is_block(text)
    if style.sign.match(text) and not (block and style.foreign and style.foreign.search(text)):
        if not groups.signed or (block and style.stacked and stacks):
            groups.signed.append([text])
        elif style.joined or (touches_last and not block):
            groups.signed[-1].append(text)
        else:
            return False
        return style.joined or style.stacked or not block
    if groups.signed:
        return style.joined
    if touches_function and style.plain:
        if not block and touches_last and groups.touching and not _is_block(groups.touching[-1][-1]):
            groups.touching[-1].append(text)
        else:
            groups.touching.append([text])
    return True


def _is_block(text: str) -> bool:
    return is_block(text) or text.startswith("=begin")


def _touching(groups: _CommentGroups) -> list[str]:
    """The comments without the style's sign; blocks come before lines, which are more often remarks."""
    return sorted(map(_text_of, groups.touching), key=lambda text: not _is_block(text))


def _text_of(comments: list[str]) -> str:
    """The text of a group of comments, which are given from the last to the first."""
    return "\n".join(reversed(comments))


def _may_stand_between(node: Any, function: Any, language: Language) -> bool:
    """Return whether a node may come between a function and its comment, such as an overload or an attribute."""
    if node.type in language.between:
        return True
    inner = node
    while inner.type in _WRAPPED:
        inner = next((child for child in inner.named_children if child.type in _SIGNATURES), inner.children[-1])
    if inner.type in _SIGNATURES:
        name = _name(inner)
        return bool(name) and name == _name(function)
    if language.style == "rubydoc" and node.type in {"call", "identifier"}:
        called = node.child_by_field_name("method") if node.type == "call" else node
        return called is not None and _text(called) in _MARKS and not any(map(_holds_method, node.named_children))
    if language.style == "doxygen" and node.type in {"expression_statement", "preproc_call"}:
        text = _text(node).strip()
        return text.startswith("#pragma") or _MACRO.fullmatch(text) is not None
    return False


def _holds_method(node: Any) -> bool:
    return any(child.type in {"method", "singleton_method"} for child in (node, *node.named_children))


def _name(node: Any) -> str:
    """The name of a function or of the declaration of one."""
    while node is not None and node.type not in {"identifier", "field_identifier", "qualified_identifier"}:
        inner = next((child for name in _NAMES if (child := node.child_by_field_name(name)) is not None), None)
        if inner is None:
            break
        node = inner
    return _text(node)


def _is_beside_code(comment: Any, below: Any, style: Style) -> bool:
    """Return whether a comment follows something on its line and so belongs to that."""
    before = comment.prev_sibling
    if before is None or is_comment(before) or last_row(before) != comment.start_point[0]:
        return False
    opens = before.type in {"{", "(", "["} and style.sign.match(_text(comment)) is not None
    return not opens and last_row(comment) != below.start_point[0]


def _is_first_of_file(comment: Any) -> bool:
    """Return whether only a tag such as `<?php` precedes a comment, which then, with a gap below, is about the file."""
    before = comment.prev_sibling
    outermost = comment.parent is not None and comment.parent.parent is None
    return outermost and (before is None or before.type in {"php_tag", "hash_bang_line"})


def _rust_doc(literal: str) -> str:
    """The attribute `#[doc = "..."]` as the equivalent comment."""
    return "\n".join(f"///{line}" for line in literal.replace('\\"', '"').replace("\\n", "\n").split("\n"))


def _within(node: Any, style: Style) -> Documentation:
    """A documentation comment between a function's attributes and its name, as PHP allows it."""
    waiting = list(node.children)
    after_attribute = False
    while waiting:
        child = waiting.pop(0)
        if child.type in _LEADING and any(map(is_comment, child.children)):
            waiting = list(child.children) + waiting
        elif child.type in _LEADING or child.type == "attribute_group":
            after_attribute = True
        elif is_comment(child) and after_attribute and style.sign.match(_text(child)):
            words = style.describe(_text(child))
            if _is_description(words, node):
                return Documentation(words, _whole_rows(child))
        elif not is_comment(child):
            break
    return Documentation()


def _whole_rows(comment: Any) -> frozenset[int]:
    """The rows of a comment that contain no other code."""
    before, after = comment.prev_sibling, comment.next_sibling
    shared = {last_row(before)} if before is not None else set()
    if after is not None:
        shared.add(after.start_point[0])
    return frozenset(range(comment.start_point[0], last_row(comment) + 1)) - shared
