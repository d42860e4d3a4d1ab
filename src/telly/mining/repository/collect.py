"""The functions of a source tree, read by several processes, without copies, and split so that nothing leaks.

Texts and signatures are kept in files; in memory a function costs its key, and its signature while copies are removed.
The result does not depend on the number of processes.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from telly.mining.duplicates import PERMUTATIONS, NearDuplicates, signature
from telly.mining.grammars import grammar
from telly.mining.parallel import cores, in_order
from telly.mining.repository.extract import Extraction, Function, UnparsableError, extract
from telly.mining.repository.languages import Language, refined
from telly.mining.repository.licences import SPDX
from telly.mining.repository.secrets import Secret, mask
from telly.mining.repository.splits import SPLITS
from telly.mining.repository.walk import SkippedFile, SourceFile, UnreadableError, read_text, walk

FILES_PER_CHUNK = 16
FILES_FOR_PROCESSES = 200
"""Minimum number of files for several processes; starting them takes longer than reading fewer."""


@dataclass
class Counts:
    """Counts of what was read, left out and masked.

    Attributes:
        files: number of files that were read, by language.
        functions: number of functions in them, by language, before copies are left out.
        skipped: files and folders that were not read.
        left_out: number of functions that were left out, by reason.
        secrets: path, line and kind of every secret that was masked.
        spdx: number of files that declare a licence, by its SPDX identifier.
    """

    files: Counter[str] = field(default_factory=Counter)
    functions: Counter[str] = field(default_factory=Counter)
    skipped: list[SkippedFile] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    secrets: list[tuple[str, int, str]] = field(default_factory=list)
    spdx: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class SpoolEntry:
    """A function with its origin."""

    path: str
    language: str
    function: Function


@dataclass
class _FileResult:
    file: SourceFile
    functions: list[tuple[Function, npt.NDArray[np.uint64]]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    secrets: list[Secret] = field(default_factory=list)
    spdx: list[str] = field(default_factory=list)
    skipped: str | None = None


class Spool:
    """Functions in the order of collection: texts in one file, signatures in another, keys in memory.

    Args:
        folder: folder of the files, which are not removed.
    """

    def __init__(self, folder: Path) -> None:
        self._texts: IO[bytes] = (folder / "functions.spool").open("w+b")
        self._signatures: IO[bytes] = (folder / "signatures.spool").open("w+b")
        self._offsets: list[int] = []
        self.paths: list[str] = []
        self.keys: list[bytes] = []

    def add(self, entry: SpoolEntry, values: npt.NDArray[np.uint64]) -> None:
        """Append a function."""
        self._offsets.append(self._texts.tell())
        self._texts.write(json.dumps(asdict(entry)).encode() + b"\n")
        self._signatures.write(values.astype(np.uint64).tobytes())
        self.paths.append(entry.path)
        self.keys.append(bytes.fromhex(entry.function.key))

    def __len__(self) -> int:
        return len(self.keys)

    def entry(self, index: int) -> SpoolEntry:
        """A function by its index."""
        self._texts.seek(self._offsets[index])
        values: dict[str, Any] = json.loads(self._texts.readline())
        function = values.pop("function")
        return SpoolEntry(**values, function=Function(**{**function, "cuts": tuple(function["cuts"])}))

    def signature(self, index: int) -> npt.NDArray[np.uint64]:
        """A function's signature by its index."""
        size = PERMUTATIONS * 8  # bytes: a signature is as many 64-bit integers
        self._signatures.seek(index * size)
        return np.frombuffer(self._signatures.read(size), dtype=np.uint64)

    def close(self) -> None:
        """Close the files."""
        self._texts.close()
        self._signatures.close()


@dataclass(frozen=True)
class CollectOptions:
    """Options of the search for functions.

    Args:
        documented: whether to take only functions with a description.
        cuts: whether to find lines to complete.
        languages: names of the languages; () for all.
        tests: whether to read test files.
        every: whether to take functions that are too short or too long to learn from.
    """

    documented: bool = True
    cuts: bool = False
    languages: tuple[str, ...] = ()
    tests: bool = False
    every: bool = False


def collect(root: Path, options: CollectOptions, spool: Spool, workers: int | None = None) -> Counts:
    """Put all functions of a source tree into the spool, copies included.

    Raises:
        DataError: the folder cannot be listed.
        ConfigError: a grammar is missing.
    """
    counts = Counts()
    files, counts.skipped = source_files(root, options)
    chunks = [files[at : at + FILES_PER_CHUNK] for at in range(0, len(files), FILES_PER_CHUNK)]
    processes = 1 if len(files) < FILES_FOR_PROCESSES else workers or cores()
    with tqdm(total=len(files), desc="reading", unit="file", disable=None) as bar:
        for results in in_order(partial(_read_chunk, root, options), chunks, processes):
            for result in results:
                _count(result, counts, spool)
            bar.update(len(results))
    return counts


