"""The list of a report's files: with it the next report in the same folder removes those that it does not replace."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from telly.disk import write_json

FILES_FILE = "files.json"
"""Lists all other files that a report wrote, by their paths in its folder."""


def replace_files(output: Path, files: Iterable[Path], spared: Iterable[Path] = ()) -> None:
    """List the files of a new report, and remove files of the previous report that it does not have.

    Nothing else is touched: neither other files in the folder, nor files that a manipulated list names
    outside of it.

    Args:
        output: the report's folder.
        files: the new report's files.
        spared: folders whose files stay and stay listed: the report may have read what an earlier one copied.
    """
    inputs = [folder.resolve() for folder in spared]
    earlier = _listed(output)
    staying = {name for name in earlier if any((output / name).resolve().is_relative_to(folder) for folder in inputs)}
    names = sorted(staying | {file.relative_to(output).as_posix() for file in files})
    for name in earlier.difference(names):
        file = output / name
        with suppress(OSError):
            file.unlink(missing_ok=True)
            for folder in file.parents[: len(PurePosixPath(name).parts) - 1]:
                folder.rmdir()  # fails, as it should, unless the folder is empty
    write_json(output / FILES_FILE, {"files": names})


def _listed(output: Path) -> set[str]:
    """Files that the previous report listed; the list may be missing, damaged or manipulated."""
    try:
        listed = json.loads((output / FILES_FILE).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    names = (name for name in listed if isinstance(name, str)) if isinstance(listed, list) else ()
    return {name for name in names if _is_below(output, name)}


def _is_below(output: Path, name: str) -> bool:
    return (output / name).parent.resolve().is_relative_to(output.resolve()) and ".." not in PurePosixPath(name).parts
