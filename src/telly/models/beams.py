"""A key/value cache for beam search that never moves the prompts.

All beams of an example share its prompt, and beams are reordered only among themselves. So the prompt's keys and values
are written once, and only those of the generated tokens are moved. The library's cache copies everything at every
token, and again at every reordering.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer


class _PromptLayer(DynamicLayer):  # type: ignore[misc]
    """Cache of one layer: buffers of [batch x beams, heads, prompt + answer, size], filled from the left."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, beams: int, room: int) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self._prompt = self._filled = keys.shape[-2]  # numbers of tokens
        self._buffers = [_with_room(tensor, beams, room) for tensor in (keys, values)]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append keys and values of new tokens, [batch x beams, heads, tokens, size], and return all so far."""
        end = self._filled + key_states.shape[-2]
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, self._filled : end] = new
        self._filled = end
        # Views, not copies: attention reads the filled part of the buffers.
        self.keys, self.values = (buffer[:, :, :end] for buffer in self._buffers)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Number of tokens so far."""
        return self._filled

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Reorder the generated tokens' keys and values; the prompt's are the same for all beams of an example."""
        for buffer in self._buffers:
            answer = buffer[:, :, self._prompt : self._filled]
            buffer[:, :, self._prompt : self._filled] = answer.index_select(0, beam_idx.to(buffer.device))


def beam_cache(prompt: Cache, beams: int, room: int) -> Cache:
    """Make a cache for beam search from the cache of encoded prompts.

    Args:
        prompt: cache of full-attention layers after the prompts, batch x prompt tokens.
        beams: number of beams per example.
        room: maximum number of tokens after the prompts.
    """
    return Cache(layers=[_PromptLayer(layer.keys, layer.values, beams, room) for layer in prompt.layers])


def _with_room(tensor: torch.Tensor, beams: int, room: int) -> torch.Tensor:
    batch, heads, tokens, size = tensor.shape
    # Allocated once at full length: appending in place needs no copy of the prompt per generated token.
    buffer = tensor.new_zeros(batch, beams, heads, tokens + room, size)
    buffer[:, :, :, :tokens] = tensor[:, None]
    return buffer.reshape(batch * beams, heads, tokens + room, size)
