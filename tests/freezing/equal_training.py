"""Training twice, from tokens through frozen layers and from stored states, and comparing every step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from telly.data.sequences import SequenceTable
from telly.freezing.build import CacheRequest, build_cache
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.freezing.states import StateDtype
from telly.tasks import get_task
from telly.tasks.training.base import Encoded
from tiny_models import tiny_encoded

PAIRS, STEPS, TOLERANCE = 12, 5, 2e-5
"""After five steps of Adam in fp32 no weight differs by more than TOLERANCE; the states were computed in other batches,
whose padding changes the last bits."""


def store_source(split: SplitModel, table: SequenceTable, root: Path, dtype: StateDtype = StateDtype.FP32) -> RowSource:
    return RowSource(table, 1, build_cache(CacheRequest(split, table, 1, root, dtype)).cache)


def a_step(
    model: nn.Module, source: RowSource, data: Encoded, numbers: list[int], seed: int, task: str = "search"
) -> torch.Tensor:
    """One loss in train mode: dropout is on in the trained layers, with the same draws for the same seed."""
    model.train()
    torch.manual_seed(seed)
    loss: torch.Tensor = model(**get_task(task).collate(source, data, numbers))["loss"]
    return loss


def trained(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def check_same_training(
    frozen: nn.Module, cached: nn.Module, task: str, folder: Path, data: Encoded | None = None
) -> None:
    """Some steps of Adam, whose losses, gradients and weights must be the same and not trivial.

    Args:
        frozen: is trained from tokens.
        cached: the same model, trained from states that are stored in `folder`.
        task: name of the task whose module both are.
        folder: of the store.
        data: the training data. [default: random words]
    """
    data = data or tiny_encoded(task, frozen.encoder.model.config)
    tokens, states = RowSource(data.table, 1), store_source(cached.encoder, data.table, folder)
    start = {name: p.detach().clone() for name, p in trained(frozen).items()}
    # A key bias has no gradient (softmax ignores a shift); without a larger eps Adam would blow up its rounding noise.
    optimizers = [torch.optim.AdamW(trained(m).values(), lr=1e-3, eps=1e-3) for m in (frozen, cached)]
    for step in range(STEPS):
        numbers = [(step * 4 + i) % PAIRS for i in range(4)]
        losses = [a_step(m, s, data, numbers, step, task) for m, s in ((frozen, tokens), (cached, states))]
        assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
        for loss, optimizer in zip(losses, optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
        if step == 0:
            compare_gradients(frozen, cached)
        for optimizer in optimizers:
            optimizer.step()
    moved = max((p - start[name]).abs().max().item() for name, p in trained(frozen).items())
    assert moved > 1e-3, "training must have an effect, or equality says nothing"
    for name, parameter in trained(cached).items():
        assert torch.allclose(parameter, trained(frozen)[name], atol=TOLERANCE), name


def compare_gradients(frozen: nn.Module, cached: nn.Module) -> None:
    ours, theirs = trained(cached), trained(frozen)
    assert ours.keys() == theirs.keys()
    with_gradient = [name for name, p in ours.items() if p.grad is not None]
    assert len(with_gradient) > len(ours) / 2, "an unused pooler and T5's last cross-attention aside, all are trained"
    for name in with_gradient:
        scale = theirs[name].grad.abs().max().item()
        assert torch.allclose(ours[name].grad, theirs[name].grad, atol=1e-4 * max(1.0, scale)), name
    assert all(p.grad is None for p in cached.parameters() if not p.requires_grad)
