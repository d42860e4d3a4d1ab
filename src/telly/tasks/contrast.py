"""The contrast of pairs with in-batch negatives (InfoNCE, van den Oord et al. 2018), over all processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F


def in_batch_loss(
    left: torch.Tensor, right: torch.Tensor, same: Sequence[torch.Tensor], temperature: float
) -> torch.Tensor:
    """Cross-entropy of every left vector's own right one among all of the batch.

    With several processes the negatives are those of the global batch, so the loss and the averaged gradient are those
    of one process with that batch.

    Args:
        left: unit vectors, [pairs, hidden].
        right: unit vectors, [pairs, hidden].
        same: numbers of the pairs, each [pairs]; pairs with an equal number are no negatives of each other.
        temperature: divides the cosine similarities.
    """
    left, right = gather_with_gradient(left), gather_with_gradient(right)
    logits = left @ right.T / temperature  # [global batch, global batch]
    positive = torch.zeros_like(logits, dtype=torch.bool)
    for numbers in map(gather_with_gradient, same):
        positive |= numbers[:, None] == numbers[None]
    positive.fill_diagonal_(False)
    loss = F.cross_entropy(logits.masked_fill(positive, float("-inf")), torch.arange(len(logits), device=logits.device))
    scale = dist.get_world_size() if distributed() else 1
    # DDP divides the gradient by the number of processes; the value that is reported stays as it is.
    return loss + (scale - 1) * (loss - loss.detach())


def gather_with_gradient(local: torch.Tensor) -> torch.Tensor:
    """All processes' rows in order of rank, [processes x batch, ...]; gradient flows to this process's own rows."""
    if not distributed():
        return local
    parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local.detach().contiguous())
    parts[dist.get_rank()] = local
    return torch.cat(parts)


def distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
