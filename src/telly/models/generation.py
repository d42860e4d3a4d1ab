"""Generative models: architectures, logits at selected positions, and decoding in batches."""

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
from telly.models.execution import no_cache
from telly.models.kv_cache import cached
from telly.models.prefix_lm import checkpoint_part


class Architecture(StrEnum):
    """Architecture of a generative model.

    Attributes:
        PREFIX_LM: an encoder of RoBERTa's shape, used as decoder too (`telly.models.prefix_lm`): prompt and answer are
            one sequence.
        DECODER: decoder only, such as GPT-2, StarCoder2, Qwen2: prompt and answer are one sequence.
        ENCODER_DECODER: such as T5 and CodeT5.
    """

    PREFIX_LM = "prefix-lm"
    DECODER = "decoder"
    ENCODER_DECODER = "encoder-decoder"

    @property
    def is_single_sequence(self) -> bool:
        """True if prompt and answer are one sequence."""
        return self is not Architecture.ENCODER_DECODER


def architecture_of(config: Any) -> Architecture:
    """The architecture of a model, from its configuration.

    Raises:
        ModelError: transformers has no generative class for such a model.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    if getattr(config, "is_encoder_decoder", False):
        return Architecture.ENCODER_DECODER
    # Before decoders: transformers lists encoders such as RoBERTa among the causal models too.
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return Architecture.PREFIX_LM
    if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return Architecture.DECODER
    raise ModelError(
        f"a model of type {config.model_type!r} cannot generate text; expected an encoder of RoBERTa's shape, "
        "an encoder-decoder (T5) or a decoder (GPT-2, StarCoder2, Qwen2)"
    )


@torch.no_grad()
def check_causal(model: Any) -> None:
    """Check that the logits of a decoder do not depend on later tokens, which it is trained to predict.

    Args:
        model: a decoder with an output layer, in eval mode.

    Raises:
        ModelError: they do, as those of XLNet and of decoders that were turned into bidirectional encoders.
    """
    device = next(model.parameters()).device
    ids = torch.tensor([[3, 4, 5, 6], [3, 4, 5, 7]], device=device)  # that differ in the last token
    logits = model(input_ids=ids, **no_cache(model)).logits[:, :-1]  # [2, 3, vocabulary]
    if (logits[0] - logits[1]).abs().max() > 1e-4 * logits.abs().max():
        raise ModelError(
            f"{type(model).__name__} cannot generate text: its tokens attend to later ones; expected a causal decoder "
            "(GPT-2, StarCoder2, Qwen2)"
        )


@contextmanager
def selected_logits(model: Any, selected: torch.Tensor) -> Iterator[None]:
    """Run the model's output layer at selected positions only, as long as the context is open.

    The logits are then [selected positions, vocabulary]. With a vocabulary of 50,000, the logits of all positions would
    be the largest tensor of a step by far.

    Args:
        model: a model with an output layer.
        selected: boolean mask of the positions whose logits are needed, [batch, tokens].
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
    """Decoding settings.

    Attributes:
        beams: number of beams; 1 is greedy decoding.
        max_new_tokens: maximum length of an answer, end token included.
        end_ids: ids of the tokens that end an answer.
        pad_id: padding id for prompts, and for answers that end before others of their batch.
    """

    beams: int
    max_new_tokens: int
    end_ids: tuple[int, ...]
    pad_id: int

    def arguments(self, **settings: Any) -> dict[str, Any]:
        """Arguments of transformers' `generate`, with additional settings of its `GenerationConfig`."""
        from transformers import GenerationConfig

        config = GenerationConfig(
            do_sample=False,
            num_beams=self.beams,
            max_new_tokens=self.max_new_tokens,
            eos_token_id=list(self.end_ids),
            pad_token_id=self.pad_id,
            early_stopping=self.beams > 1,  # without beams, transformers warns of it
            use_cache=True,
            **settings,
        )
        return {"generation_config": config}


