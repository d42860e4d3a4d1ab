"""A model as it is, where a task expects an encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from telly.models.pooling import mean_pool
from telly.models.stack import no_cache


class PlainEncoder(nn.Module):
    """A model without frozen layers, with the part of `SplitModel` that evaluation needs.

    `SplitModel(model, None)` would do as well, but makes a plan for training, which inference does not need.

    Args:
        model: any model of transformers, in eval mode.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def hidden_size(self) -> int:
        """Width of the states."""
        return int(self.model.config.hidden_size)  # type: ignore[union-attr,arg-type]

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    def mean_pooled(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Means of the last hidden states over real tokens, [batch, hidden]."""
        return mean_pool(self(**batch).last_hidden_state, batch["attention_mask"])

    def forward(self, **inputs: Any) -> Any:
        """The model's own output from `input_ids` and masks, [batch, tokens]."""
        return self.model(**inputs, **no_cache(self.model))

    def encode(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Last hidden states of an encoder-decoder's encoder, [batch, tokens, hidden]."""
        states: torch.Tensor = self.model.get_encoder()(**inputs).last_hidden_state  # type: ignore[operator]
        return states
