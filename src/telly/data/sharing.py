"""Batches of pairs that share members, so that a batch encodes few distinct functions."""

from __future__ import annotations

from itertools import islice

import numpy as np
import numpy.typing as npt

LINKS_A_PAIR = 16
"""A member with more partners than this times the batch size offers only its first ones. Else one function that
occurs in half of all pairs would make every batch look at all functions."""


def dense_batches(
    pairs: npt.NDArray[np.int64], examples: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Cut pairs into batches, each grown from a random member by the members with most pairs among those in it.

    A batch of 16 pairs drawn at random has up to 32 distinct members; a batch around one member has 17, and where the
    partners have pairs among themselves as well, about a dozen. Every pair comes once.

    Args:
        pairs: the two members of every pair, [pairs, 2].
        examples: indices of the pairs to use; among equals the first in this order come first.
        batch_size: pairs per batch; the last one may have fewer.
        rng: decides where batches start.

    Returns:
        indices of pairs, batch by batch.
    """
    left = _RemainingPairs(pairs, examples)
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
                # The batch begins, or its members have no pairs left with others: continue from a random member.
                # Members whose pairs are all taken are dropped for good, so `starts` is read once over all batches.
                while not left.partners[starts[-1]]:
                    starts.pop()
                member = starts[-1]
            members[member] = None
            # Take the new member's pairs with those in the batch, itself included: they encode nothing new.
            for other in [other for other in members if other in left.partners[member]]:
                batch += left.take(member, other, batch_size - len(batch))
            # Each of its other partners has one pair more with the batch, and may join it next.
            for partner in islice(left.partners[member], max_links):
                if partner not in members:
                    candidates.link(partner)
        batches.append(np.array(batch, dtype=np.int64))
    return batches


class _Candidates:
    """Members that could join a batch, ordered by the number of pairs they have with its members."""

    def __init__(self) -> None:
        self._links: dict[int, int] = {}
        self._by_links: list[list[int]] = [[]]

    def link(self, candidate: int) -> None:
        """Count one more pair."""
        links = self._links[candidate] = self._links.get(candidate, 0) + 1
        if links == len(self._by_links):
            self._by_links.append([])
        self._by_links[links].append(candidate)

    def best(self) -> int | None:
        """Remove and return the one with most pairs, among equals the last one linked; None without any."""
        for links in range(len(self._by_links) - 1, 0, -1):
            row = self._by_links[links]
            while row:
                candidate = row.pop()
                # Entries are not removed when a candidate is linked again or taken; those are skipped here.
                if self._links.get(candidate) == links:
                    del self._links[candidate]
                    return candidate
        return None


class _RemainingPairs:
    """Pairs that are not in a batch yet.

    Attributes:
        partners: by member, its partners and the indices of the pairs it has with each. Both members of a pair
            share one list of indices.
        count: number of remaining pairs.
    """

    def __init__(self, pairs: npt.NDArray[np.int64], examples: npt.NDArray[np.int64]) -> None:
        self.partners: list[dict[int, list[int]]] = [{} for _ in range(int(pairs.max()) + 1)]
        self.count = len(examples)
        for example in examples.tolist():
            one, other = pairs[example].tolist()
            indices = self.partners[one].setdefault(other, [])
            indices.append(example)
            self.partners[other][one] = indices

    def take(self, one: int, other: int, max_pairs: int) -> list[int]:
        """Remove and return up to `max_pairs` of the pairs of two members."""
        indices = self.partners[one][other]
        taken = indices[:max_pairs]
        del indices[:max_pairs]
        if not indices:
            del self.partners[one][other]
            self.partners[other].pop(one, None)  # a pair of a member with itself has one entry
        self.count -= len(taken)
        return taken
