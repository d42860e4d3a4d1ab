"""Licences that a repository's files name. A hint and not legal advice: a licence may apply that is not found here."""

from __future__ import annotations

import os
import re
from pathlib import Path

LICENCE_FILE = re.compile(r"(?:licen[cs]e|copying|notice|unlicense|copyright)(?:[-._].*)?", re.IGNORECASE)
SPDX = re.compile(r"SPDX-License-Identifier:\s*([\w.+() -]{2,80}?)\s*(?:\*/|-->|$)", re.MULTILINE)
_MAX_HEAD = 20_000
"""Bytes of a licence file that are read."""
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
"""Licences and phrases of their texts in the order of search: a licence before the more general ones."""


def licence_of(text: str) -> str:
    """A licence by its best-known words; `unknown` for any other text."""
    words = " ".join(re.sub(r"[,\"']", "", text[:_MAX_HEAD].lower()).split())
    phrases = ((name, re.sub(r"[,\"']", "", phrase)) for name, phrase in _PHRASES.items())
    return next((name for name, phrase in phrases if phrase in words), "unknown")


def licence_files(root: Path) -> list[tuple[str, str]]:
    """The licence files of a folder and of `LICENSES` in it, each with the name of its licence."""
    licences = []
    for folder in (root, root / "LICENSES"):  # the second is the convention of REUSE
        if not folder.is_dir() or folder.is_symlink():
            continue
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names, in an order of their own
            file = folder / name
            is_licence = LICENCE_FILE.fullmatch(name) or folder != root
            if (
                is_licence
                and not file.is_symlink()
                and file.is_file()
                and not name.endswith((".py", ".js", ".go", ".java"))
            ):
                with file.open("rb") as stream:
                    text = stream.read(_MAX_HEAD).decode(errors="replace")
                licences.append((file.relative_to(root).as_posix(), licence_of(text)))
    return licences
