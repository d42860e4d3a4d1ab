"""Updates of an index: changed files are parsed, new functions encoded, everything else is reused."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError

from telly.disk import full_disk_as, whole_file, whole_folder
from telly.errors import CodeIndexError, ConfigError, DataError
from telly.inference.embedding_cache import EmbeddedChunks, embed_all, text_key
from telly.inference.embeddings import Embeddings
from telly.inference.tuned_model import TunedModel
from telly.metrics.bm25 import Bm25
from telly.mining.repository.collect import CollectOptions
from telly.mining.repository.languages import NAMES
from telly.mining.repository.walk import SkippedFile
from telly.using.dense import Dense, Indices, import_faiss
from telly.using.index import (
    CURRENT,
    DENSE,
    EMBEDDINGS,
    FORMAT,
    LOCK,
    WORDS,
    CodeIndex,
    CodeLocation,
    IndexedFile,
    Meta,
    open_index,
    write_generation,
)
from telly.using.reading import ReadFile, collect_options, read_tree

GENERATION, CHUNKS = "generation-", "pieces-"
LEFTOVERS = (GENERATION, f".{GENERATION}", CHUNKS, "partial")
"""Beginnings of the names of folders that a killed process leaves; earlier versions wrote into `partial`."""


@dataclass
class Update:
    """Summary of an update.

    Attributes:
        folder: folder of the index.
        files: number of files that are new, changed, unchanged and gone.
        functions: number of functions in the index after the update.
        encoded: number of distinct functions that were run through the model.
        skipped: number of files and folders that were not read, by reason.
        former_model: model of the index before the update, if it was another one.
        former_format: format of the index before the update.
    """

    folder: Path
    files: Counter[str] = field(default_factory=Counter)
    functions: int = 0
    encoded: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    former_model: str | None = None
    former_format: int = FORMAT

    @property
    def changed(self) -> bool:
        """True if a new generation was written."""
        is_rebuilt = self.former_model is not None or self.former_format != FORMAT
        return is_rebuilt or self.files.total() != self.files["unchanged"]


def update_index(
    root: Path, folder: Path, tuned: TunedModel, options: CollectOptions | None = None, workers: int | None = None
) -> Update:
    """Make the index of a source tree, or bring it up to date.

    An interrupted call leaves the former index unchanged, and the next call reuses the embeddings computed so far.

    Args:
        root: the source tree.
        folder: folder of the index.
        tuned: model that embeds; if it is not the index's model, everything is encoded again.
        options: languages, and whether to read tests. [default: as the index was made, or all without tests]
        workers: processes that read files. [default: one per processor]

    Raises:
        DataError: the tree cannot be read, or has no functions.
        ConfigError: FAISS or a grammar is not installed, or the model does not embed.
        CodeIndexError: the folder is another tree's index, is in use, or the disk is full.
    """
    import_faiss()
    root = root.resolve()
    if not root.is_dir():
        raise DataError(f"{root}: {'is a file' if root.exists() else 'no such folder'}; expected a folder of sources")
    for language in options.languages if options else ():
        if language not in NAMES:
            raise ConfigError(f"unknown language {language!r}; known: {', '.join(NAMES)}")
    tuned.check_can("embed")  # before anything is read
    with _locked(folder):
        former = open_index(folder, earlier=True)
        if former is not None and former.meta.root != os.fsdecode(root):
            raise CodeIndexError(
                f"{folder}: is the index of {former.meta.root}, not of {root}; give another folder with --index"
            )
        try:
            return _IndexUpdate(root, folder, tuned, former, options, workers).run()
        finally:
            if former is not None:
                former.close()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of an index, and explain a disk that cannot be written."""
    full_disk = CodeIndexError(
        f"{folder}: the disk is full; the index is as it was before. Free some space and run the command again"
    )
    try:
        with full_disk_as(lambda _: full_disk):
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / LOCK, timeout=0):
                yield
    except Timeout:
        raise CodeIndexError(
            f"{folder}: another process is updating this index; wait until it has finished, and try again"
        ) from None
    except (OSError, SafetensorError) as error:
        raise CodeIndexError(f"{folder}: cannot be written ({error}); give another folder with --index") from None


