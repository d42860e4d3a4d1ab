"""Objectives of pre-training: those of UniXcoder on one stack (Guo et al. 2022, section 3.2).

Masked tokens, next tokens and the contrast of docstring and code. One forward pass over the masked code serves both
masked tokens and contrast; logits are computed only at positions with a loss.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from telly.models.pooling import pool
from telly.models.prefix_lm import PrefixLM
from telly.pretraining.batches import NOT_PREDICTED
from telly.pretraining.cross_entropy import linear_cross_entropy

START_SCALE, MAX_SCALE = 20.0, 100.0
"""Scale of the similarities: the reciprocal of the contrast's temperature, learned as in CLIP."""


class PretrainObjective(nn.Module):
    """Weighted sum of masked-token and next-token cross-entropy, symmetric InfoNCE of the pairs, and the anchor.

    Masked tokens are predicted by the masked-LM head, next tokens by the word embeddings alone, as in telly's
    generation tasks. The anchor preserves what the first stage has learned while the layers above it are untrained.

    Args:
        model: a `RobertaForMaskedLM`.
        token_weight: weight of both token losses.
        contrast_weight: weight of the contrast.
        anchor_weight: weight of the distance to the anchor.
        anchor: embeddings trained without layers; every token's state is held near their output for it.
    """

    def __init__(
        self,
        model: Any,
        token_weight: float = 1.0,
        contrast_weight: float = 1.0,
        anchor_weight: float = 0.0,
        anchor: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self._stack = (PrefixLM(model.base_model),)  # a tuple hides it from `parameters`: they are the model's
        self.token_weight, self.contrast_weight = token_weight, contrast_weight
        self.log_scale = nn.Parameter(torch.tensor(math.log(START_SCALE)))
        self.anchor_weight = anchor_weight
        self._anchor = None if anchor is None else (anchor.eval().requires_grad_(False),)

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Losses of one batch of `BatchMaker`: `loss`, and those of its parts that the batch has."""
        masked = len(batch["docstring_ids"]) if "docstring_ids" in batch else 0
        states = self.states(batch["input_ids"], batch["attention_mask"], batch["prefix_lengths"])
        docs = self.states(batch["docstring_ids"], batch["docstring_mask"]) if masked else None
        parts: dict[str, torch.Tensor] = {}
        if self.token_weight:
            if docs is not None:
                code, code_labels = predicted(states[:masked], batch["labels"][:masked])
                text, text_labels = predicted(docs, batch["docstring_labels"])
                # The masked-LM head up to its output layer, which `linear_cross_entropy` applies in parts.
                head = self.model.lm_head
                transformed = head.layer_norm(F.gelu(head.dense(torch.cat([code, text]))))
                labels = torch.cat([code_labels, text_labels])
                parts["masked"] = linear_cross_entropy(transformed, head.decoder.weight, head.decoder.bias, labels)
            if masked < len(states):
                next_states, labels = predicted(states[masked:], batch["labels"][masked:])
                parts["next"] = linear_cross_entropy(next_states, self._stack[0].head.weight, None, labels)
        loss = self.token_weight * sum(parts.values(), start=states.new_zeros(()))
        if self.contrast_weight and docs is not None and masked > 1:
            mask, docs_mask = batch["attention_mask"][:masked], batch["docstring_mask"]
            parts["contrast"] = self._contrast(_pooled(states[:masked], mask), _pooled(docs, docs_mask))
            loss = loss + self.contrast_weight * parts["contrast"]
            if self._anchor is not None:
                code = self._distance(states[:masked], batch["input_ids"][:masked], batch["labels"][:masked], mask)
                text = self._distance(docs, batch["docstring_ids"], batch["docstring_labels"], docs_mask)
                parts["anchor"] = (code + text) / 2
                loss = loss + self.anchor_weight * parts["anchor"]
        return {"loss": loss, **parts}

    def states(self, ids: torch.Tensor, mask: torch.Tensor, prefix_lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Last hidden states, [batch, tokens, hidden]; `prefix_lengths` as in `PrefixLM`."""
        states: torch.Tensor = self._stack[0].states(ids, mask, prefix_lengths).last_hidden_state
        return states

    def embeddings(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Normalised mean-pooled embeddings for search, [batch, hidden]."""
        return _pooled(self.states(ids, mask), mask)

    def masked_logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of masked tokens, [masked tokens, hidden] to [masked tokens, vocabulary]."""
        logits: torch.Tensor = self.model.lm_head(states).float()
        return logits

    def next_logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of next tokens, [tokens, hidden] to [tokens, vocabulary]."""
        logits: torch.Tensor = self._stack[0].head(states).float()
        return logits

    def _distance(
        self, states: torch.Tensor, ids: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Mean squared distance to the anchor's states of the unmasked tokens, in units of their variance."""
        assert self._anchor is not None
        real = mask.bool()
        with torch.no_grad():  # labels hold the original ids of masked tokens
            target = self._anchor[0](torch.where(labels != NOT_PREDICTED, labels, ids))[real].float()
        distance: torch.Tensor = F.mse_loss(states[real].float(), target) / target.var()
        return distance

    def _contrast(self, code: torch.Tensor, docs: torch.Tensor) -> torch.Tensor:
        similarities = docs @ code.T * self.log_scale.clamp(max=math.log(MAX_SCALE)).exp()  # [pairs, pairs]
        target = torch.arange(len(code), device=code.device)
        return (F.cross_entropy(similarities, target) + F.cross_entropy(similarities.T, target)) / 2


def predicted(states: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """States [predicted, hidden] and labels [predicted] of the positions with a label."""
    has_label = labels != NOT_PREDICTED
    return states[has_label], labels[has_label]


def _pooled(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return F.normalize(pool(states, mask), dim=-1)
