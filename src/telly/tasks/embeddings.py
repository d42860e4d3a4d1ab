"""One vector a sequence: what search, clone detection and classification look at.

Mean of the last layer's states over real tokens, the paper's representation for all understanding tasks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from telly.data.sequences import Rows, SequenceTable, SequenceTableBuilder
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.models.modes import encode_texts
from telly.models.pooling import mean_pool
from telly.tasks.base import batches_of, length_batches, to_device


def encoded_texts(
    dataset: Any, tokenizer: Any, max_tokens: dict[str, int]
) -> tuple[SequenceTable, dict[str, npt.NDArray[np.int64]]]:
    """Tokenise every distinct text once, however many examples it is in.

    Args:
        dataset: the examples, with a column for every limit.
        tokenizer: the model's.
        max_tokens: length limit by column.

    Returns:
        the distinct sequences of all columns, and by column the row number of every example, [examples].
    """
    builder = SequenceTableBuilder()
    known: dict[tuple[bytes, int], int] = {}
    rows: dict[str, list[int]] = {column: [] for column in max_tokens}
    for texts in batches_of(dataset):
        for column, limit in max_tokens.items():
            keys = [(hashlib.blake2b(text.encode(), digest_size=16).digest(), limit) for text in texts[column]]
            new = {key: text for key, text in zip(keys, texts[column], strict=True) if key not in known}
            encodings = encode_texts(tokenizer, list(new.values()), limit) if new else []
            for key, ids in zip(new, encodings, strict=True):
                known[key] = builder.add(ids)
            rows[column] += [known[key] for key in keys]
    return builder.build(), {column: np.asarray(found, dtype=np.int64) for column, found in rows.items()}


def pooled(split: SplitModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean states of a batch of tokens or stored states, [batch, hidden]."""
    states = split(**batch).last_hidden_state  # [batch, tokens, hidden]
    return mean_pool(states, batch["attention_mask"])


def embed_rows(
    embed: Callable[[dict[str, torch.Tensor]], torch.Tensor], source: RowSource, rows: Rows, device: torch.device
) -> torch.Tensor:
    """Vectors of some rows in their order, [rows, hidden]; computed in batches of similar length.

    Args:
        embed: from a batch of tokens or states to vectors.
        source: gives the batches.
        rows: row numbers of the source's table.
        device: where the model is.
    """
    rows = np.asarray(rows)
    found: torch.Tensor | None = None
    for picked in length_batches(source.table.lengths[rows]):
        vectors = embed(to_device(source.batch(rows[picked]), device)).float()
        if found is None:
            found = vectors.new_empty(len(rows), vectors.shape[1])
        found[torch.from_numpy(picked).to(device)] = vectors
    assert found is not None, "no rows"
    return found
