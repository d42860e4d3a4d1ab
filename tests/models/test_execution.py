"""What runs before the blocks is found by running the model, on hand-made models and on families that need it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from telly.errors import ModelError
from telly.freezing.plan import make_plan
from telly.freezing.split import SplitModel
from telly.models.execution import ROWS, TOKENS, execute, parameters_read
from telly.models.load import model_from_config
from telly.models.stack import LayerStack, capture, find_stack, hidden_size_of, run_from
from tiny_families import LAYERS, tiny_config
from tiny_models import padded_batch, tiny_model


def names(parts: tuple[tuple[str, nn.Module], ...]) -> list[str]:
    return [name for name, _ in parts]


@pytest.mark.parametrize(("model_type", "before", "after"), [
    ("mpnet", ["embeddings", "encoder.relative_attention_bias"], ["pooler"]),
    ("deberta", ["embeddings", "encoder.rel_embeddings"], []),
    ("deberta-v2", ["embeddings", "encoder.rel_embeddings", "encoder.LayerNorm", "encoder.conv"], []),
    ("bart", ["embed_tokens", "embed_positions", "layernorm_embedding"], []),
    ("mbart", ["embed_tokens", "embed_positions", "layernorm_embedding"], ["layer_norm"]),
    ("opt", ["decoder.embed_tokens", "decoder.embed_positions"], ["decoder.final_layer_norm"]),
    ("roformer", ["embeddings", "embeddings_project", "encoder.embed_positions"], []),
    ("xlnet", ["word_embedding", "dropout", "mask_emb"], []),
    ("t5", ["shared", "encoder.embed_tokens", "encoder.dropout"], ["encoder.final_layer_norm"]),
])  # fmt: skip
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_parts_are_placed_by_when_they_run(model_type: str, device: str, before: list[str], after: list[str]):
    stack = find_stack(model_from_config(tiny_config(model_type), device=device))
    assert (names(stack.before), names(stack.after)) == (before, after)


@pytest.mark.parametrize(("model_type", "entry"), [
    ("roberta", "embeddings"), ("gpt2", "drop"), ("bart", "layernorm_embedding"),
    ("t5", None),  # its dropout runs after the blocks as well
    ("longformer", None),  # pads the tokens to a window
])  # fmt: skip
def test_the_module_that_gives_the_first_blocks_input_is_found(model_type: str, entry: str | None):
    stack = find_stack(tiny_model(model_type))
    assert stack.entry is (None if entry is None else stack.model.get_submodule(entry))


class Block(nn.Module):
    """Adds a table, and a bias that the first block computes and the others receive."""

    def __init__(self, is_first: bool) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 6)
        self.bias = nn.Parameter(torch.randn(6)) if is_first else None

    def forward(self, x: torch.Tensor, table: torch.Tensor, bias: torch.Tensor | None = None) -> Any:
        bias = bias if self.bias is None else self.bias.exp()
        return x + self.inner(x).tanh() + table.mean(0) + bias, bias


class HandMade(nn.Module):
    """Everything is registered where it does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.final = nn.LayerNorm(6)
        self.layers = nn.ModuleList([Block(i == 0) for i in range(3)])
        self.parts = nn.ModuleDict({"late": nn.Linear(6, 6), "early": nn.Embedding(20, 6)})
        self.table = nn.Embedding(4, 6)  # does not run: its weight is read by the blocks
        self.scale = nn.Parameter(torch.tensor([2.0]))  # read before the blocks
        self.shift = nn.Parameter(torch.zeros(6))  # read after them
        self.both = nn.Dropout(0.5)
        self.head = nn.Linear(6, 20, bias=False)
        self.head.weight = self.parts["early"].weight

    def get_input_embeddings(self) -> nn.Module:
        return self.parts["early"]

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> Any:
        x = self.parts["early"](input_ids) if inputs_embeds is None else inputs_embeds
        x, bias = self.both(x * self.scale), None
        for layer in self.layers:
            x, bias = layer(x, self.table.weight, bias)
        states = self.both(self.parts["late"](self.final(x)) + self.shift)
        return transformers.modeling_outputs.CausalLMOutput(logits=self.head(states))


