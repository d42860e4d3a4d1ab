"""Public names that are imported on first use, so that importing a package is instant.

A package lists its names once, as imports in a stub beside it (`__init__.pyi` or `NAME.pyi`): type checkers and editors
read the stub as it is, and `LazyNames` reads the same lines for the names and where they are defined.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any


class LazyNames:
    """The public names of a module.

    Args:
        module: dotted name of the module.
        file: its `__file__`; the stub has the same name and the suffix `.pyi`.
        renamed: what to use instead of names that were public once.
    """

    def __init__(self, module: str, file: str, renamed: Mapping[str, str]) -> None:
        self.module = module
        self.renamed = renamed
        self.homes = read_stub(Path(file).with_suffix(".pyi"))

    def get(self, name: str) -> Any:
        """The object of a public name; to be called by the module's `__getattr__`.

        Raises:
            AttributeError: there is no such name; says the new name of one that was renamed.
        """
        if name in self.homes:
            home = self.homes[name]
            if home == self.module:  # a submodule
                return import_module(f"{home}.{name}")
            return getattr(import_module(home), name)
        text = f"module {self.module!r} has no attribute {name!r}"
        raise AttributeError(f"{text}; use {self.renamed[name]}" if name in self.renamed else text)


def read_stub(stub: Path) -> dict[str, str]:
    """The names that a stub imports, in its order, and the modules that they are imported from."""
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module != "__future__"]
    return {alias.asname or alias.name: str(node.module) for node in imports for alias in node.names}
