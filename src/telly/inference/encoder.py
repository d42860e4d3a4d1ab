"""Encoder of a model without frozen layers, in the form that tasks expect."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from telly.models.execution import no_cache
from telly.models.stack import hidden_size_of


class PlainEncoder(nn.Module):
    """A model without frozen layers, with the part of `SplitModel`'s interface that evaluation needs.

    `SplitModel` needs a freeze plan and proves that the split is exact; inference needs neither.

    Args:
        model: any model of transformers, in eval mode.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def hidden_size(self) -> int:
        """Size of a hidden state."""
        return hidden_size_of(self.model)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    def forward(self, **inputs: Any) -> Any:
        """The model's own output from `input_ids` and masks, [batch, tokens]."""
        return self.model(**inputs, **no_cache(self.model))

    def encode(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Last hidden states of an encoder-decoder's encoder, [batch, tokens, hidden]."""
        states: torch.Tensor = self.model.get_encoder()(**inputs).last_hidden_state  # type: ignore[operator]
        return states
