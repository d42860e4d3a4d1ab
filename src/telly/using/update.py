"""Bringing an index up to date: changed files are parsed, new functions encoded, and the rest taken over."""

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

from telly.disk import is_full_disk
from telly.errors import CodeIndexError, ConfigError, DataError
from telly.inference.tuned_model import TunedModel
from telly.metrics.bm25 import Bm25
from telly.mining.repository.collect import CollectOptions
from telly.mining.repository.languages import NAMES
from telly.mining.repository.walk import SkippedFile
from telly.using.dense import Dense, Numbers, Vectors, need_faiss
from telly.using.embedding import EmbeddedChunks, embed_all, text_key
from telly.using.index import (
    CURRENT,
    DENSE,
    FORMAT,
    LOCK,
    VECTORS,
    WORDS,
    CodeIndex,
    CodeLocation,
    IndexedFile,
    Meta,
    open_index,
    write_generation,
)
from telly.using.reading import ReadFile, read_tree, wanted

PARTIAL, GENERATION, CHUNKS = "partial", "generation-", "pieces-"


@dataclass
class Update:
    """What bringing an index up to date came to.

    Attributes:
        folder: the index's.
        files: files read: new, changed, unchanged and gone.
        functions: of the index now.
        encoded: texts of functions that went through the model.
        skipped: files and folders that were not read, by reason.
        former_model: the model of the index before, where that was another one.
        former_format: the format of the index before.
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
        """Whether there is a new generation."""
        other = self.former_model is not None or self.former_format != FORMAT
        return other or self.files.total() != self.files["unchanged"]


def update_index(
    root: Path, folder: Path, tuned: TunedModel, what: CollectOptions | None = None, workers: int | None = None
) -> Update:
    """Make the index of a source tree, or bring it up to date.

    An interrupted call leaves the former index as it was, and the next one goes on with what was encoded.

    Args:
        root: the tree.
        folder: the index's folder.
        tuned: the model; another one than before encodes everything again.
        what: which languages, and whether tests as well. [default: as the index was made, or all without tests]
        workers: processes that read. [default: one a processor]

    Raises:
        DataError: the tree cannot be read, or has no functions.
        ConfigError: FAISS or a grammar is not installed, or the model has no vectors to compare.
        CodeIndexError: the folder is another tree's index, is in use, or the disk is full.
    """
    need_faiss()
    root = root.resolve()
    if not root.is_dir():
        raise DataError(f"{root}: {'is a file' if root.exists() else 'no such folder'}; expected a folder of sources")
    for language in what.languages if what else ():
        if language not in NAMES:
            raise ConfigError(f"unknown language {language!r}; known: {', '.join(NAMES)}")
    tuned.check_can("embed")  # before anything is read
    with _claimed(folder):
        former = open_index(folder, earlier=True)
        if former is not None and former.meta.root != os.fsdecode(root):
            raise CodeIndexError(
                f"{folder}: is the index of {former.meta.root}, not of {root}; give another folder with --index"
            )
        try:
            return _Updating(root, folder, tuned, former, what, workers).run()
        finally:
            if former is not None:
                former.close()


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=0):
            yield
    except Timeout:
        raise CodeIndexError(
            f"{folder}: another process is updating this index; wait until it has finished, and try again"
        ) from None
    except (OSError, SafetensorError) as error:
        if is_full_disk(error):
            raise CodeIndexError(
                f"{folder}: the disk is full; the index is as it was before. Free some space and run the command again"
            ) from None
        raise CodeIndexError(f"{folder}: cannot be written ({error}); give another folder with --index") from None


class _Updating:
    """One update under the lock."""

    def __init__(
        self,
        root: Path,
        folder: Path,
        tuned: TunedModel,
        former: CodeIndex | None,
        what: CollectOptions | None,
        workers: int | None,
    ) -> None:
        self.root, self.folder, self.tuned, self.former, self.workers = root, folder, tuned, former, workers
        kept = wanted(former.meta.languages, tests=former.meta.tests) if former else wanted()
        self.what = what or kept
        self.update = Update(folder)
        self.same_model = former is not None and former.meta.fingerprint == tuned.key.fingerprint
        self.same_scope = former is not None and self.what == kept
        if former is not None:
            self.update.former_format = former.meta.format
        if former is not None and not self.same_model:
            self.update.former_model = former.meta.model

    def run(self) -> Update:
        self._sweep()
        files, lines, origin = self._read()
        self.update.functions = len(lines)
        if not lines:
            raise DataError(self._nothing())
        if not self.update.changed:
            self._chunks.remove()
            return self.update
        vectors = self._vectors(lines, origin)
        meta = self._meta(len(lines), vectors.shape[1])
        self._write(meta, files, lines, vectors, self._moved(origin))
        return self.update

    def _read(self) -> tuple[list[IndexedFile], list[bytes], list[int]]:
        """The files, their functions as lines, and where each line was before, -1 for a new one."""
        before = {file.path: file for file in self.former.files} if self.former else {}
        readable = self.former is not None and self.former.meta.format == FORMAT
        usable = before if self.same_scope and readable else {}
        known = {path: file.digest for path, file in usable.items() if file.digest}
        files: list[IndexedFile] = []
        lines: list[bytes] = []
        origin: list[int] = []
        for item in read_tree(self.root, self.what, known, self.workers):
            if isinstance(item, SkippedFile):
                self.update.skipped[item.reason] += 1
                continue
            old = before.get(item.path)
            file, found, numbers = self._file(item, old, len(lines))
            same = item.functions is None or (old is not None and not item.digest and item.reason == old.reason)
            self.update.files["new" if old is None else "unchanged" if same else "changed"] += 1
            if file.reason:
                self.update.skipped[file.reason] += 1
            files.append(file)
            lines += found
            origin += numbers
        self.update.files["gone"] = len(before.keys() - {file.path for file in files})
        return files, lines, origin

    def _file(self, item: ReadFile, old: IndexedFile | None, first: int) -> tuple[IndexedFile, list[bytes], list[int]]:
        if item.functions is None:
            assert self.former is not None and old is not None
            numbers = list(range(old.first, old.first + old.count))
            found = [self.former.line(number) for number in numbers]
            return IndexedFile(old.path, old.digest, old.language, first, old.count, old.reason), found, numbers
        found = [CodeLocation(item.path, item.language, function).line() for function in item.functions]
        file = IndexedFile(item.path, item.digest, item.language, first, len(found), item.reason)
        return file, found, [-1] * len(found)

    def _vectors(self, lines: list[bytes], origin: list[int]) -> Vectors:
        """Vectors of all functions; a text that the same model has seen, here or elsewhere, is not encoded again."""
        former = self.former if self.same_model else None
        taken: dict[bytes, int] = {}
        if former is not None:
            gone = set(range(len(former))) - set(origin)  # the text of a changed file's functions may be as it was
            taken = {text_key(former.place(number).function.code): number for number in gone}
        texts: dict[bytes, str] = {}
        keys: dict[int, bytes] = {}
        source = np.full(len(lines), -1, dtype=np.int64)
        for number, line in enumerate(lines):
            if former is not None and origin[number] >= 0:
                source[number] = origin[number]
                continue
            code = CodeLocation.read(line).function.code
            key = text_key(code)
            if key in taken:
                source[number] = taken[key]
            else:
                keys[number], texts[key] = key, code
        self.update.encoded = len(texts)
        found = embed_all(self.tuned, texts, self._chunks) if texts else {}
        hidden = self.tuned.hidden_size
        vectors = np.zeros((len(lines), hidden), dtype=np.float32)
        if former is not None:
            old = source >= 0
            vectors[old] = former.vectors[source[old]]
        for number, key in keys.items():
            vectors[number] = found[key]
        return vectors

    def _moved(self, origin: list[int]) -> Numbers | None:
        """By former number of a function its number now, -1 where it is gone."""
        if self.former is None or not self.same_model:
            return None
        moved = np.full(len(self.former), -1, dtype=np.int64)
        for number, old in enumerate(origin):
            if old >= 0:
                moved[old] = number
        return moved

    def _meta(self, functions: int, hidden: int) -> Meta:
        key = self.tuned.key
        return Meta(
            os.fsdecode(self.root),
            self.tuned.task.name,
            _lasting_name(self.tuned.name),
            asdict(key),
            key.fingerprint,
            self.what.languages,
            self.what.tests,
            dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            functions,
            hidden,
        )

    def _write(
        self,
        meta: Meta,
        files: list[IndexedFile],
        lines: list[bytes],
        vectors: Vectors,
        moved: Numbers | None,
    ) -> None:
        partial = self.folder / PARTIAL
        try:
            self._fill(partial, meta, files, lines, vectors, moved)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)  # it may be what filled the disk
            raise
        number = int(self.former.folder.name.removeprefix(GENERATION)) + 1 if self.former else 1
        target = self.folder / f"{GENERATION}{number}"
        partial.rename(target)
        pointer = self.folder / f"{CURRENT}.partial"
        pointer.write_text(target.name, encoding="utf-8")
        _to_disk([pointer])
        pointer.replace(self.folder / CURRENT)
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
        vectors: Vectors,
        moved: Numbers | None,
    ) -> None:
        partial.mkdir()
        write_generation(partial, meta, files, lines)
        np.save(partial / VECTORS, vectors, allow_pickle=False)
        Bm25.of([_searched(CodeLocation.read(line)) for line in lines]).save(partial / WORDS)
        before = self.former.dense if self.former is not None and moved is not None else None
        Dense.build(vectors, before, moved).save(partial / DENSE)
        _to_disk(file for file in partial.rglob("*") if file.is_file())

    @property
    def _chunks(self) -> EmbeddedChunks:
        return EmbeddedChunks(self.folder / f"{CHUNKS}{self.tuned.key.fingerprint}")

    def _sweep(self) -> None:
        """Remove what killed processes left, other than vectors of this model."""
        kept = {self._chunks.folder.name, self.former.folder.name if self.former else ""}
        for path in self.folder.iterdir():
            if path.name not in kept and path.name.startswith((PARTIAL, GENERATION, CHUNKS)):
                shutil.rmtree(path, ignore_errors=True)

    def _nothing(self) -> str:
        why = ", ".join(f"{count:,} {reason}" for reason, count in self.update.skipped.most_common(5))
        languages = ", ".join(self.what.languages or NAMES)
        tests = "" if self.what.tests else "; --with-tests takes test files as well"
        return f"{self.root}: no functions found ({why or 'no source files'}); expected sources in {languages}{tests}"


def _searched(place: CodeLocation) -> str:
    """What is searched for words: where a function is, its name and code, and what it is said to do."""
    return f"{Path(place.path).stem} {place.function.name}\n{place.function.description}\n{place.function.code}"


def _lasting_name(model: str) -> str:
    """The model's name from whatever folder."""
    path = Path(model).expanduser()
    return str(path.resolve()) if path.exists() else model


def _to_disk(files: Iterable[Path]) -> None:
    """Make the system write files, so that a power failure cannot leave `current` naming half an index."""
    for file in files:
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())
