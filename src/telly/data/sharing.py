"""Batches of pairs that share their members, so that a batch encodes few distinct functions."""

from __future__ import annotations

from itertools import islice

import numpy as np
import numpy.typing as npt

LINKS_PER_PAIR = 16
"""Limit on the partners that a member offers, per pair of the batch: a function in half of all pairs must not make
every batch look at all functions."""


def dense_batches(
    pairs: npt.NDArray[np.int64], examples: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Cut pairs into batches, each grown greedily from a random member by the members with most pairs into the batch.

    A batch of 16 pairs drawn at random has up to 32 distinct members; a batch around one member has 17, and where the
    partners have pairs among themselves as well, about a dozen. Every pair comes once.

    Args:
        pairs: the two members of every pair, [pairs, 2].
        examples: indices of the pairs to use; ties are taken in this order.
        batch_size: pairs per batch; the last batch may have fewer.
        rng: source of the random starting members.

    Returns:
        indices of pairs, batch by batch.
    """
    remaining = _RemainingPairs(pairs, examples)
    max_links = LINKS_PER_PAIR * batch_size
    # Members in random order, from the end of which batches start. A member without pairs left is dropped for good.
    starts = rng.permutation(int(pairs.max()) + 1).tolist()
    batches: list[npt.NDArray[np.int64]] = []
    while remaining.count:
        batch: list[int] = []
        members: dict[int, None] = {}  # an ordered set
        candidates = _Candidates()
        while len(batch) < batch_size and remaining.count:
            member = candidates.best()
            if member is None:  # a new batch, or every pair that touches this one is used up
                while not remaining.partners[starts[-1]]:
                    starts.pop()
                member = starts[-1]
            members[member] = None
            # Every pair between the new member and the batch costs no further function; `members` includes the new
            # one, for a pair of a function with itself.
            for other in [other for other in members if other in remaining.partners[member]]:
                batch += remaining.take(member, other, batch_size - len(batch))
            # Its remaining partners outside the batch gain one link each and so come nearer to being taken next.
            for partner in islice(remaining.partners[member], max_links):
                if partner not in members:
                    candidates.link(partner)
        batches.append(np.array(batch, dtype=np.int64))
    return batches


class _Candidates:
    """Candidate members of a batch, ordered by their number of pairs with its present members.

    A bucket queue: `_by_links[n]` lists the candidates that had n links when they were added. A candidate whose count
    has grown stays in its old buckets, and is skipped there when it comes up.
    """

    def __init__(self) -> None:
        self._links: dict[int, int] = {}
        self._by_links: list[list[int]] = [[]]

    def link(self, candidate: int) -> None:
        """Count one more pair of a candidate."""
        links = self._links[candidate] = self._links.get(candidate, 0) + 1
        if links == len(self._by_links):
            self._by_links.append([])
        self._by_links[links].append(candidate)

    def best(self) -> int | None:
        """Remove and return the candidate with most pairs, the last one linked among ties; None if there is none."""
        for links in range(len(self._by_links) - 1, 0, -1):
            bucket = self._by_links[links]
            while bucket:
                candidate = bucket.pop()
                if self._links.get(candidate) == links:  # else it was taken, or has more links by now
                    del self._links[candidate]
                    return candidate
        return None


class _RemainingPairs:
    """The pairs that are not in a batch yet.

    Attributes:
        partners: for every member its partners, with the indices of the pairs that it has with each.
        count: number of remaining pairs.
    """

    def __init__(self, pairs: npt.NDArray[np.int64], examples: npt.NDArray[np.int64]) -> None:
        self.partners: list[dict[int, list[int]]] = [{} for _ in range(int(pairs.max()) + 1)]
        self.count = len(examples)
        for example in examples.tolist():
            one, other = pairs[example].tolist()
            indices = self.partners[one].setdefault(other, [])
            indices.append(example)
            self.partners[other][one] = indices  # the same list, so that taking a pair removes it from both

    def take(self, one: int, other: int, max_count: int) -> list[int]:
        """Remove and return up to `max_count` of the pairs of two members."""
        indices = self.partners[one][other]
        taken = indices[:max_count]
        del indices[:max_count]
        if not indices:
            del self.partners[one][other]
            self.partners[other].pop(one, None)  # a member's pair with itself has one entry
        self.count -= len(taken)
        return taken
