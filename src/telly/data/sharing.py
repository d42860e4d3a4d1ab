"""Batches of pairs that share their members, so that a batch encodes few distinct functions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def dense_batches(
    pairs: npt.NDArray[np.int64], examples: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Cut pairs into batches, each grown from a random member by the members that it has most pairs with.

    A batch of 16 pairs drawn at random has up to 32 distinct members; a batch around one member has 17, and where the
    partners have pairs among themselves as well, about a dozen. Every pair comes once.

    Args:
        pairs: the two members of every pair, [pairs, 2].
        examples: numbers of the pairs to use; of equals the first in this order come first.
        batch_size: pairs a batch; the last one may have fewer.
        rng: decides where batches start.

    Returns:
        numbers of pairs, batch by batch.
    """
    left = _Left(pairs, examples)
    starts = rng.permutation(int(pairs.max()) + 1).tolist()
    batches: list[npt.NDArray[np.int64]] = []
    while left.count:
        batch: list[int] = []
        links: dict[int, int] = {}  # candidates, and how many pairs each has with the batch's members
        members: set[int] = set()
        while len(batch) < batch_size and left.count:
            while not links and not left.partners[starts[-1]]:
                starts.pop()
            member = max(links, key=links.__getitem__) if links else starts[-1]
            links.pop(member, None)
            members.add(member)
            for partner in list(left.partners[member]):
                if partner in members:
                    batch += left.take(member, partner, batch_size - len(batch))
                else:
                    links[partner] = links.get(partner, 0) + 1
        batches.append(np.array(batch, dtype=np.int64))
    return batches


class _Left:
    """The pairs that are not in a batch yet.

    Attributes:
        partners: by member, its partners, and the numbers of the pairs that it has with each.
        count: pairs in all.
    """

    def __init__(self, pairs: npt.NDArray[np.int64], examples: npt.NDArray[np.int64]) -> None:
        self.partners: list[dict[int, list[int]]] = [{} for _ in range(int(pairs.max()) + 1)]
        self.count = len(examples)
        for example in examples.tolist():
            one, other = pairs[example].tolist()
            numbers = self.partners[one].setdefault(other, [])
            numbers.append(example)
            self.partners[other][one] = numbers

    def take(self, one: int, other: int, most: int) -> list[int]:
        """Take up to `most` of the pairs of two members."""
        numbers = self.partners[one][other]
        taken = numbers[:most]
        del numbers[:most]
        if not numbers:
            del self.partners[one][other]
            self.partners[other].pop(one, None)  # a pair of a member with itself stands once
        self.count -= len(taken)
        return taken
