"""The samples that the package ships, one for each task; their READMEs say what they are and how they were made."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from telly.data.formats import FUNCTIONS, PAIRS
from telly.data.schema import schema_for
from telly.errors import DataError

SPLITS = ("train", "valid", "test")
SHARED = frozenset({"search", "summarize", "generate"})  # pairs of function and docstring, read in either direction
SUFFIXES = {"clone": PAIRS}


def sample_files(task: str = "search") -> dict[str, Path]:
    """The files of a task's sample by split, to be read with `telly.data.readers.read`.

    All come from functions of CPython's standard library. Code search, summarization and generation share one sample.

    Raises:
        ConfigError: there is no such task.
        DataError: the files are not in the installed package.
    """
    schema_for(task)
    folder = files("telly.data") / "sample" / ("" if task in SHARED else task)
    found = {}
    for split in SPLITS:
        # A package on disk: the path outlives the context, and the functions of pairs lie beside it.
        with as_file(folder / f"{split}{SUFFIXES.get(task, '.jsonl')}") as path:
            found[split] = path
        needed = [path, path.with_name(FUNCTIONS)] if path.suffix == PAIRS else [path]
        missing = next((file for file in needed if not file.is_file()), None)
        if missing is not None:
            raise DataError(
                f"{missing}: the sample is not in this installation; expected it beside {__file__}; reinstall"
            )
    return found
