"""Names of poolings. This module does not import torch, so that settings can be declared with them."""

from __future__ import annotations

from enum import StrEnum


class PoolingMode(StrEnum):
    """Pooling of a sequence's states, under the names of sentence-transformers.

    Attributes:
        CLS: state of the first token.
        MEAN: mean of all states.
        MAX: maximum of every component.
        MEAN_SQRT_LEN: sum of all states over the square root of their number.
        WEIGHTED_MEAN: mean with weights 1, 2, ... from the first token on (SGPT, Muennighoff 2022).
        LAST_TOKEN: state of the last token, the usual pooling of causal models.
    """

    CLS = "cls"
    MEAN = "mean"
    MAX = "max"
    MEAN_SQRT_LEN = "mean_sqrt_len_tokens"
    WEIGHTED_MEAN = "weightedmean"
    LAST_TOKEN = "lasttoken"


def parse_pooling(text: str) -> tuple[PoolingMode, ...]:
    """Read a pooling such as `cls` or `mean-max`.

    Raises:
        ValueError: a mode is unknown.
    """
    modes = text.split("-")
    for mode in modes:
        if mode not in list(PoolingMode):
            raise ValueError(
                f"unknown pooling {mode!r}; expected one of {', '.join(PoolingMode)}, or several joined by hyphens"
            )
    return tuple(map(PoolingMode, modes))