class _IndexUpdate:
    """One update, under the lock.

    The index of a function is its line number in `functions.jsonl`. `lines` are the functions of the new generation as
    they are written; `origin` has the index of each one's line in the former generation, -1 for functions of new or
    changed files.
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        tuned: TunedModel,
        former: CodeIndex | None,
        options: CollectOptions | None,
        workers: int | None,
    ) -> None:
        self.root, self.folder, self.tuned, self.former, self.workers = root, folder, tuned, former, workers
        former_options = (
            collect_options(former.meta.languages, tests=former.meta.tests) if former else collect_options()
        )
        self.options = options or former_options
        self.update = Update(folder)
        self.same_model = former is not None and former.meta.fingerprint == tuned.key.fingerprint
        self.same_scope = former is not None and self.options == former_options
        if former is not None:
            self.update.former_format = former.meta.format
        if former is not None and not self.same_model:
            self.update.former_model = former.meta.model

    def run(self) -> Update:
        self._sweep()
        files, lines, origin = self._read()
        self.update.functions = len(lines)
        if not lines:
            raise DataError(self._no_functions())
        if not self.update.changed:
            self._chunks.remove()
            return self.update
        embeddings = self._embeddings(lines, origin)
        meta = self._meta(len(lines), embeddings.shape[1])
        self._write(meta, files, lines, embeddings, self._moved(origin))
        return self.update

    def _read(self) -> tuple[list[IndexedFile], list[bytes], list[int]]:
        """The files of the tree, their functions as lines, and the origin of each line."""
        former_files = {file.path: file for file in self.former.files} if self.former else {}
        # another scope or format asks for other functions of the same files, so all of them are parsed again
        same_format = self.former is not None and self.former.meta.format == FORMAT
        reusable = former_files if self.same_scope and same_format else {}
        known_digests = {path: file.digest for path, file in reusable.items() if file.digest}
        files: list[IndexedFile] = []
        lines: list[bytes] = []
        origin: list[int] = []
        for item in read_tree(self.root, self.options, known_digests, self.workers):
            if isinstance(item, SkippedFile):
                self.update.skipped[item.reason] += 1
                continue
            old = former_files.get(item.path)
            file, functions, indices = self._file(item, old, len(lines))
            # a file without a digest cannot be read at all: unchanged if it could not be before, for the same reason
            unchanged = item.functions is None or (old is not None and not item.digest and item.reason == old.reason)
            self.update.files["new" if old is None else "unchanged" if unchanged else "changed"] += 1
            if file.reason:
                self.update.skipped[file.reason] += 1
            files.append(file)
            lines += functions
            origin += indices
        self.update.files["gone"] = len(former_files.keys() - {file.path for file in files})
        return files, lines, origin

    def _file(self, item: ReadFile, old: IndexedFile | None, first: int) -> tuple[IndexedFile, list[bytes], list[int]]:
        """A file whose functions begin at index `first`, its functions as lines, and their origin."""
        if item.functions is None:  # unchanged
            assert self.former is not None and old is not None
            indices = list(range(old.first, old.first + old.count))
            lines = [self.former.line(index) for index in indices]
            return IndexedFile(old.path, old.digest, old.language, first, old.count, old.reason), lines, indices
        lines = [CodeLocation(item.path, item.language, function).line() for function in item.functions]
        file = IndexedFile(item.path, item.digest, item.language, first, len(lines), item.reason)
        return file, lines, [-1] * len(lines)

    def _embeddings(self, lines: list[bytes], origin: list[int]) -> Embeddings:
        """Embeddings of all functions, [functions, hidden]; known texts are not encoded again."""
        former = self.former if self.same_model else None
        # Functions of changed files have no origin, but most of them are as they were, or have moved to another file:
        # they are found again by their text among the orphans, the former functions that no new line comes from.
        orphans: dict[bytes, int] = {}
        if former is not None:
            unclaimed = set(range(len(former))) - set(origin)
            orphans = {text_key(former.location(index).function.code): index for index in unclaimed}
        # Each function gets either a source, the index of its embedding in the former generation, or the key of a text
        # that must be encoded. Equal texts have one key and are encoded once.
        source = np.full(len(lines), -1, dtype=np.int64)
        keys: dict[int, bytes] = {}
        texts: dict[bytes, str] = {}
        for index, line in enumerate(lines):
            if former is not None and origin[index] >= 0:
                source[index] = origin[index]
                continue
            code = CodeLocation.read(line).function.code
            key = text_key(code)
            if key in orphans:
                source[index] = orphans[key]
            else:
                keys[index], texts[key] = key, code
        self.update.encoded = len(texts)
        encoded = embed_all(self.tuned.embed_to_compare, texts, self._chunks) if texts else {}
        embeddings = np.zeros((len(lines), self.tuned.embedding_size), dtype=np.float32)
        if former is not None:
            reused = source >= 0
            embeddings[reused] = former.embeddings[source[reused]]
        for index, key in keys.items():
            embeddings[index] = encoded[key]
        return embeddings

    def _moved(self, origin: list[int]) -> Indices | None:
        """New index of every former function, -1 for one that is gone; None if the former graph cannot be reused."""
        if self.former is None or not self.same_model:
            return None
        moved = np.full(len(self.former), -1, dtype=np.int64)
        for index, old in enumerate(origin):
            if old >= 0:
                moved[old] = index
        return moved

    def _meta(self, functions: int, hidden: int) -> Meta:
        key = self.tuned.key
        return Meta(
            os.fsdecode(self.root),
            self.tuned.task.name,
            _absolute_name(self.tuned.name),
            asdict(key),
            key.fingerprint,
            self.options.languages,
            self.options.tests,
            dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            functions,
            hidden,
        )

    def _write(
        self,
        meta: Meta,
        files: list[IndexedFile],
        lines: list[bytes],
        embeddings: Embeddings,
        moved: Indices | None,
    ) -> None:
        """Write a generation beside the former one, and then make it the current one."""
        number = int(self.former.folder.name.removeprefix(GENERATION)) + 1 if self.former else 1
        generation = self.folder / f"{GENERATION}{number}"
        with whole_folder(generation) as partial:
            self._fill(partial, meta, files, lines, embeddings, moved)
        # replacing one small file is atomic: readers see the former generation or the new one, each of them whole
        with whole_file(self.folder / CURRENT) as pointer:
            pointer.write_text(generation.name, encoding="utf-8")
            _sync([pointer])
        self._chunks.remove()
        if self.former is not None:
            self.former.close()
            shutil.rmtree(self.former.folder, ignore_errors=True)

    def _fill(
        self,
        partial: Path,
        meta: Meta,
        files: list[IndexedFile],
        lines: list[bytes],
        embeddings: Embeddings,
        moved: Indices | None,
    ) -> None:
        write_generation(partial, meta, files, lines)
        np.save(partial / EMBEDDINGS, embeddings, allow_pickle=False)
        Bm25.of([_searchable_text(CodeLocation.read(line)) for line in lines]).save(partial / WORDS)
        graph = self.former.dense if self.former is not None and moved is not None else None
        Dense.build(embeddings, graph, moved, meta.similarity).save(partial / DENSE)
        _sync(file for file in partial.rglob("*") if file.is_file())

    @property
    def _chunks(self) -> EmbeddedChunks:
        return EmbeddedChunks(self.folder / f"{CHUNKS}{self.tuned.key.fingerprint}")

    def _sweep(self) -> None:
        """Remove what killed processes left behind, except embeddings of this model."""
        needed = {self._chunks.folder.name, self.former.folder.name if self.former else ""}
        for path in self.folder.iterdir():
            if path.name not in needed and path.name.startswith(LEFTOVERS):
                shutil.rmtree(path, ignore_errors=True)

    def _no_functions(self) -> str:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.update.skipped.most_common(5))
        languages = ", ".join(self.options.languages or NAMES)
        tests = "" if self.options.tests else "; --with-tests includes test files"
        return (
            f"{self.root}: no functions found ({reasons or 'no source files'}); expected sources in {languages}{tests}"
        )


def _searchable_text(location: CodeLocation) -> str:
    """Text that BM25 searches: the file's stem, the function's name, its description and its code."""
    function = location.function
    return f"{Path(location.path).stem} {function.name}\n{function.description}\n{function.code}"


def _absolute_name(model: str) -> str:
    """The model's name in a form that is valid in any working folder."""
    path = Path(model).expanduser()
    return str(path.resolve()) if path.exists() else model


def _sync(files: Iterable[Path]) -> None:
    """Flush files to the disk, so that a power failure cannot leave `current` naming half an index."""
    for file in files:
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())
