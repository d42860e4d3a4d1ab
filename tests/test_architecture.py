"""The rooms import downwards only, no two classes share a name, and docstrings begin with what they are about."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "telly"
PAGE = ROOT / "docs" / "architecture.md"
TOP = "__init__"
"""The package's own module, and `__main__`: they may import every room, and no room may import them."""

FRAGMENTS = ("Of ", "That ", "Where", "Whatever", "Whichever", "By ", "What ", "Whether")
"""Beginnings of docstrings that continue the name and mean nothing without it."""


def levels(page: str) -> dict[str, int]:
    """The level of every room and base module, 0 at the top, from the table of a page."""
    rows = [line.split("|")[1] for line in page.splitlines() if re.match(r"\| `\w+(/|\.py)`", line)]
    return {name: level for level, row in enumerate(rows) for name in re.findall(r"`(\w+)(?:/|\.py)`", row)}


def sources(package: Path) -> Iterator[tuple[Path, ast.Module]]:
    """The package's modules with their syntax trees, without those that are sample data."""
    for file in sorted(package.rglob("*.py")):
        if "sample" not in file.relative_to(package).parts[:-1]:
            yield file, ast.parse(file.read_text(encoding="utf-8"))


def room_of(module: str, package: Path) -> str:
    """The room or base module of a dotted name: `freezing` of `telly.freezing.split`, `__init__` of `telly.load`."""
    name = [*module.split("."), ""][1]
    return name if (package / name / "__init__.py").is_file() or (package / f"{name}.py").is_file() else TOP


def imports(file: Path, tree: ast.Module, package: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import from the package, those in functions and for types alone included."""
    parts = (package.name, *file.relative_to(package).parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*parts[: len(parts) - node.level + 1]] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{prefix}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.split(".")[0] == package.name)


def upward_imports(package: Path, order: dict[str, int]) -> list[tuple[str, str, str]]:
    """Importing room, imported room and the place of every import that does not go downwards."""
    wrong = []
    for file, tree in sources(package):
        relative = file.relative_to(package)
        room = relative.parts[0].removesuffix(".py")
        if room in (TOP, "__main__"):
            continue
        for line, module in imports(file, tree, package):
            target = room_of(module, package)
            if target != room and not order[room] < order.get(target, -1):
                wrong.append((room, target, f"{relative}:{line} imports {module}"))
    return wrong


def test_every_room_has_a_level():
    rooms = {entry.stem for entry in PACKAGE.iterdir() if entry.suffix == ".py" or (entry / "__init__.py").is_file()}
    assert rooms - {TOP, "__main__"} <= levels(PAGE.read_text(encoding="utf-8")).keys()


def test_rooms_import_downwards_only():
    wrong = upward_imports(PACKAGE, levels(PAGE.read_text(encoding="utf-8")))
    assert [place for _, _, place in wrong] == []


@pytest.mark.parametrize(
    "code",
    [
        "from telly.tuning.run import tune\n",
        "import telly.tuning.run\n",
        "from ..tuning import run\n",
        "def late():\n    from telly.tuning.run import tune\n    return tune\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from telly.tuning.run import tune\n",
        "from telly import tune\n",
        "from telly import tuning\n",
    ],
    ids=["from", "import", "relative", "in a function", "for types", "from the package", "a room"],
)
def test_an_upward_import_is_found_wherever_it_is_written(tmp_path: Path, code: str):
    package = tmp_path / "telly"
    for room, text in {"tuning": "from telly.freezing import plan\n", "freezing": code}.items():
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").write_text("", encoding="utf-8")
        (package / room / "plan.py").write_text(text, encoding="utf-8")
    (package / "__init__.py").write_text("from telly.tuning.plan import plan\n", encoding="utf-8")
    order = levels(
        "| room | what |\n|---|---|\n| `tuning/` | runs |\n| `freezing/` | plans |\n| `errors.py` | errors |\n"
    )
    assert order == {"tuning": 0, "freezing": 1, "errors": 2}
    assert [place.rpartition(":")[0] for _, _, place in upward_imports(package, order)] == ["freezing/plan.py"]
    (package / "freezing" / "plan.py").write_text("import os\nfrom telly.freezing import other\n", encoding="utf-8")
    assert upward_imports(package, order) == []


def shared_names(package: Path) -> dict[str, list[str]]:
    """Names of more than one class with the places of these; a leading underscore makes no difference."""
    places: dict[str, list[str]] = {}
    for file, tree in sources(package):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(f"{file.relative_to(package)}:{node.lineno}")
    return {name: lines for name, lines in places.items() if len(lines) > 1}


def test_no_two_classes_share_a_name():
    assert shared_names(PACKAGE) == {}


def test_two_classes_of_one_name_are_found(tmp_path: Path):
    (tmp_path / "one.py").write_text("class Row:\n    pass\n\nclass Other:\n    pass\n", encoding="utf-8")
    (tmp_path / "two.py").write_text("def rows():\n    class _Row:\n        pass\n", encoding="utf-8")
    assert shared_names(tmp_path) == {"Row": ["one.py:1", "two.py:2"]}


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every string that is a statement: of modules, classes, functions and the names above them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def fragments(package: Path) -> Iterator[tuple[Path, str]]:
    """File, and line with text, of every docstring whose first line cannot be read alone."""
    for file, tree in sources(package):
        for number, text in docstrings(tree):
            line = text.strip().partition("\n")[0]
            if line.startswith(FRAGMENTS) or len(line.split()) < 2:
                yield file, f"{number}: {line}"


def test_docstrings_begin_with_a_line_that_stands_alone():
    wrong = [(file.relative_to(PACKAGE), text) for file, text in fragments(PACKAGE)]
    assert [f"{file}:{text}" for file, text in wrong] == []


@pytest.mark.parametrize("line", ["Of the model.", "What building did.", "Whether it fits.", "Chunk."])
def test_a_fragment_is_found(tmp_path: Path, line: str):
    code = f'"""A module."""\nONE = 1\n"""{line}"""\ndef one():\n    """{line}\n\n    More.\n    """\n'
    (tmp_path / "one.py").write_text(code, encoding="utf-8")
    assert [text for _, text in fragments(tmp_path)] == [f"3: {line}", f"5: {line}"]
