"""Batches from the activation cache where rows are cached, from token ids otherwise."""

from __future__ import annotations

import time

import torch

from telly.data.sequences import Rows, SequenceTable
from telly.freezing.activation_cache import ActivationCache


class RowSource:
    """Source of batches for `SplitModel.forward`; measures the time that reading them takes.

    Args:
        table: the sequences.
        pad_id: padding id for token batches.
        cache: activation cache of the same rows; a batch with any row missing from it is read as tokens.

    Attributes:
        seconds: time spent in `batch` so far.
    """

    def __init__(self, table: SequenceTable, pad_id: int, cache: ActivationCache | None = None) -> None:
        self.table = table
        self.pad_id = pad_id
        self.cache = cache
        self.seconds = 0.0

    def batch(self, rows: Rows) -> dict[str, torch.Tensor]:
        """A padded batch: `states` or `input_ids`, and `attention_mask`.

        It also has `prefix_lengths` (for the model) and `prompt_lengths` (for pooling) if the table has them.
        """
        started = time.perf_counter()
        if self.cache is not None and self.cache.has(rows):
            batch = self.cache.batch(rows) | self.table.mask_inputs(rows)
        else:
            batch = self.table.pad(rows, self.pad_id)
        batch |= self.table.pooling_inputs(rows)
        self.seconds += time.perf_counter() - started
        return batch
