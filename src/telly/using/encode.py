"""Texts to vectors, as the search task's evaluation makes them, in pieces that an interruption does not lose."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from telly.data.sequences import SequenceTable
from telly.freezing.source import RowSource
from telly.models.modes import encode_texts
from telly.tasks.embeddings import embed_rows
from telly.using.dense import Vectors
from telly.using.tuned import Tuned

PIECE = 512
"""Functions that are encoded between two writes."""


def text_key(text: str) -> bytes:
    """A digest of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@torch.no_grad()
def encode(tuned: Tuned, texts: Sequence[str], max_tokens: int) -> Vectors:
    """Unit vectors of texts, [texts, hidden]; equal texts are encoded once."""
    table, rows = SequenceTable.of(encode_texts(tuned.tokenizer, list(texts), max_tokens))
    source = RowSource(table, tuned.tokenizer.pad_token_id)
    with tuned.autocast:
        distinct = embed_rows(tuned.embed, source, np.arange(len(table)), tuned.device)
    vectors: Vectors = distinct.cpu().numpy()[rows]
    return vectors


def encode_all(tuned: Tuned, texts: Mapping[bytes, str], pieces: Pieces) -> dict[bytes, Vectors]:
    """Vectors of distinct texts by their keys; what an interrupted call has encoded is taken from its pieces.

    Args:
        tuned: the model.
        texts: by `text_key`.
        pieces: where vectors are kept until the index has them.
    """
    found = {key: vector for key, vector in pieces.read().items() if key in texts}
    left = sorted((key for key in texts if key not in found), key=lambda key: len(texts[key]), reverse=True)
    with tqdm(total=len(texts), initial=len(found), desc="encoding", unit="function", disable=None) as bar:
        for at in range(0, len(left), PIECE):
            keys = left[at : at + PIECE]
            vectors = encode(tuned, [texts[key] for key in keys], tuned.code_tokens)
            pieces.add(keys, vectors)
            found.update(zip(keys, vectors, strict=True))
            bar.update(len(keys))
    return found


class Pieces:
    """Vectors on disk that no index has yet.

    Args:
        folder: theirs; the fingerprint of what they depend on is a part of its name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> dict[bytes, Vectors]:
        """All vectors by the keys of their texts; a damaged file is passed over."""
        found: dict[bytes, Vectors] = {}
        for file in sorted(self.folder.glob("*.safetensors")) if self.folder.is_dir() else ():
            try:
                piece = load_file(file)
                keys, vectors = piece["keys"], piece["vectors"]
            except (OSError, SafetensorError, KeyError):
                continue
            found.update({key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)})
        return found

    def add(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        """Keep some vectors; the file is there as a whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        numbers = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1)
        file = self.folder / f"{hashlib.blake2b(numbers.tobytes(), digest_size=12).hexdigest()}.safetensors"
        partial = file.with_suffix(f".{os.getpid()}.partial")
        save_file({"keys": numbers, "vectors": np.ascontiguousarray(vectors)}, partial)
        partial.replace(file)

    def remove(self) -> None:
        """Remove them; an index has them now."""
        shutil.rmtree(self.folder, ignore_errors=True)
