"""Pooling of hidden states to one embedding per sequence, in all modes of sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from telly.models.pooling_mode import PoolingMode


def pool(
    hidden_states: torch.Tensor,
    attention_mask: torch.Tensor,
    modes: Sequence[PoolingMode] = (PoolingMode.MEAN,),
    prompt_lengths: torch.Tensor | None = None,
) -> torch.Tensor:
    """Pool the states of real tokens; the results of several modes are concatenated in their order.

    Padding may be on either side. Left-out prompts (`include_prompt: false`) keep their place in the counts of
    `WEIGHTED_MEAN`. Where the prompt is all of a sequence, `CLS` is the first state and every other mode gives zeros.

    Args:
        hidden_states: [batch, tokens, hidden].
        attention_mask: [batch, tokens], 1 for real tokens.
        modes: at least one mode.
        prompt_lengths: [batch], number of real tokens at the start to leave out; None leaves out none.

    Returns:
        [batch, hidden x modes], in float32 whatever the precision of the states.
    """
    states = hidden_states.float()
    first = attention_mask.int().argmax(dim=1, keepdim=True)  # [batch, 1]
    places = torch.arange(states.shape[1], device=states.device) - first  # [batch, tokens], 0 at the first real token
    pooled = attention_mask.bool()
    if prompt_lengths is not None:
        pooled = pooled & (places >= prompt_lengths.unsqueeze(1))
    return torch.cat([_pool(states, pooled, places, mode) for mode in modes], dim=-1)


def _pool(states: torch.Tensor, pooled: torch.Tensor, places: torch.Tensor, mode: PoolingMode) -> torch.Tensor:
    """Pool float32 states [batch, tokens, hidden] in one mode, where `pooled` [batch, tokens] is true."""
    match mode:
        case PoolingMode.CLS:
            return _take(states, pooled.int().argmax(dim=1))
        case PoolingMode.LAST_TOKEN:
            # `places` grow from left to right, so the last pooled token has the largest one
            last = places.masked_fill(~pooled, -states.shape[1]).argmax(dim=1)
            return _take(states, last) * pooled.any(dim=1, keepdim=True)
        case PoolingMode.MAX:
            highest = states.masked_fill(~pooled.unsqueeze(-1), -torch.inf).max(dim=1).values
            return torch.where(pooled.any(dim=1, keepdim=True), highest, 0.0)
        case PoolingMode.WEIGHTED_MEAN:
            return _weighted_mean(states, pooled * (places + 1).float())
        case PoolingMode.MEAN:
            return _weighted_mean(states, pooled.float())
        case PoolingMode.MEAN_SQRT_LEN:
            return _weighted_mean(states, pooled.float(), exponent=0.5)


def _weighted_mean(states: torch.Tensor, weights: torch.Tensor, exponent: float = 1.0) -> torch.Tensor:
    """Weighted sum of the states over a power of the weights' sum, [batch, hidden]; zeros where all weights are 0."""
    total = (states * weights.unsqueeze(-1)).sum(dim=1)  # [batch, hidden]
    return total / weights.sum(dim=1, keepdim=True).clamp(min=1.0) ** exponent


def _take(states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """State at one position per sequence, [batch, hidden]."""
    return states.gather(1, index.view(-1, 1, 1).expand(-1, 1, states.shape[-1])).squeeze(1)
