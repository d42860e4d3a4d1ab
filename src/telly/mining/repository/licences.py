"""Which licences a repository's files name. A hint for people, no legal advice: what is not found may still hold."""

from __future__ import annotations

import os
import re
from pathlib import Path

LICENCE_FILE = re.compile(r"(?:licen[cs]e|copying|notice|unlicense|copyright)(?:[-._].*)?", re.IGNORECASE)
SPDX = re.compile(r"SPDX-License-Identifier:\s*([\w.+() -]{2,80}?)\s*(?:\*/|-->|$)", re.MULTILINE)
_HEAD = 20_000
_PHRASES = {
    "AGPL-3.0": "gnu affero general public license",
    "LGPL": "gnu lesser general public license",
    "GPL-3.0": "gnu general public license version 3",
    "GPL-2.0": "gnu general public license version 2",
    "GPL": "gnu general public license",
    "Apache-2.0": "apache license version 2.0",
    "MPL-2.0": "mozilla public license version 2.0",
    "EPL-2.0": "eclipse public license - v 2.0",
    "BSL-1.0": "boost software license",
    "Unlicense": "this is free and unencumbered software released into the public domain",
    "CC0-1.0": "cc0 1.0 universal",
    "ISC": "permission to use, copy, modify, and/or distribute this software for any purpose",
    "BSD": "redistribution and use in source and binary forms",
    "MIT": "permission is hereby granted, free of charge, to any person obtaining a copy",
}


def licence_of(text: str) -> str:
    """A licence by its best-known words; `unknown` for any other text."""
    words = " ".join(re.sub(r"[,\"']", "", text[:_HEAD].lower()).split())
    phrases = ((name, re.sub(r"[,\"']", "", phrase)) for name, phrase in _PHRASES.items())
    return next((name for name, phrase in phrases if phrase in words), "unknown")


def licence_files(root: Path) -> list[tuple[str, str]]:
    """The licence files in the folder itself, and in `LICENSES`, with what they are."""
    found = []
    for folder in (root, root / "LICENSES"):
        if not folder.is_dir() or folder.is_symlink():
            continue
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names, in an order of their own
            file = folder / name
            wanted = LICENCE_FILE.fullmatch(name) or folder != root
            if (
                wanted
                and not file.is_symlink()
                and file.is_file()
                and not name.endswith((".py", ".js", ".go", ".java"))
            ):
                with file.open("rb") as stream:
                    text = stream.read(_HEAD).decode(errors="replace")
                found.append((file.relative_to(root).as_posix(), licence_of(text)))
    return found
