"""An index of a source tree's functions: its layout on disk, and reading it.

The folder has generations, and the file `current` names one of them. A generation is written completely beside the
others before `current` is replaced, so there is a complete index whenever a process is killed. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import platformdirs

from telly.errors import CodeIndexError
from telly.inference.embeddings import Embeddings
from telly.metrics.bm25 import Bm25
from telly.mining.repository.extract import Function
from telly.models.similarity import Similarity
from telly.using.dense import Dense

FORMAT = 2
"""Format of the files, raised when their meaning changes. 2: words of any script, no stop words, keys of functions."""
EARLIER_FORMATS = (1,)
"""Formats whose embeddings an update reuses; it reads the sources again."""
CURRENT, LOCK = "current", "lock"
META, FILES, FUNCTIONS, STARTS, EMBEDDINGS = "index.json", "files.json", "functions.jsonl", "starts.npy", "vectors.npy"
WORDS, DENSE = "words", "dense"
_READ_ERRORS = (OSError, ValueError, KeyError, TypeError, RuntimeError)
"""Exceptions of reading an incomplete generation."""


@dataclass(frozen=True)
class Meta:
    """Metadata of an index.

    Attributes:
        root: the indexed folder.
        task: task of the model: search, clone or clone-retrieval.
        model: name of the model, by which it can be loaded again.
        key: everything the embeddings depend on (`EmbeddingKey`).
        fingerprint: digest of the key.
        languages: the only languages; () for all.
        tests: true if test files were read.
        made: time of the last update, in UTC.
        functions: number of functions.
        hidden: size of an embedding.
    """

    root: str
    task: str
    model: str
    key: dict[str, Any]
    fingerprint: str
    languages: tuple[str, ...]
    tests: bool
    made: str
    functions: int
    hidden: int
    format: int = FORMAT

    @property
    def similarity(self) -> Similarity:
        """Similarity by which embeddings are compared; earlier versions knew the cosine alone."""
        return Similarity(self.key.get("similarity", Similarity.COSINE))


@dataclass(frozen=True)
class IndexedFile:
    """A file of an index, with the index of its first function and the number of functions."""

    path: str
    digest: str
    language: str
    first: int
    count: int
    reason: str = ""


@dataclass(frozen=True)
class CodeLocation:
    """A function and the file that contains it."""

    path: str
    language: str
    function: Function

    def line(self) -> bytes:
        """The location as a line of JSON; bytes of a path that are not text survive."""
        values = asdict(self)
        del values["function"]["cuts"]
        return json.dumps(values).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> CodeLocation:
        """The location that `line` wrote."""
        values = json.loads(line)
        return cls(values["path"], values["language"], Function(**values["function"]))


def default_folder(root: Path, task: str) -> Path:
    """Default folder of a tree's index: in the user's cache folder, not in the tree."""
    root = root.resolve()
    digest = hashlib.blake2b(os.fsencode(root), digest_size=6).hexdigest()
    name = "".join(char if char.isascii() and char.isalnum() else "-" for char in root.name)[:40]
    return Path(platformdirs.user_cache_dir("telly")) / "indexes" / f"{name}-{digest}" / task


class CodeIndex:
    """One generation of an index, open for reading; its files are memory-mapped.

    Args:
        folder: folder of the generation.
        earlier: also open an earlier format, for an update; its words cannot be searched.
    """

    def __init__(self, folder: Path, *, earlier: bool = False) -> None:
        self.folder = folder
        self.meta = _meta(folder, earlier)
        self.starts: npt.NDArray[np.int64] = np.load(folder / STARTS, allow_pickle=False)
        self.embeddings: Embeddings = np.load(folder / EMBEDDINGS, mmap_mode="r", allow_pickle=False)
        self._stream: IO[bytes] = (folder / FUNCTIONS).open("rb")
        self._lines = mmap.mmap(self._stream.fileno(), 0, access=mmap.ACCESS_READ)
        shape = (self.meta.functions, self.meta.hidden)
        if self.embeddings.shape != shape or len(self.starts) != shape[0] + 1 or self.starts[-1] != len(self._lines):
            raise ValueError("its files do not match each other")

    def __len__(self) -> int:
        return self.meta.functions

    def line(self, index: int) -> bytes:
        """A function's line of JSON."""
        return self._lines[self.starts[index] : self.starts[index + 1]]

    def location(self, index: int) -> CodeLocation:
        """A function by its index."""
        return CodeLocation.read(self.line(index))

    def locations(self) -> Iterator[CodeLocation]:
        """All functions in their order."""
        return map(self.location, range(len(self)))

    @cached_property
    def files(self) -> list[IndexedFile]:
        """The files in path order."""
        return [IndexedFile(*row) for row in json.loads((self.folder / FILES).read_text(encoding="utf-8"))]

    @cached_property
    def dense(self) -> Dense:
        """Search by embeddings."""
        return Dense.load(self.folder / DENSE, self.embeddings, self.meta.similarity)

    @cached_property
    def words(self) -> Bm25:
        """Search by the words of names, code and descriptions."""
        return Bm25.load(self.folder / WORDS)

    def is_current(self) -> bool:
        """True if this is still the current generation."""
        try:
            name = (self.folder.parent / CURRENT).read_text(encoding="utf-8").strip()
            on_disk = (self.folder / FUNCTIONS).stat()
        except (OSError, ValueError):
            return False
        # an index that was removed and made again may have a generation of the same name
        return name == self.folder.name and os.path.samestat(os.fstat(self._stream.fileno()), on_disk)

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        self._stream.close()


