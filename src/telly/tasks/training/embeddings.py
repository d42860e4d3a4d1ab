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
from telly.tasks.training.base import NO_PROMPTS, Prompts, batches_of, length_batches, to_device


def encoded_texts(
    dataset: Any, tokenizer: Any, max_tokens: dict[str, int], prompts: Prompts = NO_PROMPTS
) -> tuple[SequenceTable, dict[str, npt.NDArray[np.int64]]]:
    """Tokenise every distinct text once, however many examples it is in.

    Args:
        dataset: the examples, with a column for every limit.
        tokenizer: tokenizer of the model.
        max_tokens: length limit by column.
        prompts: texts that are put before those of a column; equal texts with different prompts are different
            sequences.

    Returns:
        distinct sequences of all columns, and the row index of every example by column, [examples] each.

    Raises:
        ConfigError: a limit leaves no room for text.
    """
    table, rows, _ = encoded_with_negatives(dataset, tokenizer, max_tokens, None, "", prompts)
    return table, rows


def encoded_with_negatives(
    dataset: Any,
    tokenizer: Any,
    max_tokens: dict[str, int],
    negatives: str | None,
    in_place_of: str,
    prompts: Prompts = NO_PROMPTS,
) -> tuple[SequenceTable, dict[str, npt.NDArray[np.int64]], RaggedRows | None]:
    """Tokenise every distinct text once, those of a column of lists among them.

    Args:
        dataset: the examples, with a column for every limit.
        tokenizer: tokenizer of the model.
        max_tokens: length limit by column.
        negatives: column of lists of texts; None, or one that the examples lack or that is empty, gives none.
        in_place_of: column whose limit and prompt the texts of the lists have.
        prompts: as for `encoded_texts`.

    Returns:
        distinct sequences, the row index of every example by column, [examples] each, and the rows of the lists, or
        None if there are none.

    Raises:
        ConfigError: a limit leaves no room for text.
    """
    builder = SequenceTableBuilder()
    encoders: dict[tuple[int, str], _TextEncoder] = {}  # columns with the same limit and prompt share one
    columns: dict[str, _TextEncoder] = {}
    for column, limit in max_tokens.items():
        new = _TextEncoder(builder, tokenizer, limit, prompts, column)
        columns[column] = encoders.setdefault((limit, prompts.of(column)), new)
    rows: dict[str, list[int]] = {column: [] for column in max_tokens}
    lists: list[list[int]] = []
    for texts in batches_of(dataset):
        for column, encoder in columns.items():
            rows[column] += encoder.rows(texts.get(column, ()))
    # After all columns: negatives that are documents of the same data then leave the table, and with it the activation
    # cache, as it is without them.
    if negatives is not None and negatives in dataset.column_names:
        for texts in batches_of(dataset):
            lists += [columns[in_place_of].rows(some) for some in texts[negatives]]
    ragged = RaggedRows.of(lists) if any(lists) else None
    indices = {column: np.asarray(found, dtype=np.int64) for column, found in rows.items()}
    return builder.build(), indices, ragged


class _TextEncoder:
    """Adds texts to a table of sequences; each is tokenised once."""

    def __init__(
        self, builder: SequenceTableBuilder, tokenizer: Any, max_tokens: int, prompts: Prompts, column: str
    ) -> None:
        self._builder, self._tokenizer, self._max_tokens = builder, tokenizer, max_tokens
        self._prompts, self._column = prompts, column
        self._prompt_length = prompts.length(tokenizer, column)
        self._row_of: dict[bytes, int] = {}  # by digest of the text

    def rows(self, texts: Sequence[str]) -> list[int]:
        """The row index of each text."""
        keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._row_of}
        encodings: list[list[int]] = []
        if new:
            encodings = self._prompts.encode(self._tokenizer, list(new.values()), self._max_tokens, self._column)
        for key, ids in zip(new, encodings, strict=True):
            self._row_of[key] = self._builder.add(ids, prompt_length=self._prompt_length)
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


def distinct_sequences(
    texts: Sequence[str], tokenizer: Any, max_tokens: int, prompts: Prompts, column: str
) -> tuple[SequenceTable, npt.NDArray[np.int64]]:
    """Tokenise texts as those of a column; returns a table of the distinct sequences, and each text's row, [texts].

    Raises:
        ConfigError: the limit leaves no room for text.
    """
    builder = SequenceTableBuilder()
    rows = _TextEncoder(builder, tokenizer, max_tokens, prompts, column).rows(texts)
    return builder.build(), np.asarray(rows, dtype=np.int64)


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
