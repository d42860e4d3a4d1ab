"""The samples that the package ships; their READMEs say what they are and how they were made.

All come from functions of CPython's standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from telly.data.formats import FUNCTIONS, PAIRS
from telly.errors import DataError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Sample:
    """A small data set by split, for trying a task.

    Attributes:
        folder: its folder within the package's folder of samples; an absolute path is taken as it is.
        suffix: suffix of its files, which are named after their splits; `PAIRS` needs the functions beside them.
    """

    folder: str = ""
    suffix: str = ".jsonl"

    def files(self) -> dict[str, Path]:
        """The files by split, to be read with `telly.data.readers.read`.

        Raises:
            DataError: a file is missing, as in an incomplete installation.
        """
        paths = {}
        for split in SPLITS:
            # A package on disk: the path outlives the context, and the functions of pairs are beside it.
            with as_file(files("telly.data") / "sample") as samples:
                path = paths[split] = samples / self.folder / f"{split}{self.suffix}"
            required = [path, path.with_name(FUNCTIONS)] if path.suffix == PAIRS else [path]
            missing = next((file for file in required if not file.is_file()), None)
            if missing is not None:
                raise DataError(
                    f"{missing}: the sample is not in this installation; expected it beside {__file__}; reinstall"
                )
        return paths


DESCRIBED_FUNCTIONS = Sample()
"""Pairs of function and docstring, which code search, summarization and generation read in either direction."""
