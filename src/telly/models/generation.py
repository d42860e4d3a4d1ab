"""Models that write text: which kind a checkpoint is, its logits where there is a loss, and decoding in batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import nn

from telly.errors import ModelError
from telly.models.beams import beam_cache
from telly.models.kv_cache import cached
from telly.models.prefix_lm import checkpoint_part


class Architecture(StrEnum):
    """How a model writes.

    Attributes:
        ONE_STACK: an encoder of RoBERTa's shape, used as decoder too (`telly.models.prefix_lm`).
        DECODER: decoder only, such as GPT-2, StarCoder2, Qwen2: prompt and answer are one sequence.
        ENCODER_DECODER: such as T5 and CodeT5.
    """

    ONE_STACK = "one-stack"
    DECODER = "decoder"
    ENCODER_DECODER = "encoder-decoder"

    @property
    def is_single_sequence(self) -> bool:
        """Whether source and target are one sequence."""
        return self is not Architecture.ENCODER_DECODER


def architecture_of(config: Any) -> Architecture:
    """The kind that a model's configuration tells.

    Raises:
        ModelError: the library has no class for writing with such a model.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    if getattr(config, "is_encoder_decoder", False):
        return Architecture.ENCODER_DECODER
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return Architecture.ONE_STACK
    if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return Architecture.DECODER
    raise ModelError(
        f"a model of type {config.model_type!r} cannot write text; expected an encoder of RoBERTa's shape, "
        "an encoder-decoder (T5) or a decoder (GPT-2, StarCoder2, Qwen2)"
    )


@contextmanager
def selected_logits(model: Any, selected: torch.Tensor) -> Iterator[None]:
    """While open, the model's output layer runs at some positions only, and its logits are [selected, vocabulary].

    A vocabulary of 50,000 makes the logits of all positions the largest tensor of a step by far.

    Args:
        model: a model with an output layer.
        selected: true where logits are wanted, [batch, tokens].
    """

    def select(_head: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0][selected], *args[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class Decoding:
    """How text is decoded.

    Attributes:
        beams: size of the beam; 1 is greedy.
        max_new_tokens: longest answer, its end token included.
        end_ids: tokens that end an answer.
        pad_id: id to fill up ended answers with.
    """

    beams: int
    max_new_tokens: int
    end_ids: tuple[int, ...]
    pad_id: int

    def arguments(self, **more: Any) -> dict[str, Any]:
        """Arguments of the library's `generate`; `more` are further settings of its `GenerationConfig`."""
        from transformers import GenerationConfig

        settings = GenerationConfig(
            do_sample=False,
            num_beams=self.beams,
            max_new_tokens=self.max_new_tokens,
            eos_token_id=list(self.end_ids),
            pad_token_id=self.pad_id,
            early_stopping=self.beams > 1,
            use_cache=True,
            **more,
        )
        return {"generation_config": settings}


@torch.no_grad()
def decode_single_sequence(
    model: Any, prompts: list[torch.Tensor], decoding: Decoding, prefix_lengths: torch.Tensor | None = None
) -> list[list[int]]:
    """Answers to prompts, by a model whose prompt and answer are one sequence.

    Every prompt is encoded once, whatever the number of beams.

    Args:
        model: a decoder, or a `PrefixLM`.
        prompts: token ids of each, [tokens]; at least one token each.
        decoding: how.
        prefix_lengths: for a `PrefixLM`, how many tokens at the start of each prompt see each other, [prompts].

    Returns:
        token ids of each answer, without its end token.
    """
    device = next(model.parameters()).device
    ids, mask = left_padded(prompts, decoding.pad_id)
    ids, mask = ids.to(device), mask.to(device)
    arguments = decoding.arguments()
    if ids.shape[1] > 1:
        prompts_cache = _encoded_prompts(model, ids, mask, decoding, prefix_lengths)
        arguments |= cached(checkpoint_part(model), prompts_cache)
    found = _generate(model, input_ids=ids, attention_mask=mask, **arguments)
    return [_until_end(answer, decoding) for answer in found[:, ids.shape[1] :].tolist()]


def _encoded_prompts(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, decoding: Decoding, prefix_lengths: torch.Tensor | None
) -> Any:
    """The cache of all prompts but their last token, which starts the answer."""
    from transformers import DynamicCache

    cache = DynamicCache()
    extra = {} if prefix_lengths is None else {"prefix_lengths": prefix_lengths.to(ids.device)}
    model(
        input_ids=ids[:, :-1],
        attention_mask=mask[:, :-1],
        position_ids=(mask[:, :-1].cumsum(-1) - 1).clamp(min=0),
        logits_to_keep=1,
        **cached(checkpoint_part(model), cache),
        **extra,
    )
    return beam_cache(cache, decoding.beams, decoding.max_new_tokens + 1)


@torch.no_grad()
def decode_encoded(
    model: Any, states: torch.Tensor, attention_mask: torch.Tensor, decoding: Decoding
) -> list[list[int]]:
    """Answers to encoded sources, by an encoder-decoder.

    Args:
        model: the encoder-decoder.
        states: the encoder's last hidden states, [batch, tokens, hidden].
        attention_mask: [batch, tokens].
        decoding: how.

    Returns:
        token ids of each answer, without start and end token.
    """
    from transformers.modeling_outputs import BaseModelOutput

    found = _generate(
        model,
        encoder_outputs=BaseModelOutput(last_hidden_state=states),
        attention_mask=attention_mask,
        **decoding.arguments(decoder_start_token_id=decoder_start(model.config)),
    )
    return [_until_end(answer, decoding) for answer in found[:, 1:].tolist()]


def _generate(model: Any, **arguments: Any) -> torch.Tensor:
    """The library's `generate` without the model's own settings (sampling, penalties, forbidden tokens).

    The library takes from them what the given settings leave open, which would change what is measured.
    """
    from transformers import GenerationConfig

    kept = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        found: torch.Tensor = model.generate(**arguments)
        return found
    finally:
        model.generation_config = kept


def decoder_start(config: Any) -> int:
    """The token that an encoder-decoder's answers start from."""
    start = getattr(config, "decoder_start_token_id", None)
    return int(config.pad_token_id if start is None else start)


def left_padded(prompts: list[torch.Tensor], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts that end in the same column, and their attention mask; each [prompts, longest]."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad_id)
    mask = torch.zeros(len(prompts), width, dtype=torch.long)
    for i, prompt in enumerate(prompts):
        ids[i, width - len(prompt) :] = prompt
        mask[i, width - len(prompt) :] = 1
    return ids, mask


def _until_end(answer: list[int], decoding: Decoding) -> list[int]:
    ends = [i for i, token in enumerate(answer) if token in decoding.end_ids]
    return answer[: ends[0]] if ends else answer