@pytest.fixture
def hand_made() -> HandMade:
    torch.manual_seed(0)
    return HandMade()


def test_a_model_that_registers_nothing_in_order(hand_made: HandMade):
    stack = find_stack(hand_made)
    assert sorted(names(stack.before)) == ["both", "parts.early", "scale", "table"]
    assert sorted(names(stack.after)) == ["final", "head", "parts.late", "shift"]
    placed = [p for _, module in (*stack.before, *stack.after) for p in module.parameters()]
    placed += [p for block in stack.blocks for p in block.parameters()]
    assert {id(p) for p in placed} == {id(p) for p in hand_made.parameters()}
    assert stack.hidden_size == stack.embedding_size == 6


def test_what_a_block_hands_on_is_computed_without_an_entry_of_the_family(hand_made: HandMade):
    split = SplitModel(hand_made, 2)
    batch = padded_batch() | {"input_ids": torch.arange(33).reshape(3, 11) % 20}
    states = split.prefix(**batch)
    mask = batch["attention_mask"]
    assert torch.equal(split(states=states, attention_mask=mask).logits, split(**batch).logits)
    assert "layers.0.bias" in split.replay_parameters
    assert "layers.1.inner.weight" not in split.replay_parameters
    trained = {name for name, p in hand_made.named_parameters() if p.requires_grad}
    assert trained == {
        "layers.2.inner.weight", "layers.2.inner.bias", "final.weight", "final.bias", "parts.late.weight",
        "parts.late.bias", "shift",
    }  # fmt: skip


def test_the_model_is_left_as_it_was(hand_made: HandMade):
    hand_made.train()
    hand_made.layers[1].eval()
    before = dict(hand_made.state_dict(keep_vars=True))
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    assert execute(hand_made, tuple(hand_made.layers)) is not None
    assert torch.equal(torch.rand(4), expected), "random numbers were drawn"
    assert all(value is before[name] for name, value in hand_made.state_dict(keep_vars=True).items())
    assert [name for name, module in hand_made.named_modules() if not module.training] == ["layers.1", "layers.1.inner"]
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in hand_made.modules())


def test_a_meta_model_stays_on_its_device():
    model = model_from_config(tiny_config("mpnet"))
    before = dict(model.state_dict(keep_vars=True))
    find_stack(model)
    after = model.state_dict(keep_vars=True)
    assert all(value is before[name] and value.is_meta for name, value in after.items())


def test_a_large_meta_model_needs_no_memory_and_no_products():
    """Seven billion parameters; the time limit of the suite is the oracle."""
    stack = find_stack(model_from_config(transformers.LlamaConfig()))
    assert (len(stack), stack.hidden_size) == (32, 4096)
    assert names(stack.before) == ["embed_tokens", "rotary_emb"]


def test_a_model_that_fails_is_placed_by_registration(hand_made: HandMade):
    hand_made.layers[0].inner = nn.Linear(5, 5)
    assert execute(hand_made, tuple(hand_made.layers)) is None
    stack = find_stack(hand_made)
    assert names(stack.before)[0] == "final"
    with pytest.raises(ModelError, match="cannot be started from the states of layer 1"):
        SplitModel(hand_made, 1)


def test_a_failure_after_the_blocks_does_not_matter(hand_made: HandMade):
    hand_made.final = nn.LayerNorm(5)
    stack = find_stack(hand_made)
    assert sorted(names(stack.before)) == ["both", "parts", "scale", "shift", "table"], "what is not seen is frozen"
    assert "head" in names(stack.after), "its weight was read before the blocks, but by the embeddings"


def test_parameters_that_are_read():
    layer = nn.Linear(3, 2)
    with parameters_read(layer) as read:
        assert layer.weight.shape == (2, 3)
        assert layer.weight.dtype is torch.float32
        layer.bias + 1
    assert read == {"bias"}


