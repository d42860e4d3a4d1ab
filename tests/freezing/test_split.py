"""The proof that a split makes of itself: which models it refuses, and how small a difference it sees."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from telly.errors import ModelError
from telly.freezing import split as split_module
from telly.freezing.split import CHECK_TOLERANCE, SplitModel
from telly.models import families
from telly.models.stack import run_from
from tiny_models import tiny_model


def test_a_family_whose_entry_is_wrong_is_refused(monkeypatch: pytest.MonkeyPatch):
    """T5's later blocks are handed no position bias and compute their own, which they lack."""
    monkeypatch.setitem(families.FAMILIES, "t5", families.Family(lambda _block, _states: (None, None)))
    with pytest.raises(ModelError, match="starting from the states of layer 2 changes the output by"):
        SplitModel(tiny_model("t5"), 2)


@pytest.mark.parametrize(("times", "refused"), [(0.5, False), (2.0, True)])
def test_a_difference_above_the_tolerance_is_refused(times: float, refused: bool, monkeypatch: pytest.MonkeyPatch):
    assert CHECK_TOLERANCE <= 1e-4, "rounding in float32 stays below; a wrong split does not"

    def disturbed(*args: Any, **inputs: Any) -> Any:
        output = run_from(*args, **inputs)
        largest = output.last_hidden_state.abs().max()
        assert largest > 1, "the tolerance is relative to it"
        output.last_hidden_state = output.last_hidden_state + times * CHECK_TOLERANCE * largest
        return output

    monkeypatch.setattr(split_module, "run_from", disturbed)
    if refused:
        with pytest.raises(ModelError, match=r"changes the output by .* expected no change"):
            SplitModel(tiny_model("roberta"), 2)
    else:
        SplitModel(tiny_model("roberta"), 2)


def test_states_that_are_not_a_number_are_refused(monkeypatch: pytest.MonkeyPatch):
    def broken(*args: Any, **inputs: Any) -> Any:
        output = run_from(*args, **inputs)
        output.last_hidden_state = output.last_hidden_state.index_fill(1, torch.tensor([0]), torch.nan)
        return output

    monkeypatch.setattr(split_module, "run_from", broken)
    with pytest.raises(ModelError, match="changes the output by nan"):
        SplitModel(tiny_model("roberta"), 2)


def test_gradients_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch):
    def scaled(*args: Any, **inputs: Any) -> Any:
        output = run_from(*args, **inputs)
        output.last_hidden_state = output.last_hidden_state * 2 - output.last_hidden_state.detach()
        return output

    monkeypatch.setattr(split_module, "run_from", scaled)
    with pytest.raises(ModelError, match="changes the gradients by"):
        SplitModel(tiny_model("roberta"), 2)


def test_frozen_layers_that_read_a_trained_parameter_are_refused():
    """Their states would go stale with the first step, although replay gives the model's own output at the start."""
    model: Any = tiny_model("roberta")
    trained = model.encoder.layer[3].output.LayerNorm.bias

    def shifted(_embeddings: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor:
        return output + trained

    handle = model.embeddings.register_forward_hook(shifted)
    with pytest.raises(ModelError) as error:
        SplitModel(model, 2)
    assert str(error.value) == (
        "the input of layer 2 depends on parameters that are trained; RobertaModel cannot be split there"
    )
    handle.remove()
    SplitModel(model, 2)


def test_the_check_leaves_the_models_mode_as_it_was():
    for mode in (True, False):
        model = tiny_model("bert").train(mode)
        split = SplitModel(model, 2)
        assert split.model.encoder.layer[3].training is mode
        assert not split.model.encoder.layer[1].training
