"""Batches of examples of similar length, so that little is padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from telly.data.sharing import dense_batches

POOL_BATCHES = 32


class LengthBucketBatchSampler(Sampler[list[int]]):
    """Seeded random batches drawn from length buckets.

    Each epoch shuffles the examples, cuts them into pools of `POOL_BATCHES` batches, sorts each pool by length, cuts it
    into batches and shuffles those. The order depends on the seed and the epoch alone. With several processes, each
    draws the same global batches and takes its own slice, so that their union is what one process would see.

    Args:
        lengths: length of every example, [examples].
        batch_size: examples in a global batch, over all processes.
        seed: seed of the order.
        drop_last: leave out the last, smaller batch (in-batch negatives need batches of equal size).
        rank: index of this process.
        world_size: number of processes; must divide `batch_size`.
        pairs: the two members of every example, [examples, 2]; then batches share members instead of lengths.

    Raises:
        ValueError: `batch_size` is not a positive multiple of `world_size`, or dropping the rest leaves no batch.
    """

    def __init__(
        self,
        lengths: Sequence[int] | npt.NDArray[np.int64],
        batch_size: int,
        *,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        pairs: npt.NDArray[np.int64] | None = None,
    ) -> None:
        if batch_size < 1 or batch_size % world_size:
            raise ValueError(f"batch size {batch_size} must be a positive multiple of {world_size} processes")
        self.lengths = np.asarray(lengths)
        self.pairs = pairs
        self.batch_size, self.seed, self.drop_last = batch_size, seed, drop_last
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        if not len(self):
            raise ValueError(f"{len(self.lengths)} examples do not fill one batch of {batch_size}")

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.lengths), self.batch_size)
        return whole + bool(rest and not self.drop_last)

    def global_batches(self) -> list[npt.NDArray[np.int64]]:
        """Batches of this epoch over all processes: arrays of example indices."""
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.lengths))
        if self.drop_last:
            order = order[: len(self) * self.batch_size]
        if self.pairs is not None:
            batches = dense_batches(self.pairs, order, self.batch_size, rng)
            rng.shuffle(batches)
            return batches
        batches = []
        # Sorting within pools pads nearly as little as sorting everything, and leaves the choice of a batch's examples
        # random: one global order by length would give much the same batches in every epoch.
        pool = POOL_BATCHES * self.batch_size
        for start in range(0, len(order), pool):
            part = order[start : start + pool]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        rng.shuffle(batches)
        return batches

    def __iter__(self) -> Iterator[list[int]]:
        local = self.batch_size // self.world_size
        for batch in self.global_batches():
            yield batch[self.rank * local : (self.rank + 1) * local].tolist()
