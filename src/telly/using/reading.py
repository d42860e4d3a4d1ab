"""The functions of a source tree, file by file; unchanged files are not parsed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from telly.mining.parallel import cores, in_order
from telly.mining.repository.collect import (
    FILES_FOR_PROCESSES,
    FILES_PER_CHUNK,
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
        path: path under the tree, with `/`.
        digest: digest of its text; blank if it has no usable text.
        language: name of its language.
        functions: its functions; None if the file is unchanged.
        reason: reason why it has no functions; blank if it was read.
    """

    path: str
    digest: str = ""
    language: str = ""
    functions: tuple[Function, ...] | None = field(default=None, repr=False)
    reason: str = ""


def collect_options(languages: tuple[str, ...] = (), *, tests: bool = False) -> CollectOptions:
    """Options for all functions and methods, documented or not, of any length."""
    return CollectOptions(documented=False, languages=languages, tests=tests, every=True)


def read_tree(
    root: Path, options: CollectOptions, known_digests: Mapping[str, str], workers: int | None = None
) -> Iterator[ReadFile | SkippedFile]:
    """The skipped parts of a tree, then its files in path order.

    Args:
        root: the folder.
        options: functions to read.
        known_digests: digests of the files at the last reading, by path; files that still have them are not parsed.
        workers: processes that read files. [default: one per processor]

    Raises:
        DataError: the folder cannot be listed.
        ConfigError: a grammar is missing.
    """
    files, skipped = source_files(root, options)
    yield from skipped
    work = [(file, known_digests.get(file.path, "")) for file in files]
    chunks = [work[start : start + FILES_PER_CHUNK] for start in range(0, len(work), FILES_PER_CHUNK)]
    # starting processes pays only if many files must be parsed, so not if half of them or more are known
    is_large = len(files) >= FILES_FOR_PROCESSES and len(files) > 2 * len(known_digests)
    processes = (workers or cores()) if is_large else 1
    with tqdm(total=len(files), desc="reading", unit="file", disable=None) as bar:
        for results in in_order(partial(_read_chunk, root, options), chunks, processes):
            yield from results
            bar.update(len(results))


def _read_chunk(root: Path, options: CollectOptions, files: list[tuple[SourceFile, str]]) -> list[ReadFile]:
    return [read_file(root, file, options, digest) for file, digest in files]


def read_file(root: Path, file: SourceFile, options: CollectOptions, known_digest: str = "") -> ReadFile:
    """Read one file; it is parsed unless its digest is the known one. Secrets are masked first."""
    digest = ""
    try:
        text = read_text(root, file.path)
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        if digest == known_digest:
            return ReadFile(file.path, digest)
        language, extracted = functions_of(file, mask(text)[0], options)
    except (UnreadableError, UnparsableError) as error:
        return ReadFile(file.path, digest, functions=(), reason=str(error))
    return ReadFile(file.path, digest, language.name, tuple(extracted.functions))
