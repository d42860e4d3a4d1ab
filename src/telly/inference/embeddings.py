"""Embeddings as arrays, and the key of everything they depend on; without torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from telly.models.similarity import Similarity

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
        pooling: pooling of token states, the modules after it, and normalisation.
        prompt: text that was put before every text.
        modules: digest of the weights of the modules after the pooling; empty if they have none.
        similarity: similarity by which embeddings are compared.
    """

    model: str
    tokenizer: str
    max_tokens: int
    precision: str
    pooling: str = "mean, unit length"
    prompt: str = ""
    modules: str = ""
    similarity: Similarity = Similarity.COSINE

    @property
    def fingerprint(self) -> str:
        """Digest of all parts; parts that earlier versions did not have count only with another value than theirs."""
        values = {
            name: value for name, value in asdict(self).items() if name not in LATER_PARTS or value != LATER_PARTS[name]
        }
        return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=12).hexdigest()


LATER_PARTS = {"prompt": "", "modules": "", "similarity": Similarity.COSINE}
"""Parts of a key that earlier versions did not have, with the values that their embeddings had."""