@torch.no_grad()
def decode_single_sequence(
    model: Any, prompts: list[torch.Tensor], decoding: Decoding, prefix_lengths: torch.Tensor | None = None
) -> list[list[int]]:
    """Generate answers to prompts, with a model whose prompt and answer are one sequence.

    Every prompt is encoded once, for any number of beams.

    Args:
        model: a decoder, or a `PrefixLM`.
        prompts: token ids of each prompt, [tokens]; at least one token each.
        decoding: decoding settings.
        prefix_lengths: for a `PrefixLM`, how many tokens at the start of each prompt see each other, [prompts].

    Returns:
        token ids of each answer, without its end token.
    """
    device = next(model.parameters()).device
    ids, mask = left_padded(prompts, decoding.pad_id)
    ids, mask = ids.to(device), mask.to(device)
    arguments = decoding.arguments()
    # `generate` feeds a cached prompt's last token itself, so a prompt of one token has nothing to encode ahead.
    if ids.shape[1] > 1:
        prompts_cache = _encoded_prompts(model, ids, mask, decoding, prefix_lengths)
        # The name of the cache argument is found on the transformers model itself, within a `PrefixLM` its encoder.
        arguments |= cached(checkpoint_part(model), prompts_cache)
    sequences = _generate(model, input_ids=ids, attention_mask=mask, **arguments)
    return [_until_end(answer, decoding) for answer in sequences[:, ids.shape[1] :].tolist()]


def _encoded_prompts(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, decoding: Decoding, prefix_lengths: torch.Tensor | None
) -> Any:
    """Encode all prompts except for their last token, from which `generate` starts; returns the key/value cache.

    Args:
        model: as for `decode_single_sequence`.
        ids: token ids, [prompts, tokens], padded on the left.
        mask: attention mask, [prompts, tokens].
        decoding: decoding settings.
        prefix_lengths: as for `decode_single_sequence`.
    """
    from transformers import DynamicCache

    cache = DynamicCache()
    prefix_arguments = {} if prefix_lengths is None else {"prefix_lengths": prefix_lengths.to(ids.device)}
    model(
        input_ids=ids[:, :-1],
        attention_mask=mask[:, :-1],
        # Positions count real tokens only, whatever the padding on the left.
        position_ids=(mask[:, :-1].cumsum(-1) - 1).clamp(min=0),
        logits_to_keep=1,  # the fewest that it allows: only the cache is used
        **cached(checkpoint_part(model), cache),
        **prefix_arguments,
    )
    return beam_cache(cache, decoding.beams, decoding.max_new_tokens + 1)  # room for the prompts' last token too


@torch.no_grad()
def decode_encoded(
    model: Any, states: torch.Tensor, attention_mask: torch.Tensor, decoding: Decoding
) -> list[list[int]]:
    """Generate answers to encoded prompts, with an encoder-decoder.

    Args:
        model: the encoder-decoder.
        states: the encoder's last hidden states, [batch, tokens, hidden].
        attention_mask: 1 for real tokens, [batch, tokens].
        decoding: decoding settings.

    Returns:
        token ids of each answer, without start and end token.
    """
    from transformers.modeling_outputs import BaseModelOutput

    sequences = _generate(
        model,
        encoder_outputs=BaseModelOutput(last_hidden_state=states),
        attention_mask=attention_mask,
        **decoding.arguments(decoder_start_token_id=decoder_start(model.config)),
    )
    # Each sequence begins with the start token.
    return [_until_end(answer, decoding) for answer in sequences[:, 1:].tolist()]


def _generate(model: Any, **arguments: Any) -> torch.Tensor:
    """Call `generate` without the model's own generation settings (sampling, penalties, forbidden tokens).

    transformers takes from them whatever the given settings leave open, which would change the results.
    """
    from transformers import GenerationConfig

    model_settings = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        ids: torch.Tensor = model.generate(**arguments)
        return ids
    finally:
        model.generation_config = model_settings


def decoder_start(config: Any) -> int:
    """Id of the token with which an encoder-decoder's answers start."""
    start = getattr(config, "decoder_start_token_id", None)
    return int(config.pad_token_id if start is None else start)


def left_padded(prompts: list[torch.Tensor], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad prompts on the left, so that all end in the same column.

    Returns:
        token ids and attention mask, each [prompts, longest].
    """
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad_id)
    mask = torch.zeros(len(prompts), width, dtype=torch.long)
    for i, prompt in enumerate(prompts):
        ids[i, width - len(prompt) :] = prompt
        mask[i, width - len(prompt) :] = 1
    return ids, mask


def _until_end(answer: list[int], decoding: Decoding) -> list[int]:
    """The token ids before the first end token."""
    ends = [i for i, token in enumerate(answer) if token in decoding.end_ids]
    return answer[: ends[0]] if ends else answer