@pytest.mark.parametrize(
    "model_type", ["roberta", "bert", "mpnet", "roformer", "bart", "opt", "gpt2", "gptj", "codegen", "mpt"]
)
@torch.no_grad()
def test_the_limit_of_positions_is_exact(model_type: str):
    """Up to the limit a model runs, and beyond it fails; BART's and OPT's tables have two rows more."""
    model: Any = tiny_model(model_type)
    limit = find_stack(model).position_limit
    assert limit is not None
    for tokens in (limit, limit + 1):
        ids = torch.full((1, tokens), 7)
        with pytest.raises((IndexError, RuntimeError)) if tokens > limit else contextlib.nullcontext():
            model(input_ids=ids, attention_mask=torch.ones_like(ids))


def test_a_width_that_the_configuration_does_not_say():
    model: Any = tiny_model("t5gemma")
    assert not hasattr(model.config, "hidden_size")
    assert hidden_size_of(model) == 32


def test_no_axis_of_the_trial_batch_can_be_taken_for_another():
    assert ROWS != TOKENS
    stack = find_stack(tiny_model("xlnet"))
    assert stack.tokens_first
    states = capture(stack, 2, **padded_batch())
    assert states.shape == (3, 11, 32)


@pytest.fixture(scope="module")
def deberta_with_convolution() -> LayerStack:
    """DeBERTa-v2's largest models have a convolution between block 0 and block 1, which reads the embeddings too."""
    return find_stack(tiny_model("deberta-v2"))


@pytest.mark.parametrize("k", range(LAYERS))
def test_a_module_between_two_blocks(deberta_with_convolution: LayerStack, k: int):
    stack, batch = deberta_with_convolution, padded_batch()
    assert "encoder.conv" in names(stack.before)
    mask = batch["attention_mask"]
    split = SplitModel(stack.model, k, stack=stack)
    assert not any(p.requires_grad for p in stack.model.encoder.conv.parameters())  # type: ignore[union-attr]
    with torch.no_grad():
        full = split(**batch).last_hidden_state
        again = run_from(stack, k, split.prefix(**batch), attention_mask=mask).last_hidden_state
    assert torch.equal(again[mask.bool()], full[mask.bool()])
    assert "encoder.conv.conv.weight" in split.replay_parameters, "it must not be released"


def test_word_embeddings_of_another_width_than_the_states():
    """The smallest OPT projects its word embeddings up, and its last states down."""
    config = tiny_config("opt")
    config.word_embed_proj_dim = 16
    torch.manual_seed(0)
    stack, batch = find_stack(model_from_config(config, device="cpu")), padded_batch()
    assert (stack.embedding_size, stack.hidden_size) == (16, 32)
    assert names(stack.before)[2:] == ["decoder.project_in"]
    assert names(stack.after) == ["decoder.project_out", "decoder.final_layer_norm"]
    split = SplitModel(stack.model, 2, stack=stack)
    with torch.no_grad():
        again = split(states=split.prefix(**batch), attention_mask=batch["attention_mask"]).last_hidden_state
        assert torch.equal(again, split(**batch).last_hidden_state)


def test_blocks_that_are_skipped_at_random_are_skipped_no_more():
    """BART's encoder drops out embeddings and skips layers in its own forward, while it is in training mode."""
    config = tiny_config("bart")
    config.encoder_layerdrop = 0.5
    torch.manual_seed(0)
    split = SplitModel(model_from_config(config, device="cpu"), 2)
    split.train()
    batch = padded_batch()
    states = split.prefix(**batch)
    for _ in range(4):
        assert torch.equal(split.prefix(**batch), states)
    assert split.model.layers[3].training
    assert not split.model.training


def test_the_plan_of_a_shared_table():
    """MPNet's layers are as large as RoBERTa's; its table of relative positions is frozen with the embeddings."""
    model = model_from_config(transformers.MPNetConfig(vocab_size=30527, max_position_embeddings=514))
    assert [make_plan(model, k).trainable for k in (None, 0, 9)] == [109_486_464, 85_054_464, 21_263_616]
    embeddings = make_plan(model, 0).layers[0]
    assert (embeddings.status, embeddings.trainable) == ("frozen", 0)
    assert embeddings.parameters == (30527 + 514 + 2) * 768 + 32 * 12
