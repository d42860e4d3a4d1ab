"""What a model family needs beyond the structure that all share. Most families need no entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

PassThrough = Callable[[nn.Module, torch.Tensor, tuple[Any, ...]], Any]


def _hand_on(_block: nn.Module, hidden_states: torch.Tensor, _args: tuple[Any, ...]) -> torch.Tensor:
    return hidden_states


def _hand_on_t5(block: nn.Module, hidden_states: torch.Tensor, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """T5's block 0 computes the relative position bias that all later blocks are handed."""
    position_bias = args[1] if len(args) > 1 else None
    if position_bias is None:
        tokens = hidden_states.shape[1]
        attention = block.layer[0].SelfAttention  # type: ignore[index,union-attr]
        position_bias = attention.compute_bias(tokens, tokens, device=hidden_states.device)
    return hidden_states, position_bias, None


@dataclass(frozen=True)
class Family:
    """How blocks below the split are passed through, and which parts of them replay still needs.

    Attributes:
        pass_through: what a skipped block returns, given the block, the hidden states and its further arguments.
        needed_parameters: ends of names of prefix parameters that replay reads; they are never released.
        shared_dropouts: names, below the owner of the blocks, of modules that are used both before and after them.
            They belong to the frozen part, so the dropout after the last block is off too.
    """

    pass_through: PassThrough = _hand_on
    needed_parameters: tuple[str, ...] = ()
    shared_dropouts: tuple[str, ...] = ()


DEFAULT = Family()
T5 = Family(_hand_on_t5, needed_parameters=("relative_attention_bias.weight",), shared_dropouts=("dropout",))
FAMILIES: dict[str, Family] = {"t5": T5, "mt5": T5}
"""By `config.model_type`."""


def family_of(model: nn.Module) -> Family:
    """The family's entry, or the default."""
    return FAMILIES.get(str(getattr(getattr(model, "config", None), "model_type", "")), DEFAULT)
