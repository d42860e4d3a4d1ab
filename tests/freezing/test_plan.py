"""Parameter counts of the paper, and frozen layers that stay frozen."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from telly.analysis.published import telly_k
from telly.errors import CacheError, PlanError
from telly.freezing.plan import freeze, make_plan, unfreeze, variants_of
from telly.freezing.split import SplitModel
from telly.freezing.variants import Variant
from telly.models.load import model_from_config
from tiny_families import LAYERS
from tiny_models import tiny_model

LAYER = 7_087_872
UNIXCODER = transformers.RobertaConfig(vocab_size=51416, max_position_embeddings=1026, type_vocab_size=10)
GRAPHCODEBERT = transformers.RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1)


@pytest.mark.parametrize(("config", "base"), [(UNIXCODER, 125_929_728), (GRAPHCODEBERT, 124_645_632)])
def test_all_thirteen_variants_have_the_papers_counts(config: transformers.RobertaConfig, base: int):
    """Telly-K trains 12 - K layers of 7,087,872 parameters; Telly-0 is 85,054,464 (arXiv 2304.05216, appendix)."""
    model = model_from_config(config)
    counts = [make_plan(model, k).trainable for k in variants_of(12)]
    assert counts == [base, *((12 - k) * LAYER for k in range(12))]
    assert counts[1] == 85_054_464
    assert make_plan(model, 5).total == base


@pytest.mark.parametrize(("name", "config"), [
    ("microsoft/unixcoder-base", UNIXCODER), ("microsoft/graphcodebert-base", GRAPHCODEBERT),
])  # fmt: skip
def test_published_table_is_met(name: str, config: transformers.RobertaConfig):
    search = [row for row in telly_k("search") if row.model == name]
    assert len(search) >= 13
    model = model_from_config(config)
    for row in search:
        plan = make_plan(model, Variant.parse(row.variant).k)
        assert plan.trainable / 1e6 == pytest.approx(row.trained_millions, abs=0.06)  # some have one digit


def test_layers_say_what_they_are():
    model = tiny_model("roberta")
    plan = freeze(model, 2)
    assert [layer.status for layer in plan.layers] == ["frozen"] * 3 + ["trained"] * 2 + ["frozen"]
    assert [layer.name for layer in plan.layers] == ["embeddings", *(f"layer {i}" for i in range(4)), "pooler"]
    assert plan.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert plan.total == sum(p.numel() for p in model.parameters())
    assert plan.percent == pytest.approx(100 * plan.trainable / plan.total)


def test_frozen_blocks_stay_in_eval_mode(family: str):
    model = tiny_model(family)
    freeze(model, 2)
    model.train()
    from telly.models.stack import find_stack

    stack = find_stack(model)
    stack.blocks[0].train()
    next(m for m in stack.blocks[1].modules() if m is not stack.blocks[1]).train()
    assert not any(m.training for block in stack.blocks[:2] for m in block.modules())
    assert not any(m.training for _, module in stack.before for m in module.modules())
    assert all(m.training for block in stack.blocks[2:] for m in block.modules())


def test_a_copy_and_a_pickle_of_a_frozen_model_work():
    model = tiny_model("roberta")
    freeze(model, 2)
    twin = copy.deepcopy(model)
    twin.train()
    assert not twin.encoder.layer[0].training
    assert twin.encoder.layer[3].training
    assert pickle.loads(pickle.dumps(model)).encoder.layer[0].training is False


def test_unfreeze_takes_everything_back(family: str):
    model = tiny_model(family)
    freeze(model, 3)
    unfreeze(model)
    model.train()
    assert all(p.requires_grad for p in model.parameters())
    assert all(m.training for m in model.modules())
    assert not any("train" in m.__dict__ for m in model.modules())


@pytest.mark.parametrize("mode", [True, False])
def test_freezing_again_and_unfreezing_leave_the_mode(mode: bool):
    """GPT-2's blocks are run by the model itself, whose own flag is locked too."""
    model: Any = tiny_model("gpt2").train(mode)
    for k in (3, 2):
        freeze(model, k)
        assert not model.training
        assert model.h[3].training is mode
    unfreeze(model)
    assert all(module.training is mode for module in model.modules())


