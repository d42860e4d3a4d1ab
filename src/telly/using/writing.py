"""Summaries, next lines and functions, written as the run's evaluation writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from telly.errors import ConfigError, DataError
from telly.inference.tuned_model import TunedModel
from telly.mining.repository.rows import cut
from telly.mining.repository.walk import UnreadableError, read_text
from telly.using.choice import choose
from telly.using.index import CodeLocation
from telly.using.places import functions_named, split_name
from telly.using.search import Say


def quiet(_line: str) -> None:
    """Tell nobody."""


def _ready(task: str, model: str | None, say: Say) -> TunedModel:
    choice = choose(task, model)
    say(choice.line)
    return TunedModel.load(choice.model, task)


@dataclass(frozen=True)
class Summary:
    """A function and a sentence about it."""

    place: CodeLocation
    text: str


def summarize(where: str, *, model: str | None = None, say: Say = quiet) -> list[Summary]:
    """Describe the functions of a file, or one of them.

    Args:
        where: FILE, FILE:FUNCTION or FILE:LINE.
        model: a run's folder or another model. [default: the newest run of summarize, else the embedded model]
        say: told what a person should know.

    Raises:
        DataError: there is no such file or function.
        TellyError: the model cannot be used.
    """
    places = functions_named(where)
    return summaries_by(_ready("summarize", model, say), places)


def summaries_by(tuned: TunedModel, places: Sequence[CodeLocation]) -> list[Summary]:
    """Describe functions by a model that is loaded."""
    texts = tuned.generate([place.function.code for place in places])
    return [Summary(place, text) for place, text in zip(places, texts, strict=True)]


@dataclass(frozen=True)
class Completion:
    """A line of a file as the model writes it.

    Attributes:
        line: its number, from 1.
        text: what the model writes, without indentation.
        indent: the white space that it begins with.
        actual: what stands there; blank where nothing does.
    """

    line: int
    text: str
    indent: str
    actual: str


def complete(where: str, *, model: str | None = None, say: Say = quiet) -> Completion:
    """Write a line of a file from all lines before it.

    Args:
        where: FILE:LINE; the line after the last one is written at the end.
        model: a run's folder or another model. [default: the newest run of complete, else the embedded model]
        say: told what a person should know.

    Raises:
        DataError: there is no such file or line, or nothing stands before it.
        TellyError: the model cannot be used.
    """
    file, number = split_name(where, "FILE:LINE")
    try:
        text = read_text(file.parent, file.name)
    except UnreadableError as error:
        raise DataError(f"{file}: {error}; expected a source file") from None
    gap = find_gap(text, number, where, "FILE:LINE with a line")
    return completion_by(_ready("complete", model, say), gap)


@dataclass(frozen=True)
class CompletionPoint:
    """A line to write.

    Attributes:
        line: its number, from 1.
        context: what the model sees.
        indent: the white space that it begins with.
        actual: what stands there.
    """

    line: int
    context: str
    indent: str
    actual: str


def find_gap(text: str, number: str, where: str, expected: str) -> CompletionPoint:
    """A line of a text, and what stands before it.

    Args:
        text: the source.
        number: of the line, as a person wrote it.
        where: what the line is called in messages.
        expected: what is asked for in messages, up to the range of numbers.

    Raises:
        DataError: there is no such line, or nothing stands before it.
    """
    lines = text.split("\n")
    last = len(lines) + (lines[-1] != "")
    if not number.isdecimal() or not 2 <= int(number) <= last:
        raise DataError(f"{where}: expected {expected} from 2 to {last}, found {number or 'no line'}")
    at = int(number) - 1
    before = [line for line in lines[:at] if line.strip()]  # as the functions that models are tuned on
    if not before:
        raise DataError(f"{where}: nothing stands before this line; expected code to go on from")
    there = lines[at] if at < len(lines) else ""
    indent = _indent(there if there.strip() else before[-1])
    row = cut([*before, f"{indent}x"], len(before))
    return CompletionPoint(at + 1, row["context"], indent, there.strip())


def completion_by(tuned: TunedModel, gap: CompletionPoint) -> Completion:
    """Write a line by a model that is loaded."""
    [text] = tuned.generate([gap.context])
    return Completion(gap.line, text, gap.indent, gap.actual)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def generate(description: str, *, model: str | None = None, say: Say = quiet) -> str:
    """Write code that a text describes.

    Args:
        description: the text.
        model: a run's folder or another model. [default: the newest run of generate, else the embedded model]
        say: told what a person should know.

    Raises:
        ConfigError: the description is blank.
        TellyError: the model cannot be used.
    """
    check_description(description)
    return code_by(_ready("generate", model, say), description)


def check_description(description: str) -> None:
    """Refuse a text that says nothing.

    Raises:
        ConfigError: it is blank.
    """
    if not description.strip():
        raise ConfigError("the description is blank; expected what the code should do, in words")


def code_by(tuned: TunedModel, description: str) -> str:
    """Write code by a model that is loaded."""
    [code] = tuned.generate([description])
    return code
