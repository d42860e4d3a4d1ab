"""What a model family needs beyond the structure that all share. Most families need no entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.random import fork_rng

PassThrough = Callable[[nn.Module, torch.Tensor, tuple[Any, ...]], Any]


def _hand_on(_block: nn.Module, hidden_states: torch.Tensor, _args: tuple[Any, ...]) -> torch.Tensor:
    return hidden_states


def _hand_on_t5(block: nn.Module, hidden_states: torch.Tensor, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """T5's block 0 computes the relative position bias that all later blocks are handed."""
    mask, position_bias = (*args, None, None)[:2]
    if position_bias is None:
        tokens = hidden_states.shape[1]
        attention = block.layer[0].SelfAttention  # type: ignore[index,union-attr]
        position_bias = attention.compute_bias(tokens, tokens, device=hidden_states.device)
        if mask is not None and _t5_adds_the_mask_to_its_bias():
            position_bias = position_bias + mask[..., :tokens]  # [batch, heads, tokens, tokens]
    return hidden_states, position_bias, None


@cache
def _t5_adds_the_mask_to_its_bias() -> bool:
    """Whether block 0 hands on its position bias with the attention mask added; found by running a tiny model.

    Older versions of transformers 5 do so, and later blocks then mask by nothing else.
    """
    from transformers import T5Config, T5EncoderModel

    handed_on = []
    with fork_rng(), torch.no_grad():
        model = T5EncoderModel(T5Config(vocab_size=2, d_model=4, d_kv=2, d_ff=4, num_layers=1, num_heads=2)).eval()
        block: Any = model.encoder.block[0]
        block.register_forward_hook(lambda _block, _args, output: handed_on.append(output[1]))
        model(input_ids=torch.tensor([[0, 1]]), attention_mask=torch.tensor([[1, 0]]))
        bias = block.layer[0].SelfAttention.compute_bias(2, 2)
    return not torch.equal(handed_on[0], bias)


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
