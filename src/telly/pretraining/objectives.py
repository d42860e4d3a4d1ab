"""What the embedded model is pre-trained on: masked tokens, and the contrast of docstring and code.

One forward of the masked code serves both losses; logits are computed at masked positions only.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from telly.models.pooling import mean_pool

NOT_MASKED = -100


def mask_tokens(
    batch: dict[str, torch.Tensor],
    generator: torch.Generator,
    *,
    share: float,
    mask_id: int,
    vocab_size: int,
    first_ordinary_id: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose tokens to predict, as BERT does: 80 % become `<mask>`, 10 % a random token, 10 % stay.

    Args:
        batch: `input_ids` and `attention_mask`, [batch, tokens].
        generator: source of the draws.
        share: share of ordinary tokens to predict.
        mask_id: id of `<mask>`.
        vocab_size: ids are drawn below this.
        first_ordinary_id: smaller ids are special and never chosen or drawn.

    Returns:
        changed ids and labels, each [batch, tokens]; labels are `NOT_MASKED` where nothing is predicted.
    """
    ids = batch["input_ids"]
    chosen = (torch.rand(ids.shape, generator=generator) < share) & (ids >= first_ordinary_id)
    labels = torch.where(chosen, ids, NOT_MASKED)
    fate = torch.rand(ids.shape, generator=generator)
    drawn = torch.randint(first_ordinary_id, vocab_size, ids.shape, generator=generator)
    changed = torch.where(chosen & (fate < 0.8), mask_id, ids)
    changed = torch.where(chosen & (fate >= 0.9), drawn, changed)
    return changed, labels


class PretrainObjective(nn.Module):
    """Weighted sum of the masked-token loss and the symmetric InfoNCE of docstring and code.

    Args:
        model: a `RobertaForMaskedLM`.
        masked_weight: weight of the masked-token loss.
        contrast_weight: weight of the contrast; zero leaves the docstrings' forward out.
    """

    def __init__(self, model: nn.Module, masked_weight: float, contrast_weight: float) -> None:
        super().__init__()
        self.model = model
        self.masked_weight, self.contrast_weight = masked_weight, contrast_weight
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))  # learned temperature, as CLIP's

    def forward(
        self,
        code_ids: torch.Tensor,
        code_mask: torch.Tensor,
        labels: torch.Tensor,
        docstring_ids: torch.Tensor,
        docstring_mask: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Losses of one batch; ids, masks and labels are [batch, tokens]."""
        states = self.states(code_ids, code_mask)  # [batch, tokens, hidden]
        where = labels != NOT_MASKED
        logits = self.model.lm_head(states[where])  # type: ignore[operator]  # [masked, vocab]
        masked = F.cross_entropy(logits.float(), labels[where])
        loss = self.masked_weight * masked
        if self.contrast_weight:
            code = F.normalize(mean_pool(states, code_mask), dim=-1)
            docs = F.normalize(mean_pool(self.states(docstring_ids, docstring_mask), docstring_mask), dim=-1)
            similarities = docs @ code.T * self.log_scale.clamp(max=math.log(100.0)).exp()  # [batch, batch]
            target = torch.arange(len(code), device=code.device)
            contrast = (F.cross_entropy(similarities, target) + F.cross_entropy(similarities.T, target)) / 2
            loss = loss + self.contrast_weight * contrast
        return {"loss": loss}

    def states(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Last hidden states, [batch, tokens, hidden]."""
        states: torch.Tensor = self.model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state  # type: ignore[operator]
        return states


def grow(old: int, layers: int) -> list[int]:
    """Which old block each of `layers` new ones starts from: the stack, repeated (Gong et al. 2019, section 3).

    Raises:
        ValueError: the new depth is not a multiple of the old one.
    """
    if layers % old:
        raise ValueError(f"{layers} layers is not a multiple of {old}; stacking repeats whole stacks")
    return [i % old for i in range(layers)]
