"""Tokenised texts of understanding tasks, and their embeddings in batches of similar length."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from telly.data.sequences import Rows, SequenceTable, SequenceTableBuilder
from telly.freezing.source import RowSource
from telly.models.modes import encode_prompted
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
    builder = SequenceTableBuilder()
    row_of: dict[tuple[bytes, str, int], int] = {}  # by digest of the text, prompt and length limit
    rows: dict[str, list[int]] = {column: [] for column in max_tokens}
    lengths = {column: prompts.length(tokenizer, column) for column in max_tokens}
    for texts in batches_of(dataset):
        for column, limit in max_tokens.items():
            prompt = prompts.of(column)
            keys = [(hashlib.blake2b(text.encode(), digest_size=16).digest(), prompt, limit) for text in texts[column]]
            new = {key: text for key, text in zip(keys, texts[column], strict=True) if key not in row_of}
            encodings = encode_prompted(tokenizer, list(new.values()), limit, prompt) if new else []
            for key, ids in zip(new, encodings, strict=True):
                row_of[key] = builder.add(ids, prompt_length=lengths[column])
            rows[column] += [row_of[key] for key in keys]
    return builder.build(), {column: np.asarray(indices, dtype=np.int64) for column, indices in rows.items()}


def distinct_sequences(
    texts: Sequence[str], tokenizer: Any, max_tokens: int, prompts: Prompts, column: str
) -> tuple[SequenceTable, npt.NDArray[np.int64]]:
    """Tokenise texts as those of a column; returns a table of the distinct sequences, and each text's row, [texts].

    Raises:
        ConfigError: the limit leaves no room for text.
    """
    builder, length = SequenceTableBuilder(), prompts.length(tokenizer, column)
    encodings = encode_prompted(tokenizer, list(texts), max_tokens, prompts.of(column))
    rows = [builder.add(ids, prompt_length=length) for ids in encodings]
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