def source_files(root: Path, options: CollectOptions) -> tuple[list[SourceFile], list[SkippedFile]]:
    """The files of a folder to read, in path order, and those to skip.

    Raises:
        DataError: the folder cannot be listed.
        ConfigError: a grammar is missing.
    """
    files: list[SourceFile] = []
    skipped: list[SkippedFile] = []
    for item in walk(root, tests=options.tests):
        if isinstance(item, SkippedFile):
            skipped.append(item)
        elif not options.languages or item.language.name in options.languages:
            files.append(item)
    for wheel, dialect in sorted({file.language.grammar for file in files}):
        grammar(wheel, dialect)  # so that a missing one fails here and not in a process
    return files, skipped


def functions_of(file: SourceFile, text: str, options: CollectOptions) -> tuple[Language, Extraction]:
    """The functions of a file's text, and its language, which its text may refine.

    Raises:
        UnparsableError: the text has no usable tree.
    """
    language = _language(file, text, options)
    return language, extract(text, language, documented=options.documented, cuts=options.cuts, every=options.every)


def _read_chunk(root: Path, options: CollectOptions, files: list[SourceFile]) -> list[_FileResult]:
    return [_read(root, options, file) for file in files]


def _read(root: Path, options: CollectOptions, file: SourceFile) -> _FileResult:
    """Read one file; secrets are masked before anything else sees the text."""
    result = _FileResult(file)
    try:
        text = read_text(root, file.path)
        text, result.secrets = mask(text)
        result.spdx = SPDX.findall(text[:5000])[:5]
        language, extraction = functions_of(file, text, options)
    except (UnreadableError, UnparsableError) as error:
        result.skipped = str(error)
        return result
    result.file = SourceFile(file.path, language)
    result.left_out = extraction.left_out
    result.functions = [(f, signature(f.code, language.name)) for f in extraction.functions]
    return result


def _language(file: SourceFile, text: str, options: CollectOptions) -> Language:
    language = refined(file.language, file.path, text.encode(errors="replace"))
    return language if not options.languages or language.name in options.languages else file.language


def _count(result: _FileResult, counts: Counts, spool: Spool) -> None:
    path = result.file.path
    counts.secrets += [(path, line, kind) for line, kind in result.secrets]
    counts.spdx.update(result.spdx)
    if result.skipped is not None:
        counts.skipped.append(SkippedFile(path, result.skipped))
        return
    counts.files[result.file.language.name] += 1
    counts.functions[result.file.language.name] += len(result.functions)
    counts.left_out += result.left_out
    for function, values in result.functions:
        spool.add(SpoolEntry(path, result.file.language.name, function), values)


def distinct(
    spool: Spool, split_of: dict[str, str], left_out: Counter[str], *, documented: bool
) -> dict[str, list[int]]:
    """Indices of the functions of each split without copies and near-copies, including those across splits.

    Of two copies in one split the first stays, of two in different splits the one in the larger split. Descriptions are
    distinct as well, since one of several functions identifies none of them.
    """
    indices: dict[str, list[int]] = {split: [] for split in SPLITS}
    for index, path in enumerate(spool.paths):
        indices[split_of[path]].append(index)
    keys: set[bytes] = set()
    descriptions: set[str] = set()
    near = NearDuplicates()
    kept_indices: dict[str, list[int]] = {split: [] for split in SPLITS}
    # The largest split comes first and keeps its copies; the smaller ones then have none of its functions.
    order = sorted(SPLITS, key=lambda split: -len(indices[split]))
    with tqdm(total=len(spool), desc="comparing", unit="function", disable=None) as bar:
        for split in order:
            for index in indices[split]:
                bar.update()
                description = " ".join(spool.entry(index).function.description.lower().split()) if documented else ""
                if spool.keys[index] in keys:
                    left_out["duplicate"] += 1
                elif description in descriptions:
                    left_out["same description as another"] += 1
                elif not near.add(spool.signature(index)):
                    left_out["near-duplicate"] += 1
                else:
                    keys.add(spool.keys[index])
                    descriptions |= {description} if description else set()
                    kept_indices[split].append(index)
    return kept_indices


def printable(path: str) -> str:
    """A path as text to print or write: without secrets, undecodable bytes and control characters."""
    text = mask(os.fsencode(path).decode("utf-8", "backslashreplace"))[0]
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
