"""Embeddings as arrays, and the key of everything they depend on; without torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Embeddings = npt.NDArray[np.float32]
"""Embeddings, usually [texts, hidden]."""


@dataclass(frozen=True)
class EmbeddingKey:
    """Everything that the embeddings of functions depend on.

    Attributes:
        model: digest of all weights and of the model's settings.
        tokenizer: digest of the tokenizer.
        max_tokens: length limit of functions.
        precision: precision of the forward pass, `fp32` or `bf16`.
        pooling: pooling of token states, and normalisation.
    """

    model: str
    tokenizer: str
    max_tokens: int
    precision: str
    pooling: str = "mean, unit length"

    @property
    def fingerprint(self) -> str:
        """Digest of all parts."""
        return hashlib.blake2b(json.dumps(asdict(self), sort_keys=True).encode(), digest_size=12).hexdigest()
