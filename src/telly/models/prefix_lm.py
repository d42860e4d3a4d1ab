"""One stack as encoder and decoder (UniXcoder, Guo et al. 2022, section 3.1), for encoders of RoBERTa's shape.

Source and target are one sequence. The first `prefix_lengths` tokens see each other, as in an encoder; every later
token sees those and its own past, as in a decoder. So a single pass trains what encoding and then decoding token by
token computes, and the states of frozen layers can be cached for generation tasks too. The output layer is the word
embeddings.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from telly.errors import ModelError
from telly.models.families import family_of, first_position
from telly.models.kv_cache import TRIAL_ERRORS, cache_argument, cached

TOLERANCE = 1e-2
"""Maximum relative difference between token-by-token decoding and one pass, in any precision."""


ENCODER = "encoder"
"""Name of the encoder within a `PrefixLM`."""


class PrefixLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """An encoder that also decodes; `generate` works on it as on any decoder.

    Args:
        encoder: a bare encoder that takes position ids, key/value caches and masks of four dimensions.

    Raises:
        ModelError: the encoder cannot decode.
    """

    _supports_sdpa = True
    main_input_name = "input_ids"

    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder.config)
        self.encoder = encoder
        self.head = _TiedHead(self)
        embeddings = [child for child in encoder.named_children() if child[0] == "embeddings"]
        self._first_position = first_position(family_of(encoder).position_table(embeddings))
        reason = self._decoding_problem()
        if reason:
            raise ModelError(
                f"{type(encoder).__name__} cannot generate text: {reason}. Choose "
                "an encoder of RoBERTa's shape, an encoder-decoder (T5) or a decoder (GPT-2, StarCoder2, Qwen2)"
            )

    def get_input_embeddings(self) -> nn.Module:
        """The module of the word embeddings."""
        embeddings: nn.Module = self.encoder.get_input_embeddings()
        return embeddings

    def get_output_embeddings(self) -> nn.Module:
        """The output layer; its weight is that of the word embeddings."""
        return self.head

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        prefix_lengths: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        cache: Any = None,
        past_key_values: Any = None,
        logits_to_keep: int = 0,
        **_ignored: Any,
    ) -> CausalLMOutput:
        """Compute logits, [batch, tokens, vocabulary]; the other arguments are those of `states`.

        The output does not contain the cache, which is filled in place: `generate` then keeps its own.

        Args:
            cache: key/value cache of earlier tokens.
            past_key_values: the same, from the `generate` of transformers before 5.24.
            logits_to_keep: number of last tokens whose logits are computed; 0 means all.
        """
        cache = past_key_values if cache is None else cache
        output = self.states(input_ids, attention_mask, prefix_lengths, position_ids, inputs_embeds, cache)
        states = output.last_hidden_state[:, -logits_to_keep:]  # [batch, tokens or logits_to_keep, hidden]
        return CausalLMOutput(logits=self.head(states))

    def states(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        prefix_lengths: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        cache: Any = None,
    ) -> Any:
        """Run the encoder on tokens, with earlier ones in a cache.

        Args:
            input_ids: [batch, tokens]; with a cache the new ones only.
            attention_mask: 1 for real tokens, [batch, cached + tokens]; padding is allowed on either side.
            prefix_lengths: lengths of the bidirectional prefixes in real tokens, [batch]; None means the whole
                sequence without a cache, and with a cache that the new tokens are decoded.
            position_ids: from 0, [batch, cached + tokens] or [batch, tokens]; by default they count the real tokens.
            inputs_embeds: in place of `input_ids`, [batch, tokens, hidden].
            cache: key/value cache of earlier tokens.
        """
        inputs = input_ids if input_ids is not None else inputs_embeds
        assert inputs is not None
        batch, tokens = inputs.shape[:2]
        past = cache.get_seq_length() if cache is not None else 0
        if attention_mask is None:
            attention_mask = torch.ones(batch, past + tokens, dtype=torch.long, device=inputs.device)
        if position_ids is None:
            # Real tokens count from 0 on both sides of padding; padding itself gets any valid position.
            position_ids = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)
        mask: torch.Tensor = attention_mask  # two dimensions: the encoder's own, fully bidirectional attention
        if prefix_lengths is not None or cache is not None:
            mask = prefix_mask(attention_mask, prefix_lengths, tokens)
            if self.config._attn_implementation == "eager":  # adds the mask to the scores
                lowest = torch.finfo(self.dtype).min
                mask = torch.zeros(mask.shape, dtype=self.dtype, device=mask.device).masked_fill(~mask, lowest)
        return self.encoder(
            input_ids=input_ids,
            inputs_embeds=inputs_embeds,
            attention_mask=mask,
            position_ids=position_ids[:, -tokens:] + self._first_position,
            **(cached(self.encoder, cache) if cache is not None else {}),
        )

    def _decoding_problem(self) -> str | None:
        """Try to decode with the encoder; returns the reason if that fails, else None.

        Two prompt tokens and one answer token are run in one pass, and again step by step behind a padding token. Both
        are the same only if the encoder honours masks of four dimensions, position ids, embeddings and the cache.
        """
        from transformers import DynamicCache

        # Pre-training begins with a model without layers, whose tokens do not see each other: it needs no cache.
        if cache_argument(self.encoder) is None and self.config.num_hidden_layers:
            return "it keeps no key/value cache"
        width = self.head.weight.shape[1]
        if width != self.config.hidden_size:
            return f"its word embeddings, which would be the output layer, have width {width}, and its states another"
        device = next(self.encoder.parameters()).device
        if device.type == "meta":
            return None  # there are no values to compare; the model is tried again when it is loaded
        ids = torch.tensor([[3, 1, 2]], device=device) % self.config.vocab_size  # padding, prompt, prompt
        answer = torch.zeros(1, 1, dtype=torch.long, device=device)
        prefix_lengths = torch.tensor([2], device=device)
        mask = torch.tensor([[0, 1, 1, 1]], device=device)
        cache = DynamicCache()
        training = {module for module in self.modules() if module.training}
        self.eval()
        try:
            with torch.no_grad():
                sequence = torch.cat([ids[:, 1:], answer], dim=1)
                whole = self.states(sequence, prefix_lengths=prefix_lengths).last_hidden_state[0]  # [3, hidden]
                embeds = self.get_input_embeddings()(ids)
                prompt = self.states(
                    None, mask[:, :3], prefix_lengths, inputs_embeds=embeds, cache=cache
                ).last_hidden_state
                step = self.states(answer, mask, cache=cache).last_hidden_state
        except TRIAL_ERRORS as error:
            return f"its forward refuses what decoding needs ({error})"
        finally:
            for module in training:
                module.training = True
        stepwise = torch.cat([prompt[0, 1:], step[0]])  # [3, hidden]
        difference = (stepwise - whole).abs().max() / whole.abs().max()
        return "token by token it gives other states than in one pass" if difference > TOLERANCE else None


def checkpoint_part(model: nn.Module) -> Any:
    """The part of a model that is saved and that plain transformers loads: the encoder of a `PrefixLM`."""
    return model.encoder if isinstance(model, PrefixLM) else model


class _TiedHead(nn.Module):
    """Output layer that uses the word embeddings, so that the model has only one copy of them."""

    def __init__(self, owner: PrefixLM) -> None:
        super().__init__()
        self._owner = (owner,)  # in a tuple, so that it does not become a submodule

    @property
    def weight(self) -> torch.Tensor:
        """The word embeddings, [vocabulary, hidden]."""
        weight: torch.Tensor = self._owner[0].get_input_embeddings().weight  # type: ignore[assignment]
        return weight

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Compute logits [..., vocabulary] from states [..., hidden]."""
        return F.linear(states, self.weight)


def prefix_mask(attention_mask: torch.Tensor, prefix_lengths: torch.Tensor | None, tokens: int) -> torch.Tensor:
    """Make the attention mask of a prefix LM: a token attends to the bidirectional prefix and to its own past.

    No token attends to padding, except for the padding token itself.

    Args:
        attention_mask: 1 for real tokens, [batch, keys]; padding on either side.
        prefix_lengths: lengths of the bidirectional prefixes in real tokens, [batch]; None means no prefix.
        tokens: number of queries, which are the last keys.

    Returns:
        boolean mask, true if the query (third axis) sees the key (last axis), [batch, 1, tokens, keys].
    """
    real = attention_mask.bool()
    keys = torch.arange(real.shape[1], device=real.device)
    queries = keys[-tokens:, None]  # [tokens, 1]
    seen = (keys <= queries)[None]  # [1, tokens, keys]
    if prefix_lengths is not None:
        position = real.long().cumsum(-1)  # of every real token, from 1
        seen = seen | (position <= prefix_lengths[:, None])[:, None]
    # A padding query sees itself: a softmax over no keys would be NaN.
    return ((seen & real[:, None]) | (keys == queries)[None])[:, None]
