"""Freezing, caching and replay for every family in `tiny_families`, each on one tiny model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version
from torch import nn

from telly.errors import ModelError
from telly.freezing.fingerprint import prefix_digests
from telly.freezing.plan import freeze_layers, plan_of
from telly.freezing.split import SplitModel, first_tensor
from telly.models.families import loading_class
from telly.models.generation import Architecture, architecture_of, check_causal
from telly.models.load import load_stack, model_from_config, shape_of
from telly.models.stack import LayerStack, capture, find_stack
from tiny_families import KNOWN, LAYERS, MAX_POSITIONS, TABLE, tiny_config
from tiny_models import padded_batch, tiny_model

FROZEN = (0, 2, 3)
"""Numbers of frozen layers, of 4."""
TOLERANCE = 1e-5
"""Maximum difference in float32, relative to the largest value; states that are computed in another batch differ in the
last bits."""


def test_the_newest_transformers_has_all_families():
    assert len(TABLE) >= 70
    if Version(transformers.__version__) >= Version("5.24"):
        assert list(TABLE) == KNOWN


@pytest.fixture(scope="module", params=KNOWN)
def stack(request: pytest.FixtureRequest) -> LayerStack:
    """The layers of each family's model in turn. No test changes its weights; freezing again replaces a freeze plan."""
    return find_stack(tiny_model(request.param))


@pytest.fixture
def batch(stack: LayerStack) -> dict[str, torch.Tensor]:
    """Sequences of three lengths, padded on the right with the model's own padding id."""
    return padded_batch(pad_id=getattr(stack.model.config, "pad_token_id", None) or 0)


@pytest.mark.parametrize("k", FROZEN)
def test_output_and_gradients_from_cached_states_are_those_of_the_model(
    stack: LayerStack, k: int, batch: dict[str, torch.Tensor]
):
    assert len(stack) == LAYERS
    mask = batch["attention_mask"]
    real = mask.bool()
    split = SplitModel(stack.model, k, stack=stack).eval()
    states = split.prefix(**batch)
    # The cache holds the states of a sequence without those of its padding, whatever batch they are computed in.
    for row, length in ((1, 7), (2, 3)):
        alone = split.prefix(**{name: values[row : row + 1, :length] for name, values in batch.items()})
        assert difference(alone[0], states[row, :length]) < TOLERANCE
    states = torch.where(real[..., None], states, 0.0)
    with torch.no_grad():
        expected = first_tensor(stack.model(**batch))[real]
        assert difference(split(states=states, attention_mask=mask).last_hidden_state[real], expected) < TOLERANCE
        other = split(states=states + 0.1 * states.roll(1, dims=-1), attention_mask=mask).last_hidden_state
        assert difference(other[real], expected) > 1e-3, "the states must matter"
    trained = {name: p for name, p in stack.model.named_parameters() if p.requires_grad}
    split.train()
    cached = gradients(split, trained, states=states, attention_mask=mask)
    uncached = gradients(split, trained, **batch)
    assert cached.keys() == uncached.keys()
    assert len(cached) > len(trained) / 2
    assert max(gradient.abs().max() for gradient in uncached.values()) > 1e-2
    for name, gradient in uncached.items():
        assert difference(cached[name], gradient) < 10 * TOLERANCE, name


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max().clamp(min=1.0))


