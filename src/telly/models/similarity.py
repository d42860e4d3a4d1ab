"""Similarity of two embeddings. This module does not import torch, so that settings can be declared with it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Similarity(StrEnum):
    """Similarity of two embeddings; a higher score is more similar.

    Attributes:
        COSINE: cosine of the angle.
        DOT: dot product.
        EUCLIDEAN: negative Euclidean distance.
        MANHATTAN: negative sum of the absolute differences.
    """

    COSINE = "cosine"
    DOT = "dot"
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"

    @property
    def normalizes(self) -> bool:
        """True if embeddings are scaled to unit length before they are compared."""
        return self is Similarity.COSINE

    def scores(self, queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        """Compute the similarity of every query to every document.

        Args:
            queries: [queries, size].
            documents: [documents, size].

        Returns:
            [queries, documents].
        """
        # Imported here, so that settings and an index that is searched by words alone need no torch.
        import torch
        from torch.nn.functional import normalize

        match self:
            case Similarity.COSINE:
                return normalize(queries, dim=-1) @ normalize(documents, dim=-1).T
            case Similarity.DOT:
                return queries @ documents.T
            case Similarity.EUCLIDEAN:
                return -torch.cdist(queries, documents, p=2.0)
            case Similarity.MANHATTAN:
                return -torch.cdist(queries, documents, p=1.0)