class _OtherFormatError(Exception):
    """An index that another version of telly made."""


def _meta(folder: Path, earlier: bool) -> Meta:
    values = json.loads((folder / META).read_text(encoding="utf-8"))
    stored_format = values["format"]
    if stored_format in EARLIER_FORMATS and not earlier:
        raise _OtherFormatError(
            f"this index was made by an earlier version of telly (format {stored_format}; this version reads "
            f"{FORMAT}). Bring it up to date; unchanged functions are not encoded again: "
            f"telly index {values['root']} --index {folder.parent}"
        )
    if stored_format not in (FORMAT, *EARLIER_FORMATS):
        raise ValueError(f"it has format {stored_format}, this version reads {FORMAT}")
    similarity = values["key"].get("similarity", Similarity.COSINE)
    if similarity not in list(Similarity):
        raise ValueError(f"it has the similarity {similarity!r}, which this version does not know")
    return Meta(**values | {"languages": tuple(values["languages"])})


def open_index(folder: Path, *, earlier: bool = False) -> CodeIndex | None:
    """Open the index in a folder; None if there is none.

    Args:
        folder: folder of the index.
        earlier: as for `CodeIndex`.

    Raises:
        CodeIndexError: it is damaged, or of another version.
    """
    for attempt in range(3):
        try:
            name = (folder / CURRENT).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise CodeIndexError(_damaged(folder, error)) from None
        try:
            return CodeIndex(folder / name, earlier=earlier)
        except _OtherFormatError as error:
            raise CodeIndexError(f"{folder}: {error}") from None
        except FileNotFoundError as error:
            # another process may have replaced and deleted this generation since `current` was read: read it again
            if attempt == 2:
                raise CodeIndexError(_damaged(folder, error)) from None
        except _READ_ERRORS as error:
            raise CodeIndexError(_damaged(folder, error)) from None
    return None


def _damaged(folder: Path, error: Exception) -> str:
    return f"{folder}: this index cannot be read ({error}); remove the folder and run `telly index` again"


def write_generation(folder: Path, meta: Meta, files: Sequence[IndexedFile], lines: Sequence[bytes]) -> None:
    """Write the files that are not derived from others: metadata, files and functions."""
    with (folder / FUNCTIONS).open("wb") as stream:
        stream.writelines(lines)
    lengths = np.fromiter(map(len, lines), dtype=np.int64, count=len(lines))
    np.save(folder / STARTS, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), allow_pickle=False)
    rows = [[file.path, file.digest, file.language, file.first, file.count, file.reason] for file in files]
    (folder / FILES).write_text(json.dumps(rows), encoding="utf-8")
    (folder / META).write_text(json.dumps(asdict(meta), indent=1), encoding="utf-8")
