"""One vector a sequence: what search, clone detection and classification look at.

Mean of the last layer's states over real tokens, the paper's representation for all understanding tasks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from telly.data.sequences import Rows
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.models.pooling import mean_pool
from telly.tasks.base import length_batches, to_device


def pooled(split: SplitModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean states of a batch of tokens or stored states, [batch, hidden]."""
    states = split(**batch).last_hidden_state  # [batch, tokens, hidden]
    return mean_pool(states, batch["attention_mask"])


def vectors_of_rows(
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
