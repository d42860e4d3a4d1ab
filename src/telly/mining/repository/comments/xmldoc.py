"""The XML comments of C#."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from telly.mining.repository.comments.paragraph import finished, first_paragraph
from telly.mining.repository.comments.text import Verbatim, without_signs

_NOTHING = re.compile(r"(?!)")
_FENCE = re.compile(r"^\s*(?:```|~~~)")


_OMITTED = frozenset(
    {"param", "typeparam", "returns", "exception", "example", "value", "seealso", "permission", "inheritdoc", "include"}
    | {"completionlist", "code", "overloads", "threadsafety"}
)
_BLOCKS = frozenset({"para", "p", "list", "item", "ul", "ol", "li", "table", "div", "pre"})
_SUMMARY = re.compile(r"<summary>(.*?)(?:</summary>|\Z)", re.DOTALL)
_LOOSE_REFERENCE = re.compile(r"<(?:see|seealso|paramref|typeparamref)\s+\w+\s*=\s*\"([^\"]*)\"\s*/>")
_LOOSE_BLOCK = re.compile(rf"<({'|'.join(sorted(_OMITTED))})\b[^<>]*(?:/>|>.*?(?:</\1>|\Z))", re.DOTALL)
_LOOSE_TAG = re.compile(
    r"</?(?:c|para|see|summary|remarks|list|item|term|description|b|i|u|br|a|em|strong|tt)\b[^<>]*>"
)
_PREFIX = re.compile(r"^[A-Z!]:")


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
    return finished(first_paragraph(description.split("\n"), _FENCE, _NOTHING), (), verbatim, entities=False)


def _description(root: ElementTree.Element, verbatim: Verbatim) -> str:
    summary = next((element for name in ("summary", "remarks") if (element := root.find(name)) is not None), None)
    outside = "".join([root.text or "", *(child.tail or "" for child in root)])
    # Without a summary, text outside of elements takes precedence over `remarks`.
    if summary is not None and root.find("summary") is None and outside.strip():
        summary = None
    return _words(root if summary is None else summary, verbatim)


def _words(element: ElementTree.Element, verbatim: Verbatim) -> str:
    parts = [element.text or ""]
    for child in element:
        inner = _words(child, verbatim).strip() if child.tag not in _OMITTED - {"seealso", "code"} else ""
        if child.tag in {"see", "seealso", "paramref", "typeparamref"}:
            target = next((child.get(name) for name in ("cref", "name", "langword", "href") if child.get(name)), "")
            # A reference without words reads as its target, without a prefix such as `T:` for types.
            parts.append(inner or verbatim.keep(_PREFIX.sub("", target or "")))
        elif child.tag in {"c", "tt"} or (child.tag == "code" and "\n" not in (child.text or "")):
            parts.append(verbatim.keep(inner))
        elif child.tag == "code":
            parts.append("\n\n")
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
