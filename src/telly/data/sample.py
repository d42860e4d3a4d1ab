"""The sample that the package ships; its README says what it is and how it was made."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from telly.errors import DataError

SPLITS = ("train", "valid", "test")


def sample_files() -> dict[str, Path]:
    """The sample's files by split: function/docstring pairs of CPython's standard library as JSON lines.

    Raises:
        DataError: the files are not in the installed package.
    """
    folder = files("telly.data") / "sample"
    found = {}
    for split in SPLITS:
        with as_file(folder / f"{split}.jsonl") as path:  # a package on disk: the path outlives the context
            found[split] = path
        if not path.is_file():
            raise DataError(f"{path}: the sample is not in this installation; expected it beside {__file__}; reinstall")
    return found
