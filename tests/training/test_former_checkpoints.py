"""Checkpoints of earlier versions, which name the tuned model otherwise, are still loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from telly.errors import TrainingError
from telly.training.trainer import TRAINED_WEIGHTS, load_trained_state


class Tuned(nn.Module):
    """Shaped as tasks' models are: the tuned model and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)


def test_a_checkpoint_that_says_split_is_loaded(tmp_path: Path):
    weights = {"split.weight": torch.full((2, 2), 3.0), "head.weight": torch.full((1, 2), 4.0)}
    save_file(weights, tmp_path / TRAINED_WEIGHTS)
    model = Tuned()
    load_trained_state(model, tmp_path)
    assert torch.equal(model.encoder.weight, weights["split.weight"])
    assert torch.equal(model.head.weight, weights["head.weight"])


def test_other_parameters_are_refused(tmp_path: Path):
    save_file({"split.weight": torch.zeros(2, 2)}, tmp_path / TRAINED_WEIGHTS)
    with pytest.raises(TrainingError, match=r"holds other parameters .* such as head\.weight"):
        load_trained_state(Tuned(), tmp_path)
