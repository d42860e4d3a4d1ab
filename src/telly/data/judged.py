"""A data set of queries with relevance judgments, which are ranked against all documents of a collection."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from telly.metrics.judgments import Indices, Judgments

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class JudgedQueries:
    """Queries, and the documents that are relevant to each among all documents of a collection.

    Like a `datasets.Dataset` it has a length, the number of queries, and can be shuffled and limited; its documents
    stay as they are then, so that a limit on queries leaves the candidates alone.

    Attributes:
        queries: data set with the column of queries.
        documents: data set with the column of documents, which are the candidates; no two have the same text.
        judgments: relevant documents of every query.
        warnings: what readers of the results should know about the collection, in sentences.
    """

    queries: Dataset
    documents: Dataset
    judgments: Judgments
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.queries)

    def select(self, indices: Indices) -> JudgedQueries:
        """Some of the queries, in the order of their indices."""
        chosen = np.asarray(indices, dtype=np.int64)
        return replace(self, queries=self.queries.select(chosen), judgments=self.judgments.select(chosen))

    @property
    def _fingerprint(self) -> str:
        """Digest of queries, documents and judgments, under the name that a `datasets.Dataset` has it."""
        digest = hashlib.blake2b(f"{self.queries._fingerprint} {self.documents._fingerprint}".encode(), digest_size=16)
        for array in (self.judgments.offsets, self.judgments.documents, self.judgments.grades):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def shuffle(self, seed: int) -> JudgedQueries:
        """The queries in a random order."""
        return self.select(np.random.default_rng(seed).permutation(len(self)))
