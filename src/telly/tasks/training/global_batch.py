"""Losses of a batch that several processes share: embeddings of all processes, and the gradient of one process."""

from __future__ import annotations

import torch
import torch.distributed as dist

from telly.processes import several


def for_all_processes(loss: torch.Tensor) -> torch.Tensor:
    """The loss of the global batch, which every process computes, with its gradient for this process's own rows.

    DDP divides the gradient by the number of processes. This scales the gradient back and leaves the value unchanged.
    """
    scale = dist.get_world_size() if several() else 1
    return loss + (scale - 1) * (loss - loss.detach())


def gather_with_gradient(local: torch.Tensor) -> torch.Tensor:
    """All processes' rows in order of rank, [processes x batch, ...]; gradient flows to this process's own rows."""
    if not several():
        return local
    parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local.detach().contiguous())
    parts[dist.get_rank()] = local
    return torch.cat(parts)


def gather_ragged(local: torch.Tensor) -> torch.Tensor:
    """`gather_with_gradient` of any number of rows per process."""
    if not several():
        return local
    counts = gather_with_gradient(torch.tensor([len(local)], device=local.device)).tolist()
    longest = max(counts)
    padded = torch.cat([local, local.new_zeros(longest - len(local), *local.shape[1:])])
    parts = gather_with_gradient(padded).reshape(len(counts), longest, *local.shape[1:])
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
