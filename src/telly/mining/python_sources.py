"""Mine functions with their docstrings from Python sources, without ever running them.

The docstring is removed from the code, so that code search cannot be solved by copying. Only the first paragraph
of a docstring is kept as the query, as CodeSearchNet does (Husain et al. 2019, section 2).
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from telly.mining.copies import content_key

MIN_CODE_LINES = 3
MIN_DOCSTRING_WORDS = 3
MAX_FILE_BYTES = 1_000_000
GENERATED_NOTE_WITHIN = 1500  # characters; a licence may stand before the note
_GENERATED = re.compile(
    r"@generated|\bgenerated (automatically )?(by|from|with)\b|\bauto[- ]?generated\b|\bdo not (edit|modify)\b",
    re.IGNORECASE,
)
SKIPPED_FOLDERS = frozenset({"test", "tests", "testing", "_vendor", "vendor", "_vendored", "third_party", "extern"})


@dataclass(frozen=True)
class MinedFunction:
    """One function or method: its origin, its code without the docstring, and the first paragraph of the docstring.

    The docstring is empty for a function that has none.
    """

    path: str
    name: str
    line: int
    code: str
    docstring: str


def functions_in(source: str, path: str, *, documented: bool = True) -> Iterator[MinedFunction]:
    """Yield the functions of one source text.

    Args:
        source: Python source. Text that does not parse yields nothing.
        path: path to record as the functions' origin.
        documented: whether to leave out functions without a docstring. Those whose docstring cannot serve as a query
            are always left out.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's code are not our user's business
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = re.split(r"\r\n?|\n", source)  # not splitlines(): it also cuts at form feeds, the parser does not
    for prefix, node in _walk(tree, ""):
        mined = _mine(node, lines, path, prefix)
        if mined is None and not documented and ast.get_docstring(node) is None:
            mined = _mined(node, lines[node.lineno - 1 : node.end_lineno], path, prefix, "")
        if mined is not None:
            yield mined


def mine(root: Path) -> Iterator[MinedFunction]:
    """Yield the distinct documented functions under a folder, in path order.

    Tests, vendored code and generated files are left out.
    """
    seen: set[str] = set()
    for file in source_files(root):
        try:
            source = file.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        if is_generated(source):
            continue
        for function in functions_in(source, file.relative_to(root).as_posix()):
            key = content_key(function.code)
            if key not in seen:
                seen.add(key)
                yield function


def source_files(root: Path) -> Iterable[Path]:
    """The Python files under a folder in path order, without links, tests, vendored and very large files."""
    for file in sorted(root.rglob("*.py")):
        folders = set(file.relative_to(root).parts[:-1])
        if folders & SKIPPED_FOLDERS or file.name.startswith("test_") or file.is_symlink():
            continue
        if file.stat().st_size <= MAX_FILE_BYTES:
            yield file


def is_generated(source: str) -> bool:
    """Return whether a comment or docstring at the top of a file says that a program wrote it."""
    return _GENERATED.search(source[:GENERATED_NOTE_WITHIN]) is not None


def _walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix, child
        elif isinstance(child, ast.ClassDef):
            yield from _walk(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.If | ast.Try):
            yield from _walk(child, prefix)


def _mine(
    node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str], path: str, prefix: str
) -> MinedFunction | None:
    docstring = ast.get_docstring(node)
    if not docstring or len(node.body) < 2:
        return None
    query = first_paragraph(docstring)
    if len(query.split()) < MIN_DOCSTRING_WORDS or not query.isascii():
        return None
    quoted = node.body[0]
    end = quoted.end_lineno or quoted.lineno
    if node.body[1].lineno <= end or quoted.lineno == node.lineno:
        return None  # one-liners such as `def f(): "doc"; return 1`
    code_lines = lines[node.lineno - 1 : quoted.lineno - 1] + lines[end : node.end_lineno]
    return _mined(node, code_lines, path, prefix, query)


def _mined(
    node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str], path: str, prefix: str, query: str
) -> MinedFunction | None:
    code_lines = [line for line in lines if line.strip()]
    if len(code_lines) < MIN_CODE_LINES:
        return None
    return MinedFunction(path, prefix + node.name, node.lineno, textwrap.dedent("\n".join(code_lines)), query)


def first_paragraph(docstring: str) -> str:
    """The first paragraph of a docstring on one line, without doctest prompts or field lists.

    The embedded sample and the pre-training corpus were made by these rules, which therefore stay as they are. Data
    from other people's repositories is described by `telly.mining.repository.comments`.
    """
    paragraph: list[str] = []
    for line in docstring.strip().splitlines():
        text = line.strip()
        if not text or text.startswith((">>>", ":param", ":return", "@param", "Args:", "Parameters")):
            break
        paragraph.append(text)
    return re.sub(r"\s+", " ", " ".join(paragraph))
