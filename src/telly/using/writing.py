"""Summaries, next lines and functions, generated as in the evaluation of a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from telly.errors import ConfigError, DataError
from telly.inference.tuned_model import TunedModel
from telly.mining.repository.rows import cut
from telly.mining.repository.walk import UnreadableError, read_text
from telly.using.choice import choose
from telly.using.index import CodeLocation
from telly.using.locations import functions_named, split_name

logger = logging.getLogger(__name__)


def _load(task: str, model: str | None) -> TunedModel:
    choice = choose(task, model)
    logger.info(choice.message)
    return TunedModel.load(choice.model, task)


@dataclass(frozen=True)
class Summary:
    """A function and a sentence about it."""

    location: CodeLocation
    text: str


def summarize(where: str, *, model: str | None = None) -> list[Summary]:
    """Describe the functions of a file, or one of them.

    Args:
        where: FILE, FILE:FUNCTION or FILE:LINE.
        model: a run's folder or another model. [default: the newest run of summarize, else the embedded model]

    Raises:
        DataError: there is no such file or function.
        TellyError: the model cannot be used.
    """
    locations = functions_named(where)
    return summaries_by(_load("summarize", model), locations)


def summaries_by(tuned: TunedModel, locations: Sequence[CodeLocation]) -> list[Summary]:
    """Summarize functions with a loaded model."""
    texts = tuned.generate([location.function.code for location in locations])
    return [Summary(location, text) for location, text in zip(locations, texts, strict=True)]


@dataclass(frozen=True)
class Completion:
    """A generated line of a file.

    Attributes:
        line: line number, from 1.
        text: the generated text, without indentation.
        indent: white space before the text.
        actual: the text that the file has there; blank if it has none.
    """

    line: int
    text: str
    indent: str
    actual: str


def complete(where: str, *, model: str | None = None) -> Completion:
    """Generate a line of a file from all lines before it.

    Args:
        where: FILE:LINE; the line after the last one is allowed.
        model: a run's folder or another model. [default: the newest run of complete, else the embedded model]

    Raises:
        DataError: there is no such file or line, or no code before it.
        TellyError: the model cannot be used.
    """
    file, number = split_name(where, "FILE:LINE")
    try:
        text = read_text(file.parent, file.name)
    except UnreadableError as error:
        raise DataError(f"{file}: {error}; expected a source file") from None
    point = completion_point(text, number, where, "FILE:LINE with a line")
    return completion_by(_load("complete", model), point)


@dataclass(frozen=True)
class CompletionPoint:
    """A line to generate.

    Attributes:
        line: line number, from 1.
        context: the lines before it, in the form that the model reads.
        indent: white space before the text.
        actual: the text that the file has there.
    """

    line: int
    context: str
    indent: str
    actual: str


def completion_point(text: str, number: str, where: str, expected: str) -> CompletionPoint:
    """Find a line of a text and the lines before it.

    Args:
        text: the source.
        number: line number as the user wrote it.
        where: name of the line in error messages.
        expected: expected input in error messages, up to the range of numbers.

    Raises:
        DataError: there is no such line, or no code before it.
    """
    lines = text.split("\n")
    last = len(lines) + (lines[-1] != "")
    if not number.isdecimal() or not 2 <= int(number) <= last:
        raise DataError(f"{where}: expected {expected} from 2 to {last}, found {number or 'no line'}")
    index = int(number) - 1
    before = [line for line in lines[:index] if line.strip()]  # without blank lines, as in the tuning data
    if not before:
        raise DataError(f"{where}: there is no code before this line; expected code to continue")
    actual = lines[index] if index < len(lines) else ""
    indent = _indent(actual if actual.strip() else before[-1])
    # the cut of mining, so that the context is what models are tuned on; `x` stands for the line to generate
    row = cut([*before, f"{indent}x"], len(before))
    return CompletionPoint(index + 1, row["context"], indent, actual.strip())


def completion_by(tuned: TunedModel, point: CompletionPoint) -> Completion:
    """Generate a line with a loaded model."""
    [text] = tuned.generate([point.context])
    return Completion(point.line, text, point.indent, point.actual)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def generate(description: str, *, model: str | None = None) -> str:
    """Generate code that a text describes.

    Args:
        description: the text.
        model: a run's folder or another model. [default: the newest run of generate, else the embedded model]

    Raises:
        ConfigError: the description is blank.
        TellyError: the model cannot be used.
    """
    check_description(description)
    return code_by(_load("generate", model), description)


def check_description(description: str) -> None:
    """Refuse a blank description.

    Raises:
        ConfigError: it is blank.
    """
    if not description.strip():
        raise ConfigError("the description is blank; expected what the code should do, in words")


def code_by(tuned: TunedModel, description: str) -> str:
    """Generate code with a loaded model."""
    [code] = tuned.generate([description])
    return code
