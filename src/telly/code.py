"""Tuned models on source code: search a folder, find clones, summarize, complete, generate, classify.

The commands `telly search`, `telly clones` and so on call the same functions. The names are listed in `code.pyi` and
imported on first use.
"""

from __future__ import annotations

from typing import Any

from telly.lazy import LazyNames

_RENAMED = {"index": "telly.code.build_index", "clones": "telly.code.find_clones"}
_names = LazyNames(__name__, __file__, _RENAMED)
__all__ = sorted(_names.homes)  # noqa: PLE0605 - the names of the stub


def __getattr__(name: str) -> Any:
    return _names.get(name)


def __dir__() -> list[str]:
    return __all__
