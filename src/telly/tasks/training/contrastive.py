"""In-batch contrastive (InfoNCE) loss over all processes (van den Oord et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F

from telly.models.embedding import EmbeddingHead
from telly.processes import several
from telly.tasks.training.base import Encoder, TaskModel


class ContrastiveModel(TaskModel):
    """An encoder whose embeddings are compared; subclasses define the positive pairs.

    Args:
        encoder: the frozen or fully trained encoder.
        temperature: divides the similarities.
        embedding: pooling and the modules after it. [default: mean pooling]
    """

    def __init__(self, encoder: Encoder, temperature: float, embedding: EmbeddingHead | None = None) -> None:
        super().__init__(encoder, embedding=embedding)
        self.temperature = temperature


def in_batch_loss(
    left: torch.Tensor, right: torch.Tensor, same: Sequence[torch.Tensor], temperature: float
) -> torch.Tensor:
    """Cross-entropy of each left embedding's right partner among all right embeddings of the batch.

    With several processes the negatives are those of the global batch, so the loss and the averaged gradient are those
    of one process with that batch.

    Args:
        left: unit-length embeddings, [pairs, hidden].
        right: unit-length embeddings, [pairs, hidden].
        same: group ids of the pairs, each [pairs]; pairs with an equal id are not negatives of each other.
        temperature: divides the cosine similarities.
    """
    left, right = gather_with_gradient(left), gather_with_gradient(right)
    logits = left @ right.T / temperature  # [global batch, global batch]
    excluded = torch.zeros_like(logits, dtype=torch.bool)
    for ids in map(gather_with_gradient, same):
        excluded |= ids[:, None] == ids[None]
    excluded.fill_diagonal_(False)  # the pair itself is the target
    loss = F.cross_entropy(logits.masked_fill(excluded, float("-inf")), torch.arange(len(logits), device=logits.device))
    scale = dist.get_world_size() if several() else 1
    # DDP divides the gradient by the number of processes. This scales the gradient back and leaves the value unchanged.
    return loss + (scale - 1) * (loss - loss.detach())


def gather_with_gradient(local: torch.Tensor) -> torch.Tensor:
    """All processes' rows in order of rank, [processes x batch, ...]; gradient flows to this process's own rows."""
    if not several():
        return local
    parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local.detach().contiguous())
    parts[dist.get_rank()] = local
    return torch.cat(parts)
