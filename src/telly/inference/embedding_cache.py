"""Embeddings of many texts, in chunks on disk that an interruption does not lose and that later runs read."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from telly.disk import whole_file
from telly.inference.embeddings import Embeddings
from telly.inference.tuned_model import TunedModel
from telly.models.embedding import Role

CHUNK = 512
"""Number of texts encoded between two writes."""
FOLDER = "embeddings"
"""Folder of embeddings within the folder of activation caches."""


@dataclass(frozen=True)
class EmbeddingEntry:
    """Embeddings of one model that are kept on disk.

    Attributes:
        folder: the folder; its name has the role and the model's key.
        texts: number of texts.
        nbytes: size on disk.
        modified: time of the last change, in seconds since the epoch.
    """

    folder: Path
    texts: int
    nbytes: int
    modified: float


def find_embeddings(root: Path) -> list[EmbeddingEntry]:
    """Embeddings that `cached_embeddings` keeps in a folder of activation caches, newest first."""
    folders = {file.parent for file in (root / FOLDER).glob("*/*.safetensors")}
    return sorted(map(_entry, folders), key=lambda entry: -entry.modified)


def _entry(folder: Path) -> EmbeddingEntry:
    files = [file.stat() for file in folder.glob("*.safetensors")]
    texts = len(EmbeddedChunks(folder).read())
    return EmbeddingEntry(folder, texts, sum(file.st_size for file in files), max(file.st_mtime for file in files))


def text_key(text: str) -> bytes:
    """Digest of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def cached_embeddings(model: TunedModel, texts: Sequence[str], role: Role, root: Path) -> Embeddings:
    """Embeddings of texts by a loaded model, in their order, [texts, embedding size].

    Every distinct text is encoded once: its embedding is kept under the model's key and read by later runs, also if
    the call that computed it was interrupted.

    Args:
        model: a model that embeds.
        texts: the texts.
        role: whether they are queries or documents.
        root: folder of activation caches.
    """
    distinct = {text_key(text): text for text in texts}
    chunks = EmbeddedChunks(root / FOLDER / f"{role}-{model.key_of(role).fingerprint}")
    embeddings = embed_all(partial(model.embed, role=role), distinct, chunks, f"encoding, {role}", "text")
    return np.stack([embeddings[text_key(text)] for text in texts])


def embed_all(
    embed: Callable[[list[str]], Embeddings],
    texts: Mapping[bytes, str],
    chunks: EmbeddedChunks,
    title: str = "encoding",
    unit: str = "function",
) -> dict[bytes, Embeddings]:
    """Embeddings of distinct texts by their keys, each [hidden].

    Texts that an interrupted call has encoded are taken from its chunks.

    Args:
        embed: maps texts to embeddings, [texts, hidden].
        texts: texts by `text_key`.
        chunks: embeddings on disk.
        title: text before the progress bar.
        unit: what the progress bar counts.
    """
    embeddings = {key: embedding for key, embedding in chunks.read().items() if key in texts}
    # the longest first: if memory does not suffice, that shows at once, and the estimated time only falls
    missing = sorted((key for key in texts if key not in embeddings), key=lambda key: len(texts[key]), reverse=True)
    with tqdm(total=len(texts), initial=len(embeddings), desc=title, unit=unit, disable=None) as bar:
        for start in range(0, len(missing), CHUNK):
            keys = missing[start : start + CHUNK]
            chunk = embed([texts[key] for key in keys])
            chunks.add(keys, chunk)
            embeddings.update(zip(keys, chunk, strict=True))
            bar.update(len(keys))
    return embeddings


class EmbeddedChunks:
    """Embeddings on disk by the key of their text.

    Args:
        folder: folder of the chunks; its name contains the fingerprint of what they depend on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> dict[bytes, Embeddings]:
        """All embeddings by the keys of their texts; damaged files are skipped."""
        embeddings: dict[bytes, Embeddings] = {}
        for file in sorted(self.folder.glob("*.safetensors")) if self.folder.is_dir() else ():
            try:
                chunk = load_file(file)
                keys, rows = chunk["keys"], chunk["vectors"]
            except (OSError, SafetensorError, KeyError):
                continue
            embeddings.update({key.tobytes(): row for key, row in zip(keys, rows, strict=True)})
        return embeddings

    def add(self, keys: Sequence[bytes], embeddings: Embeddings) -> None:
        """Write a chunk, [keys, hidden]; the file is there as a whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        digests = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1)
        file = self.folder / f"{hashlib.blake2b(digests.tobytes(), digest_size=12).hexdigest()}.safetensors"
        with whole_file(file) as partial:
            save_file({"keys": digests, "vectors": np.ascontiguousarray(embeddings)}, partial)

    def remove(self) -> None:
        """Delete the chunks."""
        shutil.rmtree(self.folder, ignore_errors=True)
