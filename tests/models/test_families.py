"""Freezing, caching and replay for every family in `tiny_families`, each on one tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from telly.freezing.fingerprint import prefix_digests
from telly.freezing.plan import make_plan
from telly.freezing.split import SplitModel, first_tensor
from telly.models.families import loading_class
from telly.models.load import load_stack, model_from_config, shape_of
from telly.models.stack import capture, find_stack
from tiny_families import LAYERS, TABLE, tiny_config
from tiny_models import padded_batch, tiny_model

FROZEN = (0, 2, 3)
"""Numbers of frozen layers, of 4."""
TOLERANCE = 1e-5
"""Maximum difference in float32, relative to the largest value; states that are computed in another batch differ in the
last bits."""

every_family = pytest.mark.parametrize("model_type", TABLE)


def batch_for(model: Any) -> dict[str, torch.Tensor]:
    """Sequences of three lengths, padded on the right with the model's own padding id."""
    return padded_batch(pad_id=getattr(model.config, "pad_token_id", None) or 0)


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max().clamp(min=1.0))


@every_family
@torch.no_grad()
def test_replay_gives_the_models_own_output(model_type: str):
    model = tiny_model(model_type)
    batch = batch_for(model)
    mask = batch["attention_mask"]
    real = mask.bool()
    expected = first_tensor(model(**batch))
    assert len(find_stack(model)) == LAYERS
    for k in FROZEN:
        split = SplitModel(model, k)
        states = split.prefix(**batch)
        assert difference(split(states=states, attention_mask=mask).last_hidden_state[real], expected[real]) < TOLERANCE
        # The cache holds the states of a sequence without those of its padding, whatever batch they are computed in.
        for row, length in enumerate(mask.sum(1).tolist()):
            alone = split.prefix(**{name: values[row : row + 1, :length] for name, values in batch.items()})
            assert difference(alone[0, :length], states[row, :length]) < TOLERANCE
        states = torch.where(real[..., None], states, 0.0)
        assert difference(split(states=states, attention_mask=mask).last_hidden_state[real], expected[real]) < TOLERANCE
        other = split(states=states + 0.1 * states.roll(1, dims=-1), attention_mask=mask).last_hidden_state
        assert difference(other[real], expected[real]) > 1e-3, "the states must matter"


@every_family
def test_gradients_from_cached_states_are_those_of_the_uncached_model(model_type: str):
    model = tiny_model(model_type)
    batch = batch_for(model)
    for k in FROZEN:
        split = SplitModel(model, k)
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        split.train()
        states = split.prefix(**batch)
        cached = gradients(split, trained, states=states, attention_mask=batch["attention_mask"])
        uncached = gradients(split, trained, **batch)
        assert cached.keys() == uncached.keys()
        assert len(cached) > len(trained) / 2
        assert max(gradient.abs().max() for gradient in uncached.values()) > 1e-2
        for name, gradient in uncached.items():
            assert difference(cached[name], gradient) < 10 * TOLERANCE, name


def gradients(split: SplitModel, trained: dict[str, nn.Parameter], **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients of a loss over the real tokens in train mode, with the same draws of dropout in every call."""
    torch.manual_seed(1)
    output = first_tensor(split(**inputs))
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
    loss = (output * weights)[inputs["attention_mask"].bool()].mean()
    found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(trained, found, strict=True) if gradient is not None}


@every_family
@torch.no_grad()
def test_a_released_prefix_comes_back(model_type: str, tmp_path: Path):
    model = tiny_model(model_type)
    batch = batch_for(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    split = SplitModel(model, 2)
    states = split.prefix(**batch)
    expected = split(states=states, attention_mask=batch["attention_mask"]).last_hidden_state
    assert split.release_prefix(tmp_path / "prefix.safetensors") > 1000
    released = split(states=states, attention_mask=batch["attention_mask"]).last_hidden_state
    assert torch.equal(released, expected)
    split.restore_prefix()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@every_family
def test_the_digest_changes_with_every_weight_that_the_states_depend_on(model_type: str):
    """The oracle is autograd: what the states of layer 2 depend on has a gradient."""
    model = tiny_model(model_type)
    SplitModel(model, 2)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    stack = find_stack(model)
    with all_require_gradients(model):
        states = capture(stack, 2, **batch_for(model))
        states.backward(torch.randn(states.shape, generator=torch.Generator().manual_seed(0)))
    needed = {name for name, p in model.named_parameters() if p.grad is not None}
    assert needed and trained and not needed & trained
    digest = prefix_digests(stack)[2]
    for name, parameter in model.named_parameters():
        if name in needed | trained:
            with one_changed(parameter):
                assert (prefix_digests(stack)[2] != digest) is (name in needed), name
    assert prefix_digests(stack)[2] == digest


@contextmanager
def all_require_gradients(model: nn.Module) -> Iterator[None]:
    before = [(p, p.requires_grad) for p in model.parameters()]
    model.requires_grad_(True)
    yield
    for parameter, required in before:
        parameter.requires_grad_(required)


@contextmanager
def one_changed(parameter: nn.Parameter) -> Iterator[None]:
    first = parameter.data.view(-1)[:1]
    before = first.clone()
    first += 1.0
    yield
    first.copy_(before)


@every_family
def test_the_plan_of_a_configuration_is_that_of_the_model(model_type: str):
    model, shape = tiny_model(model_type), model_from_config(tiny_config(model_type))
    assert find_stack(shape).path == find_stack(model).path
    assert [name for name, _ in find_stack(shape).before] == [name for name, _ in find_stack(model).before]
    for k in (None, *FROZEN):
        plan = make_plan(shape, k)
        assert plan == make_plan(model, k)
        assert plan.total == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("model_type", [name for name in TABLE if tiny_config(name).is_encoder_decoder])
@torch.no_grad()
def test_the_encoder_of_an_encoder_decoder_is_loaded_and_saved(model_type: str, tmp_path: Path):
    """From a checkpoint of either class, with the decoder and without; plain transformers then loads what was saved."""
    batch = padded_batch()
    for loader in (transformers.AutoModel, transformers.AutoModelForSeq2SeqLM):
        whole = loader.from_config(tiny_config(model_type)).eval()
        whole.save_pretrained(tmp_path / loader.__name__)
        encoder: Any = load_stack(str(tmp_path / loader.__name__)).model
        expected = whole.get_encoder()(**batch).last_hidden_state
        assert torch.equal(encoder(**batch).last_hidden_state, expected)
        parameters = sum(p.numel() for p in encoder.parameters())
        assert parameters == sum(p.numel() for p in shape_of(str(tmp_path / loader.__name__)).model.parameters())
        folder = tmp_path / "encoder"
        encoder.save_pretrained(folder)
        assert torch.equal(load_stack(str(folder)).model(**batch).last_hidden_state, expected)
        config = transformers.AutoConfig.from_pretrained(folder)
        module, name = loading_class(model_type, config.architectures[0])
        plain = getattr(import_module(module), name).from_pretrained(folder)
        assert torch.equal(plain(**batch).last_hidden_state, expected)
