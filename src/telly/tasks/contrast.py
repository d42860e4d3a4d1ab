"""The contrast of pairs with in-batch negatives (InfoNCE, van den Oord et al. 2018), over all processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from telly.freezing.split import SplitModel
from telly.processes import several
from telly.tasks.embeddings import pooled


class ContrastModel(nn.Module):
    """An encoder whose vectors are compared by cosine; subclasses say which pairs belong together.

    Args:
        split: the frozen or fully trained encoder.
        temperature: divides the cosine similarities.
    """

    def __init__(self, split: SplitModel, temperature: float) -> None:
        super().__init__()
        self.split = split
        self.temperature = temperature

    def embed(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Unit vectors of a batch of tokens or states, [batch, hidden]."""
        return F.normalize(pooled(self.split, batch), dim=-1)


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
    scale = dist.get_world_size() if several() else 1
    # DDP divides the gradient by the number of processes; the value that is reported stays as it is.
    return loss + (scale - 1) * (loss - loss.detach())


def gather_with_gradient(local: torch.Tensor) -> torch.Tensor:
    """All processes' rows in order of rank, [processes x batch, ...]; gradient flows to this process's own rows."""
    if not several():
        return local
    parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local.detach().contiguous())
    parts[dist.get_rank()] = local
    return torch.cat(parts)
