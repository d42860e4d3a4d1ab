"""Relevance judgments: the right answers of every query, with grades. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = Sequence[int] | npt.NDArray[np.int64]


@dataclass(frozen=True)
class Judgments:
    """Relevant documents of every query, as ragged rows; all other documents count as not relevant.

    Attributes:
        offsets: start of each query's documents, and the end of the last one's, [queries + 1].
        documents: indices of the relevant documents among the candidates, [pairs].
        grades: degree of relevance of each, at least 1, [pairs].
    """

    offsets: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    grades: npt.NDArray[np.int64]

    @classmethod
    def of(cls, relevant: Iterable[Mapping[int, int]]) -> Judgments:
        """Judgments from the relevant documents of each query and their grades."""
        rows = list(relevant)
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        documents = np.fromiter((document for row in rows for document in row), np.int64, offsets[-1])
        return cls(offsets, documents, np.fromiter((grade for row in rows for grade in row.values()), np.int64))

    @classmethod
    def one_each(cls, documents: Indices) -> Judgments:
        """Judgments with one relevant document per query, [queries]."""
        documents = np.asarray(documents, dtype=np.int64)
        return cls(np.arange(len(documents) + 1), documents, np.ones_like(documents))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of relevant documents of each query, [queries]."""
        return np.diff(self.offsets)

    def select(self, queries: Indices) -> Judgments:
        """The judgments of some queries, in their order."""
        queries = np.asarray(queries, dtype=np.int64)
        counts = self.counts[queries]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        # Position of each pair within its query, added to where the query starts in these judgments.
        pairs = np.arange(offsets[-1]) + np.repeat(self.offsets[queries] - offsets[:-1], counts)
        return Judgments(offsets, self.documents[pairs], self.grades[pairs])
