"""Captured and replayed states give the model's own output, for every family and every K."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from telly.errors import ModelError, PlanError
from telly.models.load import load_stack
from telly.models.prefix_lm import PrefixLM, checkpoint_part
from telly.models.stack import capture, find_stack, layer_step, replay, run_from
from tiny_families import LAYERS
from tiny_models import CONFIGS, FAMILIES, padded_batch, tiny_model


def test_every_family_of_the_issue_is_here():
    assert len(FAMILIES) == 10
    assert len(CONFIGS) >= 50


def test_stack_is_found_with_all_parameters_in_one_place(family):
    model = tiny_model(family)
    stack = find_stack(model)
    assert len(stack) == LAYERS
    placed = [p for _, m in (*stack.before, *stack.after) for p in m.parameters()]
    placed += [p for block in stack.blocks for p in block.parameters()]
    assert {id(p) for p in placed} == {id(p) for p in model.parameters()}


@torch.no_grad()
def test_captured_states_equal_the_models_own_hidden_states(family):
    """The oracle is the library's `output_hidden_states`, which shares no code with ours."""
    model, batch = tiny_model(family), padded_batch()
    stack = find_stack(model)
    oracle = model(**batch, output_hidden_states=True).hidden_states
    for k in range(LAYERS):
        assert torch.equal(capture(stack, k, **batch), oracle[k])


@torch.no_grad()
def test_replay_equals_the_full_forward_for_every_k(family):
    model, batch = tiny_model(family), padded_batch()
    stack = find_stack(model)
    full = model(**batch).last_hidden_state
    for k in range(LAYERS):
        states = capture(stack, k, **batch)
        again = run_from(stack, k, states, attention_mask=batch["attention_mask"]).last_hidden_state
        assert torch.equal(again, full), k


@torch.no_grad()
def test_replay_of_other_states_differs(family):
    """The states must matter: else the test above could pass on a model that ignores them."""
    model, batch = tiny_model(family), padded_batch()
    stack = find_stack(model)
    full = model(**batch).last_hidden_state
    states = capture(stack, 2, **batch)
    other = run_from(stack, 2, states + 0.1 * states.roll(1, dims=-1), attention_mask=batch["attention_mask"])
    assert (other.last_hidden_state - full).abs().max() > 1e-3


@torch.no_grad()
def test_layer_step_goes_from_one_layer_to_a_higher_one(family):
    model, batch = tiny_model(family), padded_batch()
    stack = find_stack(model)
    low = capture(stack, 1, **batch)
    stepped = layer_step(stack, 1, 3, low, attention_mask=batch["attention_mask"])
    assert torch.equal(stepped, capture(stack, 3, **batch))


@torch.no_grad()
def test_replay_does_not_run_embeddings_or_lower_blocks(family):
    model, batch = tiny_model(family), padded_batch()
    stack = find_stack(model)
    states = capture(stack, 3, **batch)
    full = model(**batch).last_hidden_state
    for module in (*(module for _, module in stack.before), *stack.blocks[:3]):
        for name, parameter in module.named_parameters():
            # T5's upper blocks get their position bias from the first one.
            if not name.endswith("relative_attention_bias.weight"):
                parameter.fill_(float("nan"))
    again = run_from(stack, 3, states, attention_mask=batch["attention_mask"]).last_hidden_state
    assert torch.equal(again, full)


@torch.no_grad()
def test_nothing_stays_patched_after_an_exception(family):
    model, batch = tiny_model(family), padded_batch()
    stack = find_stack(model)
    full = model(**batch).last_hidden_state
    states = capture(stack, 2, **batch)
    seen = []
    hook = stack.blocks[2].register_forward_pre_hook(lambda *_: seen.append(1))
    with pytest.raises(RuntimeError, match="in the middle"), replay(stack, 2, states):
        raise RuntimeError("in the middle")
    assert torch.equal(model(**batch).last_hidden_state, full)
    assert seen == [1], "another's hook is still there"
    hook.remove()
    assert not any("forward" in module.__dict__ for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_capture_removes_its_hook_when_the_forward_fails():
    stack = find_stack(tiny_model("roberta"))
    with pytest.raises(ValueError, match="input_ids"):
        capture(stack, 1, nonsense=torch.zeros(1))
    assert not any(module._forward_pre_hooks for module in stack.model.modules())


@pytest.mark.parametrize("k", [-1, LAYERS])
def test_k_out_of_range(k):
    with pytest.raises(PlanError) as error:
        find_stack(tiny_model("roberta")).check_layer(k)
    assert str(error.value) == f"K must be between 0 and 3 for a model of 4 layers, found {k}"


def test_a_model_without_blocks_is_refused():
    with pytest.raises(ModelError, match="Linear has no list of blocks of one type"):
        find_stack(nn.Linear(2, 2))


def test_bert_layer_against_a_hand_written_forward():
    """An oracle that uses neither the library's layer nor telly: post-norm attention and GELU feed-forward by hand."""
    model, batch = tiny_model("bert"), padded_batch()
    stack = find_stack(model)
    with torch.no_grad():
        x, mask = capture(stack, 0, **batch), batch["attention_mask"]
        for k in range(1, LAYERS):
            x = _bert_layer(dict(stack.blocks[k - 1].named_parameters()), x, mask)
            real = mask.bool()
            assert torch.allclose(capture(stack, k, **batch)[real], x[real], atol=1e-5)


def _bert_layer(p: dict[str, torch.Tensor], x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    def linear(name: str, value: torch.Tensor) -> torch.Tensor:
        return value @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def norm(name: str, value: torch.Tensor) -> torch.Tensor:
        centred = value - value.mean(-1, keepdim=True)
        scaled = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-12).sqrt()
        return scaled * p[f"{name}.weight"] + p[f"{name}.bias"]

    def heads(value: torch.Tensor) -> torch.Tensor:
        return value.view(*value.shape[:2], 4, 8).transpose(1, 2)  # [batch, heads, tokens, 8]

    q, k, v = (heads(linear(f"attention.self.{name}", x)) for name in ("query", "key", "value"))
    scores = q @ k.transpose(-1, -2) / 8**0.5 + (1.0 - mask[:, None, None, :].float()) * -1e9
    context = (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape)
    x = norm("attention.output.LayerNorm", linear("attention.output.dense", context) + x)
    inner = linear("intermediate.dense", x)
    inner = inner * 0.5 * (1.0 + torch.erf(inner / 2**0.5))
    return norm("output.LayerNorm", linear("output.dense", inner) + x)


@pytest.mark.parametrize("family", ["roberta", "gpt2", "t5"])
def test_a_loaded_generative_model_comes_with_the_stack_that_a_search_finds(tmp_path: Path, family: str):
    """A prefix LM's stack is derived from its encoder's, so that it need not be found a second time."""
    checkpoint_part(tiny_model(family, is_generative=True)).save_pretrained(tmp_path)
    stack = load_stack(str(tmp_path), is_generative=True)
    assert stack == find_stack(stack.model)
    assert isinstance(stack.model, PrefixLM) is (family == "roberta")
