"""Functions and lines by the names that users type: FILE, FILE:FUNCTION, FILE:LINE, or a folder."""

from __future__ import annotations

import re
from pathlib import Path

from telly.errors import ConfigError, DataError
from telly.mining.repository.extract import Function, UnparsableError, extract
from telly.mining.repository.languages import LANGUAGES, NAMES, language_of
from telly.mining.repository.secrets import mask
from telly.mining.repository.walk import SourceFile
from telly.using.index import CodeLocation
from telly.using.reading import ReadFile, collect_options, read_file, read_tree

_SEPARATOR = re.compile(r"::|->|(?<=\w)#(?=\w)")
_SIGIL = re.compile(r"(?<![^.])(?:[$#]|@@?)(?=\w)")


def split_name(text: str, expected: str) -> tuple[Path, str]:
    """Split a name into the file and the text after the colon; both may have colons themselves.

    Args:
        text: the name.
        expected: form of the name, for the error.

    Raises:
        DataError: there is no such file.
    """
    if Path(text).is_file():
        return Path(text), ""
    colons = [at for at, char in enumerate(text) if char == ":"]
    for at in reversed(colons):  # from the last one, since file names may have colons; function names do: Shelf::at
        if Path(text[:at]).is_file():
            return Path(text[:at]), text[at + 1 :]
    raise DataError(f"{text}: no such file; expected {expected}")


def functions_named(text: str) -> list[CodeLocation]:
    """The functions of FILE, or the one of FILE:FUNCTION, where FUNCTION is a name or a line within it.

    Raises:
        DataError: there is no such file or function.
    """
    file, name = split_name(text, "FILE or FILE:FUNCTION")
    locations = functions_of_file(file)
    if not name:
        return locations
    matches = [location for location in locations if _is_named(location.function, name)]
    matches = matches or [location for location in locations if _is_other_spelling(name, location.function)]
    if not matches:
        known = ", ".join(location.function.name for location in locations[:10])
        more = ", ..." if len(locations) > 10 else ""
        raise DataError(f"{file}: has no function {name!r}; known: {known}{more}")
    return matches


def _is_named(function: Function, name: str) -> bool:
    if name.isdecimal():
        return function.line <= int(name) <= function.last
    return function.name == name or function.name.endswith(f".{name}")


def _is_other_spelling(name: str, function: Function) -> bool:
    """True if a name is another spelling of the function's: `Shelf::at`, `operator <<`, `handle` for `$handle`."""
    normalized, full_name = (_normalized(text) for text in (name, function.name))
    return bool(normalized) and (full_name == normalized or full_name.endswith(f".{normalized}"))


def _normalized(name: str) -> str:
    return _SIGIL.sub("", _SEPARATOR.sub(".", "".join(name.split())))


def functions_of_file(file: Path) -> list[CodeLocation]:
    """All functions of a file, whatever folder it is in.

    Raises:
        DataError: its language is unknown, it cannot be read, or it has no function.
    """
    language = language_of(file.name)
    if language is None:
        raise DataError(f"{file}: unknown language; expected sources in {', '.join(NAMES)}")
    source = read_file(file.parent, SourceFile(file.name, language), collect_options(tests=True))
    if not source.functions:
        raise DataError(f"{file}: no functions found{f' ({source.reason})' if source.reason else ''}")
    return [CodeLocation(str(file), source.language, function) for function in source.functions]


def functions_of_text(text: str, language: str) -> list[CodeLocation]:
    """All functions of a text that is not in a file. Secrets are masked first.

    Raises:
        DataError: it has none, or does not parse.
        ConfigError: there is no such language, or its grammar is not installed.
    """
    grammar = next((one for one in LANGUAGES if one.name == language), None)
    if grammar is None:
        raise ConfigError(f"unknown language {language!r}; known: {', '.join(NAMES)}")
    try:
        extracted = extract(mask(text)[0], grammar, documented=False, every=True)
    except UnparsableError as error:
        raise DataError(f"the code cannot be read: {error}; expected {language}") from None
    if not extracted.functions:
        raise DataError(f"no functions found in the code; expected {language} with at least one")
    return [CodeLocation("", language, function) for function in extracted.functions]


def functions_below(path: Path) -> list[CodeLocation]:
    """The functions of a folder's files, or of one file as `functions_named` finds them.

    Raises:
        DataError: there is no such path, or it has no function.
    """
    if not path.is_dir():
        return functions_named(str(path))
    files = [item for item in read_tree(path.resolve(), collect_options(), {}) if isinstance(item, ReadFile)]
    locations = [CodeLocation(str(path / file.path), file.language, f) for file in files for f in file.functions or ()]
    if not locations:
        raise DataError(f"{path}: no functions found; expected sources in {', '.join(NAMES)}")
    return locations
