"""Where batches come from: stored states where there are some, token ids otherwise."""

from __future__ import annotations

import time

import torch

from telly.data.sequences import Rows, SequenceTable
from telly.freezing.activation_cache import ActivationCache


class RowSource:
    """Hands out batches of rows for `SplitModel.forward`, and counts the seconds that takes.

    Args:
        table: the sequences.
        pad_id: id to pad token batches with.
        store: states of the same rows; a batch with a row that is not stored comes as tokens as a whole.
    """

    def __init__(self, table: SequenceTable, pad_id: int, store: ActivationCache | None = None) -> None:
        self.table = table
        self.pad_id = pad_id
        self.store = store
        self.seconds = 0.0

    def batch(self, rows: Rows) -> dict[str, torch.Tensor]:
        """A padded batch: `states` or `input_ids`, `attention_mask`, and `prefix_lengths` if the table has them."""
        started = time.perf_counter()
        if self.store is not None and self.store.has(rows):
            batch = self.store.batch(rows) | self.table.mask_inputs(rows)
        else:
            batch = self.table.pad(rows, self.pad_id)
        self.seconds += time.perf_counter() - started
        return batch
