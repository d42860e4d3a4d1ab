"""The name of the forward argument for a key/value cache, found by running the model.

transformers renamed `past_key_values` to `cache` in 5.24. Signatures do not tell which name works: decorators rename
arguments, and `**kwargs` accept unknown ones without an error. So each name is tried on two tokens; it works if its
cache holds them afterwards.
"""

from __future__ import annotations

import warnings
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

CACHE_ARGUMENTS = ("cache", "past_key_values")
"""Names of the argument, newest first: an older name may still work, with a deprecation warning."""
TRIAL_ERRORS = (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError)
"""Errors of a forward that is given an argument it does not accept."""
TRIAL_ID = 3
"""A token id that every vocabulary has, and that is not the padding id of any model in use."""

_known: WeakKeyDictionary[nn.Module, str | None] = WeakKeyDictionary()


def cache_argument(model: nn.Module) -> str | None:
    """Name of the forward argument that takes a key/value cache; None if the model keeps none.

    Args:
        model: a transformers model that reads token ids, in training or evaluation mode. The result is remembered.
    """
    if model not in _known:
        _known[model] = next((name for name in CACHE_ARGUMENTS if _fills(model, name)), None)
    return _known[model]


def cached(model: nn.Module, cache: Any) -> dict[str, Any]:
    """The keyword argument that passes a key/value cache to a model's forward or `generate`; empty if it keeps none."""
    name = cache_argument(model)
    return {} if name is None else {name: cache}


def _fills(model: nn.Module, name: str) -> bool:
    from transformers import DynamicCache

    cache = DynamicCache()
    # Without a mask, whose values a model on the meta device (a study's plan) could not look at.
    ids = torch.full((1, 2), TRIAL_ID, device=next(model.parameters()).device)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model(input_ids=ids, use_cache=True, **{name: cache})
        except TRIAL_ERRORS:
            return False
    return int(cache.get_seq_length()) == ids.shape[1]
