"""Clones as SARIF 2.1.0, which code review tools show beside the code (OASIS standard, 2020)."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from telly.using.clones import KINDS, CloneGroup, Clones
from telly.using.index import CodeLocation

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "SRCROOT"
_ABOUT = {
    "copy": "Several functions have the same code.",
    "near-duplicate": "Several functions have nearly the same code.",
    "similar": "Functions seem to do the same thing with different code.",
}


def sarif(clones: Clones) -> dict[str, Any]:
    """A log with one result per group, at the group's first function, with the others as related locations."""
    rules = [{"id": _rule(kind), "name": f"{kind.title().replace('-', '')}Functions",
              "shortDescription": {"text": _ABOUT[kind]}, "defaultConfiguration": {"level": _level(kind)}}
             for kind in KINDS]  # fmt: skip
    driver = {
        "name": "telly",
        "version": version("telly"),
        "rules": rules,
    }
    root = f"{clones.root.resolve().as_uri()}/"
    run = {
        "tool": {"driver": driver},
        "originalUriBaseIds": {ROOT: {"uri": root}},
        "columnKind": "unicodeCodePoints",
        "properties": {"model": clones.model, "minSimilarity": clones.min_similarity},
        "results": [_result(group) for group in clones.groups],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(kind: str) -> str:
    return f"clone/{kind}"


def _level(kind: str) -> str:
    return "note" if kind == "similar" else "warning"


def _result(group: CloneGroup) -> dict[str, Any]:
    first, *related = group.locations
    lowest, highest = group.similarity
    links = ", ".join(
        f"[{_clean(location.function.name)}]({number})" for number, location in enumerate(related, start=1)
    )
    similarity = f"{lowest:.2f}" if f"{lowest:.2f}" == f"{highest:.2f}" else f"{lowest:.2f} to {highest:.2f}"
    # sorted, so that a group keeps its fingerprint when functions or files move
    codes = "\0".join(sorted(location.function.code for location in group.locations))
    return {
        "ruleId": _rule(group.kind),
        "ruleIndex": KINDS.index(group.kind),
        "level": _level(group.kind),
        "message": {"text": f"{_clean(first.function.name)} is like {links} (similarity {similarity})."},
        "locations": [_location(first)],
        "relatedLocations": [{"id": number, **_location(location)} for number, location in enumerate(related, start=1)],
        "partialFingerprints": {"group/v1": hashlib.blake2b(codes.encode(), digest_size=16).hexdigest()},
        "properties": {"similarity": [round(lowest, 4), round(highest, 4)]},
    }


def _location(location: CodeLocation) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(os.fsencode(location.path)), "uriBaseId": ROOT},
            "region": {"startLine": location.function.line, "endLine": location.function.last},
        },
        "logicalLocations": [{"fullyQualifiedName": location.function.name, "kind": "function"}],
    }


def _clean(name: str) -> str:
    """A name without the characters that have a meaning in messages."""
    return "".join(" " if char in "[]()\\{}" else char for char in name)
