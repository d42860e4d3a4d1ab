"""Embeddings of many functions, in chunks on disk that an interruption does not lose."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from telly.disk import whole_file
from telly.inference.embeddings import Embeddings
from telly.inference.tuned_model import TunedModel

CHUNK = 512
"""Number of functions encoded between two writes."""


def text_key(text: str) -> bytes:
    """Digest of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def embed_all(model: TunedModel, texts: Mapping[bytes, str], chunks: EmbeddedChunks) -> dict[bytes, Embeddings]:
    """Embeddings of distinct texts by their keys, each [hidden].

    Texts that an interrupted call has encoded are taken from its chunks.

    Args:
        model: the model.
        texts: texts by `text_key`.
        chunks: embeddings on disk until the index has them.
    """
    embeddings = {key: embedding for key, embedding in chunks.read().items() if key in texts}
    # the longest first: if memory does not suffice, that shows at once, and the estimated time only falls
    missing = sorted((key for key in texts if key not in embeddings), key=lambda key: len(texts[key]), reverse=True)
    with tqdm(total=len(texts), initial=len(embeddings), desc="encoding", unit="function", disable=None) as bar:
        for start in range(0, len(missing), CHUNK):
            keys = missing[start : start + CHUNK]
            chunk = model.embed([texts[key] for key in keys])
            chunks.add(keys, chunk)
            embeddings.update(zip(keys, chunk, strict=True))
            bar.update(len(keys))
    return embeddings


class EmbeddedChunks:
    """Embeddings on disk that are not part of an index yet.

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
        """Delete the chunks; an index has their embeddings now."""
        shutil.rmtree(self.folder, ignore_errors=True)
