"""The structural probe's data: the cyclomatic complexity of a function (McCabe 1976)."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from telly.analysis.probes.grammar import python_tree
from telly.analysis.probes.skipped import SkippedTexts, UnusableTextError, usable
from telly.errors import ConfigError

CLASSES = ("1", "2", "3", "4", "5", "more")
_OPENING = {"php": "<?php\n"}  # lizard takes what precedes it for text


@dataclass(frozen=True)
class StructuralExamples:
    """Functions with the class of their complexity.

    Attributes:
        labels: indices into `CLASSES`, [usable].
        indices: indices of the usable texts in the input, [usable].
        skipped: the other texts.
    """

    labels: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    skipped: list[SkippedTexts]


def structural_examples(texts: Sequence[str], language: str = "python") -> StructuralExamples:
    """Label functions with their complexity.

    Args:
        texts: source code, one function each.
        language: `python`, or one that lizard reads.

    Raises:
        ConfigError: radon or lizard is not installed, or lizard does not know the language.
    """
    values, indices, skipped = usable(texts, partial(complexity, language=language))
    return StructuralExamples(np.asarray([complexity_class(v) for v in values], dtype=np.int64), indices, skipped)


def complexity_class(value: int) -> int:
    """Map a complexity of at least 1 to its class, an index into `CLASSES`."""
    return min(value, len(CLASSES)) - 1


def complexity(code: str, language: str = "python") -> int:
    """Compute the cyclomatic complexity of the only function in a text, without functions inside it.

    Python is measured by radon, other languages by lizard. The tools differ in what they count: radon also counts
    comprehensions, `assert` and the `else` of loops and `try`. Lizard reads tokens and no grammar, so it does not
    notice code that does not parse.

    Raises:
        UnusableTextError: the text does not parse, or does not have exactly one outermost function (in Python
            at the top level, so methods do not count).
        ConfigError: radon or lizard is not installed, or lizard does not know the language.
    """
    return _by_radon(code) if language == "python" else _by_lizard(code, language)


def _by_radon(code: str) -> int:
    try:
        from radon.visitors import ComplexityVisitor
    except ImportError:
        raise ConfigError("complexity of Python code needs radon: pip install 'telly[probing]'") from None
    body = python_tree(code).body
    functions = [node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    _check_one(len(functions))
    try:
        (function,) = ComplexityVisitor.from_ast(functions[0]).functions
    except RecursionError:
        raise UnusableTextError("is nested too deeply") from None
    return int(function.complexity)


def _by_lizard(code: str, language: str) -> int:
    analyzer, extension = _lizard(language)
    opening = _OPENING.get(extension, "")
    functions = analyzer.analyze_source_code(f"function.{extension}", opening + code).function_list
    outermost = [i for i in range(len(functions)) if not any(_inside(functions, i, j) for j in range(len(functions)))]
    _check_one(len(outermost))
    return int(functions[outermost[0]].cyclomatic_complexity)


def _inside(functions: list[Any], inner: int, outer: int) -> bool:
    """Check by their lines that one function is inside another; of two on the same lines the inner one ends first."""
    lines = [(functions[i].start_line, functions[i].end_line) for i in (inner, outer)]
    if lines[0] == lines[1]:
        return inner < outer
    return bool(lines[1][0] <= lines[0][0] and lines[0][1] <= lines[1][1])


def _check_one(functions: int) -> None:
    if functions != 1:
        raise UnusableTextError("has no function" if functions == 0 else "has more than one function")


@cache
def _lizard(language: str) -> tuple[Any, str]:
    """Lizard's function that analyses a text, and the file extension by which it knows the language."""
    try:
        import lizard
    except ImportError:
        raise ConfigError("complexity of code other than Python's needs lizard: pip install 'telly[probing]'") from None
    known = {name: reader.ext[0] for reader in lizard.languages() for name in reader.language_names}
    name = language.replace("_", "")  # c_sharp is the grammar's name, csharp lizard's
    if name not in known:
        raise ConfigError(f"expected a language that lizard reads, found {language!r}; known are {', '.join(known)}")
    return lizard.analyze_file, known[name]
