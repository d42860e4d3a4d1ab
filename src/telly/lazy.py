"""Public names that are imported on first use, so that importing a package is instant.

A module lists its names once, as imports in the stub beside it (`__init__.pyi`, `code.pyi`): type checkers and editors
read the stub as it is, and `LazyNames` reads the same lines.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any


class LazyNames:
    """The public names of a module.

    Args:
        module: dotted name of the module.
        file: its `__file__`.
        renamed: replacements of names that are no longer public.
    """

    def __init__(self, module: str, file: str, renamed: Mapping[str, str]) -> None:
        self.module = module
        self.renamed = renamed
        self.homes = read_stub(f"{file.removesuffix('.py')}.pyi")

    def get(self, name: str) -> Any:
        """The object with a public name; called by the module's `__getattr__`.

        Raises:
            AttributeError: there is no such name; the text has the new name of one that was renamed.
            ImportError: the same, for `from MODULE import NAME`.
        """
        if name in self.homes:
            home = self.homes[name]
            return import_module(f"{home}.{name}") if home == self.module else getattr(import_module(home), name)
        if name not in self.renamed:
            raise AttributeError(f"module {self.module!r} has no attribute {name!r}")
        text = f"{self.module}.{name} is no longer there; use {self.renamed[name]}"
        # `from telly import NAME` asks through importlib, which would replace the text of an AttributeError.
        caller = sys._getframe(2).f_globals.get("__name__")
        raise (ImportError if caller == "importlib._bootstrap" else AttributeError)(text)


def read_stub(stub: str) -> dict[str, str]:
    """Names that a stub imports, and the modules that they come from, from lines `from MODULE import NAME as NAME`."""
    with open(stub, encoding="utf-8") as stream:  # noqa: PTH123 - pathlib would double the time that the import takes
        imports = [line.split() for line in stream if line.startswith("from ")]
    return {words[-1]: words[1] for words in imports}
