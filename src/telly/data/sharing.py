"""Batches of pairs that share their members, so that a batch encodes few distinct functions."""

from __future__ import annotations

from itertools import islice

import numpy as np
import numpy.typing as npt

LINKS_A_PAIR = 16
"""A member with more partners than this times the batch size offers only its first ones: one function in half of all
pairs must not make every batch look at all functions."""


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
    max_links = LINKS_A_PAIR * batch_size
    starts = rng.permutation(int(pairs.max()) + 1).tolist()
    batches: list[npt.NDArray[np.int64]] = []
    while left.count:
        batch: list[int] = []
        members: dict[int, None] = {}
        candidates = _Candidates()
        while len(batch) < batch_size and left.count:
            member = candidates.best()
            if member is None:
                while not left.partners[starts[-1]]:
                    starts.pop()
                member = starts[-1]
            members[member] = None
            for other in [other for other in members if other in left.partners[member]]:
                batch += left.take(member, other, batch_size - len(batch))
            for partner in islice(left.partners[member], max_links):
                if partner not in members:
                    candidates.link(partner)
        batches.append(np.array(batch, dtype=np.int64))
    return batches


class _Candidates:
    """Members that a batch could take in, by how many pairs each has with those it has."""

    def __init__(self) -> None:
        self._links: dict[int, int] = {}
        self._by_links: list[list[int]] = [[]]

    def link(self, candidate: int) -> None:
        """Count one pair more."""
        links = self._links[candidate] = self._links.get(candidate, 0) + 1
        if links == len(self._by_links):
            self._by_links.append([])
        self._by_links[links].append(candidate)

    def best(self) -> int | None:
        """Take out the one with most pairs, of equals the last one linked; None where there is none."""
        for links in range(len(self._by_links) - 1, 0, -1):
            row = self._by_links[links]
            while row:
                candidate = row.pop()
                if self._links.get(candidate) == links:  # else it was taken, or has been linked again
                    del self._links[candidate]
                    return candidate
        return None


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
