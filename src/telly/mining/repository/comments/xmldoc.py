"""Plain words of the XML documentation comments of C#.

Elements are read from the parsed XML. A comment that is not well-formed XML is read with patterns instead, those whose
names begin with `_LOOSE`.
"""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from telly.mining.repository.comments.paragraph import finished, first_paragraph
from telly.mining.repository.comments.text import Verbatim, without_signs

_NEVER = re.compile(r"(?!)")
"""A pattern that matches nothing."""
_FENCE = re.compile(r"^\s*(?:```|~~~)")
"""Beginning of a code block of Markdown."""
_OMITTED = frozenset(
    {"param", "typeparam", "returns", "exception", "example", "value", "seealso", "permission", "inheritdoc", "include"}
    | {"completionlist", "code", "overloads", "threadsafety"}
)
"""Elements that do not belong to the description."""
_BLOCKS = frozenset({"para", "p", "list", "item", "ul", "ol", "li", "table", "div", "pre"})
"""Elements that are paragraphs of their own."""
_SUMMARY = re.compile(r"<summary>(.*?)(?:</summary>|\Z)", re.DOTALL)
_LOOSE_REFERENCE = re.compile(r"<(?:see|seealso|paramref|typeparamref)\s+\w+\s*=\s*\"([^\"]*)\"\s*/>")
_LOOSE_BLOCK = re.compile(rf"<({'|'.join(sorted(_OMITTED))})\b[^<>]*(?:/>|>.*?(?:</\1>|\Z))", re.DOTALL)
_LOOSE_TAG = re.compile(
    r"</?(?:c|para|see|summary|remarks|list|item|term|description|b|i|u|br|a|em|strong|tt)\b[^<>]*>"
)
_PREFIX = re.compile(r"^[A-Z!]:")
"""Prefix of a reference's target, by the kind of the target: `T:` for types, `!:` for unknown names."""


def xmldoc(comment: str) -> str:
    """The description in a documentation comment of C#: its summary, or else its text outside of other elements."""
    text = without_signs(comment)
    verbatim = Verbatim()
    try:
        root = ElementTree.fromstring(f"<doc>{text}</doc>")
    except (ElementTree.ParseError, ValueError):
        description = _without_parsing(text)
    else:
        description = _description(root, verbatim)
    paragraph = first_paragraph(description.split("\n"), stop=_FENCE, lead=_NEVER)
    return finished(paragraph, (), verbatim, entities=False)  # entities such as `&lt;` are already characters


def _description(root: ElementTree.Element, verbatim: Verbatim) -> str:
    """The text of the summary; without one, of the remarks if no text is outside of elements, else of everything."""
    summary = next((element for name in ("summary", "remarks") if (element := root.find(name)) is not None), None)
    outside = "".join([root.text or "", *(child.tail or "" for child in root)])
    # Without a summary, text outside of elements takes precedence over `remarks`.
    if summary is not None and root.find("summary") is None and outside.strip():
        summary = None
    return _text_of(root if summary is None else summary, verbatim)


def _text_of(element: ElementTree.Element, verbatim: Verbatim) -> str:
    """The text in an element without markup, with blank lines between paragraphs; code and names are kept verbatim."""
    parts = [element.text or ""]
    for child in element:
        # In parsed XML, `seealso` and `code` of one line are words of the sentence around them.
        inner = _text_of(child, verbatim).strip() if child.tag not in _OMITTED - {"seealso", "code"} else ""
        if child.tag in {"see", "seealso", "paramref", "typeparamref"}:
            target = next((child.get(name) for name in ("cref", "name", "langword", "href") if child.get(name)), "")
            # A reference without a text of its own reads as its target.
            parts.append(inner or verbatim.keep(_PREFIX.sub("", target or "")))
        elif child.tag in {"c", "tt"} or (child.tag == "code" and "\n" not in (child.text or "")):
            parts.append(verbatim.keep(inner))
        elif child.tag == "code":
            parts.append("\n\n")  # code of several lines ends the paragraph
        elif child.tag in _BLOCKS:
            parts.append(f"\n\n{inner}\n\n")
        else:
            parts.append(f" {inner}" if child.tag == "br" else inner)
        parts.append(child.tail or "")
    return "".join(parts)


def _without_parsing(text: str) -> str:
    """The description in a comment that is not well-formed XML, for instance because of `List<int>`."""
    summary = _SUMMARY.search(text)
    text = summary[1] if summary else _LOOSE_BLOCK.sub("", text)
    text = re.sub(r"</?para\s*/?>", "\n\n", _LOOSE_REFERENCE.sub(lambda match: _PREFIX.sub("", match[1]), text))
    return html.unescape(_LOOSE_TAG.sub("", text))
