"""The functions of a source tree, file by file; of files that have not changed nothing is parsed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from telly.mining.parallel import cores, in_order
from telly.mining.repository.collect import (
    FILES_A_PIECE,
    FILES_FOR_PROCESSES,
    CollectOptions,
    functions_of,
    source_files,
)
from telly.mining.repository.extract import Function, UnparsableError
from telly.mining.repository.secrets import mask
from telly.mining.repository.walk import SkippedFile, SourceFile, UnreadableError, read_text


@dataclass(frozen=True)
class ReadFile:
    """A file of the tree.

    Attributes:
        path: under the tree, with `/`.
        digest: of its text; blank where it has none that can be used.
        language: its language's name.
        functions: None where the file is as it was.
        reason: why it has no functions; blank where it was read.
    """

    path: str
    digest: str = ""
    language: str = ""
    functions: tuple[Function, ...] | None = field(default=None, repr=False)
    reason: str = ""


def wanted(languages: tuple[str, ...] = (), *, tests: bool = False) -> CollectOptions:
    """All functions and methods, documented or not, however short."""
    return CollectOptions(documented=False, languages=languages, tests=tests, every=True)


def read_tree(
    root: Path, what: CollectOptions, known: Mapping[str, str], workers: int | None = None
) -> Iterator[ReadFile | SkippedFile]:
    """What is left out of a tree, then its files in path order.

    Args:
        root: the folder.
        what: which functions.
        known: digests of files by path, as they were.
        workers: processes that read. [default: one a processor]

    Raises:
        DataError: the folder cannot be listed.
        ConfigError: a grammar is missing.
    """
    files, skipped = source_files(root, what)
    yield from skipped
    work = [(file, known.get(file.path, "")) for file in files]
    pieces = [work[at : at + FILES_A_PIECE] for at in range(0, len(work), FILES_A_PIECE)]
    many = len(files) >= FILES_FOR_PROCESSES and len(files) > 2 * len(known)  # few are new: nothing to share out
    processes = (workers or cores()) if many else 1
    with tqdm(total=len(files), desc="reading", unit="file", disable=None) as bar:
        for results in in_order(partial(_read_piece, root, what), pieces, processes):
            yield from results
            bar.update(len(results))


def _read_piece(root: Path, what: CollectOptions, files: list[tuple[SourceFile, str]]) -> list[ReadFile]:
    return [read_file(root, file, what, digest) for file, digest in files]


def read_file(root: Path, file: SourceFile, what: CollectOptions, known: str = "") -> ReadFile:
    """One file; its functions are looked for if its digest is not the known one. Secrets are masked before."""
    digest = ""
    try:
        text = read_text(root, file.path)
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        if digest == known:
            return ReadFile(file.path, digest)
        language, found = functions_of(file, mask(text)[0], what)
    except (UnreadableError, UnparsableError) as error:
        return ReadFile(file.path, digest, functions=(), reason=str(error))
    return ReadFile(file.path, digest, language.name, tuple(found.functions))
