"""Embeddings as arrays, and the key that says what they depend on; without torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Embeddings = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddingKey:
    """Everything that the embeddings of functions depend on.

    Attributes:
        model: digest of all weights and of the model's settings.
        tokenizer: digest of how texts become tokens.
        max_tokens: length limit of functions.
        precision: precision of the forward pass, `fp32` or `bf16`.
        pooling: how token states become one embedding.
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