def gradients(split: SplitModel, trained: dict[str, nn.Parameter], **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients of a loss over the real tokens in train mode, with the same draws of dropout in every call."""
    torch.manual_seed(1)
    output = first_tensor(split(**inputs))
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
    loss = (output * weights)[inputs["attention_mask"].bool()].mean()
    found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(trained, found, strict=True) if gradient is not None}


@torch.no_grad()
def test_a_released_prefix_comes_back(stack: LayerStack, batch: dict[str, torch.Tensor], tmp_path: Path):
    before = {name: tensor.clone() for name, tensor in stack.model.state_dict().items()}
    split = SplitModel(stack.model, 2, stack=stack).eval()
    states = split.prefix(**batch)
    expected = split(states=states, attention_mask=batch["attention_mask"]).last_hidden_state
    assert split.release_prefix(tmp_path / "prefix.safetensors") > 1000
    released = split(states=states, attention_mask=batch["attention_mask"]).last_hidden_state
    split.restore_prefix()
    assert torch.equal(released, expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in stack.model.state_dict().items())


def test_the_digest_changes_with_every_weight_that_the_states_depend_on(
    stack: LayerStack, batch: dict[str, torch.Tensor]
):
    """The oracle is autograd: what the states of layer 2 depend on has a gradient."""
    freeze_layers(stack, 2)
    trained = {name for name, p in stack.model.named_parameters() if p.requires_grad}
    with all_require_gradients(stack.model):
        states = capture(stack, 2, **batch)
        parameters = dict(stack.model.named_parameters())
        found = torch.autograd.grad(states.square().sum(), list(parameters.values()), allow_unused=True)
    needed = {name for name, gradient in zip(parameters, found, strict=True) if gradient is not None}
    assert needed and trained and not needed & trained
    digest = prefix_digests(stack)[2]
    for name in one_per_block(sorted(needed | trained), stack.path):
        with one_changed(parameters[name]):
            assert (prefix_digests(stack)[2] != digest) is (name in needed), name
    assert prefix_digests(stack)[2] == digest


@contextmanager
def all_require_gradients(model: nn.Module) -> Iterator[None]:
    before = [(p, p.requires_grad) for p in model.parameters()]
    model.requires_grad_(True)
    yield
    for parameter, required in before:
        parameter.requires_grad_(required)


def one_per_block(names: list[str], path: str) -> list[str]:
    """The names of parameters outside the blocks, among them tables that blocks share, and one of each block."""
    blocks = {name.removeprefix(f"{path}.").partition(".")[0]: name for name in names if name.startswith(f"{path}.")}
    return [name for name in names if not name.startswith(f"{path}.")] + list(blocks.values())


@contextmanager
def one_changed(parameter: nn.Parameter) -> Iterator[None]:
    first = parameter.data.view(-1)[:1]
    before = first.clone()
    first += 1.0
    yield
    first.copy_(before)


def test_the_plan_of_a_configuration_is_that_of_the_model(stack: LayerStack):
    shape = find_stack(model_from_config(tiny_config(stack.model.config.model_type)))
    assert shape.path == stack.path
    assert [name for name, _ in shape.before] == [name for name, _ in stack.before]
    for k in (None, *FROZEN):
        plan = plan_of(shape, k)
        assert plan == plan_of(stack, k)
        assert plan.total == sum(p.numel() for p in stack.model.parameters())


@torch.no_grad()
def test_the_limit_of_positions_is_where_the_model_ends(stack: LayerStack):
    """A model with a table of positions fails beyond its limit; others take longer inputs."""
    limit = stack.position_limit
    if limit is None:
        stack.model(input_ids=torch.full((1, MAX_POSITIONS + 4), 5))
    else:
        stack.model(input_ids=torch.full((1, limit), 5))
        with pytest.raises((IndexError, RuntimeError, ValueError)):
            stack.model(input_ids=torch.full((1, limit + 1), 5))


def test_models_generate_text_as_the_table_says(stack: LayerStack):
    """That logits from cached states are those of the model is checked by the split."""
    model_type = stack.model.config.model_type
    with (
        contextlib.nullcontext() if TABLE[model_type].generates else pytest.raises(ModelError, match="cannot generate")
    ):
        model = tiny_model(model_type, is_generative=True)
        if architecture_of(tiny_config(model_type)) is Architecture.DECODER:
            check_causal(model)
        SplitModel(model, 2)


@pytest.mark.parametrize("model_type", ["t5", "longt5", "t5gemma", "bart", "plbart", "mbart"])
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


def test_a_decoder_that_attends_to_later_tokens_is_not_loaded_for_generation(tmp_path: Path):
    """As EmbeddingGemma: trained to predict the next token, it would copy it."""
    config = tiny_config("gemma3_text")
    config.use_bidirectional_attention = True
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    assert len(load_stack(str(tmp_path))) == LAYERS
    with pytest.raises(ModelError, match=r"Gemma3ForCausalLM cannot generate text: its tokens attend to later ones"):
        load_stack(str(tmp_path), is_generative=True)