def test_freezing_again_replaces_the_plan():
    model = tiny_model("roberta")
    freeze(model, 3)
    assert freeze(model, 1).trainable == make_plan(model, 1).trainable
    model.train()
    assert model.encoder.layer[2].training


@pytest.mark.parametrize("k", [-1, LAYERS, 99])
def test_k_out_of_range(k: int):
    with pytest.raises(PlanError, match=f"^K must be between 0 and 3 for a model of 4 layers, found {k}$"):
        freeze(tiny_model("roberta"), k)


def test_variant_that_is_no_number():
    with pytest.raises(PlanError, match=r"^expected base, K or frozen-K, .* such as 9-lora, found 'nine'$"):
        Variant.parse("nine")


class NothingAbove(nn.Module):
    """Two equal blocks, of which the upper one has no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(5, 4)
        self.layer = nn.ModuleList([nn.Sequential(nn.Linear(4, 4)), nn.Sequential()])


def test_nothing_to_train_is_an_error():
    with pytest.raises(PlanError) as error:
        make_plan(NothingAbove(), 1)
    assert str(error.value) == "nothing would be trained: all 40 parameters are frozen; choose a smaller K"


def tied_model() -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_embd=32, n_layer=4, n_head=4, vocab_size=97, n_positions=64)
    return transformers.GPT2LMHeadModel(config)


def test_tied_head_is_frozen_with_the_embeddings():
    model = tied_model()
    plan = freeze(model, 2)
    assert not model.lm_head.weight.requires_grad
    assert plan.layers[-1].name in ("lm_head", "transformer.ln_f")
    assert plan.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_tied_head_untied_is_trained_and_keeps_its_values():
    model = tied_model()
    plan = freeze(model, 2, tied_head="untie")
    assert model.lm_head.weight.requires_grad
    assert not model.transformer.wte.weight.requires_grad
    assert torch.equal(model.lm_head.weight, model.transformer.wte.weight)
    assert plan.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    model.tie_weights()
    assert model.lm_head.weight is not model.transformer.wte.weight


def test_tied_head_refused():
    with pytest.raises(PlanError) as error:
        freeze(tied_model(), 2, tied_head="refuse")
    assert str(error.value) == (
        "lm_head.weight: tied to the embeddings, which K=2 freezes; choose tied_head='freeze' or 'untie'"
    )


def test_released_embeddings_of_a_tied_head_stay(tmp_path):
    split = SplitModel(tied_model(), 2)
    split.release_prefix(tmp_path / "prefix.safetensors")
    assert split.model.transformer.wte.weight.numel() == 97 * 32, "the head still needs it"
    assert split.model.transformer.h[0].attn.c_attn.weight.numel() == 0


def test_tokens_after_release_are_refused(tmp_path):
    split = SplitModel(tiny_model("roberta"), 2)
    split.release_prefix(tmp_path / "prefix.safetensors")
    with pytest.raises(CacheError, match="released from memory"):
        split(input_ids=torch.ones(1, 3, dtype=torch.long))


def test_states_without_a_frozen_layer_are_refused():
    split = SplitModel(tiny_model("roberta"), None)
    with pytest.raises(CacheError, match="no layer is frozen"):
        split(states=torch.zeros(1, 3, 32))


def test_head_model_trains_its_used_pooler():
    """A classifier looks at the pooler, so there it is trained; only a bare encoder's pooler is unused."""
    config = transformers.BertConfig(hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=48)
    model = transformers.BertForSequenceClassification(config)
    freeze(model, 3)
    assert model.bert.pooler.dense.weight.requires_grad
    assert model.classifier.weight.requires_grad
