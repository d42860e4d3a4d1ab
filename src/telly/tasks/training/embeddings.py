"""Tokenised texts of understanding tasks, and their embeddings in batches of similar length."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.checkpoint import checkpoint

from telly.data.sequences import RaggedRows, Rows, SequenceTable, SequenceTableBuilder
from telly.freezing.source import RowSource
from telly.models.modes import encode_texts
from telly.tasks.training.base import batches_of, length_batches, to_device


def encoded_texts(
    dataset: Any, tokenizer: Any, max_tokens: dict[str, int]
) -> tuple[SequenceTable, dict[str, npt.NDArray[np.int64]]]:
    """Tokenise every distinct text once, however many examples it is in.

    Args:
        dataset: the examples, with a column for every limit.
        tokenizer: tokenizer of the model.
        max_tokens: length limit by column.

    Returns:
        distinct sequences of all columns, and the row index of every example by column, [examples] each.
    """
    table, rows, _ = encoded_with_negatives(dataset, tokenizer, max_tokens, None, "")
    return table, rows


def encoded_with_negatives(
    dataset: Any, tokenizer: Any, max_tokens: dict[str, int], negatives: str | None, in_place_of: str
) -> tuple[SequenceTable, dict[str, npt.NDArray[np.int64]], RaggedRows | None]:
    """Tokenise every distinct text once, those of a column of lists among them.

    Args:
        dataset: the examples, with a column for every limit.
        tokenizer: tokenizer of the model.
        max_tokens: length limit by column.
        negatives: column of lists of texts; None, or one that the examples lack or that is empty, gives none.
        in_place_of: column whose limit and form the texts of the lists have.

    Returns:
        distinct sequences, the row index of every example by column, [examples] each, and the rows of the lists, or
        None if there are none.
    """
    texts_to_rows = _DistinctTexts(tokenizer)
    rows: dict[str, list[int]] = {column: [] for column in max_tokens}
    lists: list[list[int]] = []
    for texts in batches_of(dataset):
        for column, limit in max_tokens.items():
            rows[column] += texts_to_rows.add(texts[column], limit)
        if negatives in texts:
            lists += [texts_to_rows.add(some, max_tokens[in_place_of]) for some in texts[negatives]]
    ragged = RaggedRows.of(lists) if any(lists) else None
    indices = {column: np.asarray(found, dtype=np.int64) for column, found in rows.items()}
    return texts_to_rows.builder.build(), indices, ragged


class _DistinctTexts:
    """The sequences of texts, each tokenised once."""

    def __init__(self, tokenizer: Any) -> None:
        self.builder = SequenceTableBuilder()
        self._tokenizer = tokenizer
        self._row_of: dict[tuple[bytes, int], int] = {}  # by digest of the text and length limit

    def add(self, texts: Sequence[str], limit: int) -> list[int]:
        """The row index of each text, cut to `limit` tokens."""
        keys = [(hashlib.blake2b(text.encode(), digest_size=16).digest(), limit) for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._row_of}
        encodings = encode_texts(self._tokenizer, list(new.values()), limit) if new else []
        for key, ids in zip(new, encodings, strict=True):
            self._row_of[key] = self.builder.add(ids)
        return [self._row_of[key] for key in keys]


def in_chunks(
    embed: Callable[[dict[str, torch.Tensor]], torch.Tensor], batch: dict[str, torch.Tensor], chunk_size: int | None
) -> torch.Tensor:
    """Embeddings of a batch to train with, [batch, hidden]; intermediate results are kept for one chunk at a time.

    The backward pass runs every chunk a second time, with the same dropout. The gradient is that of one pass over all
    chunks (gradient caching, Gao et al. 2021).

    Args:
        embed: maps a batch of tokens or states to embeddings, [batch, hidden].
        batch: tensors by name, [batch, ...] each.
        chunk_size: texts per chunk; None takes the batch as one.
    """
    size = len(batch["attention_mask"])
    if chunk_size is None or size <= chunk_size:
        return embed(batch)
    chunks = (
        {name: tensor[start : start + chunk_size] for name, tensor in batch.items()}
        for start in range(0, size, chunk_size)
    )
    return torch.cat([checkpoint(embed, chunk, use_reentrant=False) for chunk in chunks])


def embed_rows(
    embed: Callable[[dict[str, torch.Tensor]], torch.Tensor], source: RowSource, rows: Rows, device: torch.device
) -> torch.Tensor:
    """Embeddings of some rows in their order, [rows, hidden].

    Args:
        embed: maps a batch of tokens or states to embeddings, [batch, hidden].
        source: source of the batches.
        rows: row indices of the source's table.
        device: device of the model.
    """
    rows = np.asarray(rows)
    embeddings: torch.Tensor | None = None
    for picked in length_batches(source.table.lengths[rows]):
        batch = embed(to_device(source.batch(rows[picked]), device)).float()
        if embeddings is None:  # their width is known now
            embeddings = batch.new_empty(len(rows), batch.shape[1])
        embeddings[torch.from_numpy(picked).to(device)] = batch
    assert embeddings is not None, "no rows"
    return embeddings
