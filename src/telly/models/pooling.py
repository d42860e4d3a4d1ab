"""Pooling of hidden states to one embedding per sequence."""

from __future__ import annotations

import torch


def mean_pool(hidden_states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Compute the mean of the states of real tokens.

    Args:
        hidden_states: [batch, tokens, hidden].
        attention_mask: [batch, tokens], 1 for real tokens.

    Returns:
        [batch, hidden], in float32 whatever the precision of the states.
    """
    weights = attention_mask.unsqueeze(-1).to(torch.float32)  # [batch, tokens, 1]
    total = (hidden_states.float() * weights).sum(dim=1)  # [batch, hidden]
    return total / weights.sum(dim=1).clamp(min=1.0)
