"""Adapters, biases or a head alone above stored states: the same training, the right parameters, files peft reads."""

from __future__ import annotations

import sys
from pathlib import Path

import peft
import pytest
import torch
import transformers
from torch import nn

from freezing.equal_training import check_same_training, trained
from telly.errors import ConfigError, PlanError
from telly.freezing.methods import apply_method, check_method
from telly.freezing.split import SplitModel
from telly.freezing.variants import Lora, Method
from telly.models.load import model_from_config
from telly.models.prefix_lm import checkpoint_part
from telly.models.stack import find_stack
from telly.tasks import TASKS
from tiny_families import LAYERS
from tiny_models import FAMILIES, padded_batch, tiny_encoded, tiny_model, tiny_task_model

OWN_TARGETS = {"distilbert": ("q_lin", "v_lin"), "modernbert": ("Wqkv",), "starcoder2": ("q_proj", "v_proj")}
"""Families that peft does not know."""
PLACES = {
    Method.LORA: FAMILIES,
    Method.IA3: tuple(family for family in FAMILIES if family not in OWN_TARGETS),
    Method.BITFIT: tuple(family for family in FAMILIES if family not in {"modernbert", "t5", "llama"}),
}
WRITING = [
    (method, "summarize", family) for method in (Method.LORA, Method.IA3) for family in ("roberta", "gpt2", "t5")
]
CASES = [(method, "search", family) for method, families in PLACES.items() for family in families] + WRITING
UNIXCODER = transformers.RobertaConfig(vocab_size=51416, max_position_embeddings=1026, type_vocab_size=10)


def lora_of(family: str) -> Lora:
    return Lora(rank=4, alpha=8, targets=OWN_TARGETS.get(family, ()))


def tuned(task: str, family: str, k: int | None, method: Method) -> nn.Module:
    """A task's module whose adapters, if there are any, are not the neutral ones that training starts from."""
    model = tiny_model(family, is_generative=TASKS[task].is_generative)
    split = SplitModel(model, LAYERS if method is Method.HEAD_ONLY else k)
    apply_method(split, method, lora_of(family))
    shake(split)
    torch.manual_seed(0)
    return tiny_task_model(task, split, tiny_encoded(task, split.model.config))


def shake(split: SplitModel) -> None:
    """Move what is trained, so that LoRA's second factor is not zero."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in trained(split).values():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)


@pytest.mark.parametrize(("method", "task", "family_name"), CASES)
def test_cached_equals_frozen(method: Method, task: str, family_name: str, tmp_path: Path):
    frozen, cached = (tuned(task, family_name, 2, method) for _ in range(2))
    check_same_training(frozen, cached, task, tmp_path)


@pytest.mark.parametrize("task", ["classify", "clone"])
def test_a_head_alone_is_the_same_over_the_last_states(task: str, family: str, tmp_path: Path):
    frozen, cached = (tuned(task, family, None, Method.HEAD_ONLY) for _ in range(2))
    assert cached.encoder.k == LAYERS
    assert all(name.startswith("head.") for name in trained(cached))
    before = {name: p.clone() for name, p in cached.encoder.named_parameters()}
    check_same_training(frozen, cached, task, tmp_path)
    assert all(torch.equal(p, before[name]) for name, p in cached.encoder.named_parameters())
    assert not any(module.training for module in cached.encoder.model.modules()), "else dropout changes the last states"


@pytest.mark.parametrize("method", [Method.LORA, Method.IA3, Method.BITFIT])
@pytest.mark.parametrize("k", [None, 2])
def test_gradients_are_where_they_are_expected(method: Method, k: int | None):
    model = tuned("classify", "roberta", k, method)
    model.train()
    model(padded_batch(), torch.tensor([0, 1, 0]))["loss"].backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == set(trained(model))
    own = {Method.LORA: ".lora_", Method.IA3: ".ia3_l", Method.BITFIT: ".bias"}[method]
    lowest = 0 if k is None else k
    for name in with_gradient:
        assert name.startswith("head.") or own in name, name
        if ".layer." in name:
            assert int(name.split(".layer.")[1].split(".")[0]) >= lowest, name
    assert sum(name.startswith("head.") for name in with_gradient) == 4, "a new head is trained as a whole"
    assert [m.training for m in (*model.encoder.model.encoder.layer, model.encoder.model.embeddings)] == (
        [True] * 5 if k is None else [False, False, True, True, False]
    )


@pytest.mark.parametrize(
    ("method", "k", "count"),
    [
        (Method.LORA, None, 4 * 2 * 4 * (32 + 32)),  # query and value, rank 4, a factor on each side
        (Method.LORA, 2, 2 * 2 * 4 * (32 + 32)),
        (Method.IA3, None, 4 * (32 + 32 + 32 + 48)),  # key, value, what goes into both output layers
        (Method.IA3, 3, 32 + 32 + 32 + 48),
        (
            Method.BITFIT,
            None,
            4 * (7 * 32 + 48) + 32,
        ),  # four of attention, two norms, two of the feed-forward; embeddings
        (Method.BITFIT, 2, 2 * (7 * 32 + 48)),
    ],
)
def test_trained_parameters_by_hand(method: Method, k: int | None, count: int):
    split = SplitModel(tiny_model("roberta"), k)
    whole = split.plan.total
    apply_method(split, method, lora_of("roberta"))
    assert split.plan.trainable == count == sum(p.numel() for p in split.parameters() if p.requires_grad)
    assert split.plan.total == whole + (0 if method is Method.BITFIT else count)
    assert split.plan.variant.slug == (method.value if k is None else f"{k}-{method.value}")
    lower = 0 if k is None else k
    statuses = [layer.status for layer in split.plan.layers]
    assert statuses[1:-1] == ["frozen"] * lower + ["mixed"] * (LAYERS - lower)
    assert statuses[-1] == "frozen", "nothing looks at the pooler"


def test_unixcoders_counts():
    """Rank 8 on query and value: 12 x 2 x 8 x (768 + 768); biases: 12 x (7 x 768 + 3072) and the embeddings' norm."""
    for method, count in ((Method.LORA, 294_912), (Method.BITFIT, 12 * (7 * 768 + 3072) + 768)):
        split = SplitModel(model_from_config(UNIXCODER), None)
        apply_method(split, method)
        assert split.plan.trainable == count


@pytest.mark.parametrize("method", [Method.LORA, Method.IA3])
@pytest.mark.parametrize(("family_name", "is_generative"), [("roberta", False), ("roberta", True), ("gpt2", True),
                                                     ("t5", False), ("t5", True), ("gpt_bigcode", False)])  # fmt: skip
def test_peft_alone_reads_the_adapter_and_the_merged_model_is_the_same(
    method: Method, family_name: str, is_generative: bool, tmp_path: Path
):
    def states(model: nn.Module) -> torch.Tensor:
        decoder = {"decoder_input_ids": batch["input_ids"]} if is_generative and family_name == "t5" else {}
        output = model.eval()(**batch, **decoder)
        return output.last_hidden_state if hasattr(output, "last_hidden_state") else output.logits

    batch = padded_batch()
    split = SplitModel(tiny_model(family_name, is_generative=is_generative), 2)
    base = states(checkpoint_part(split.model))
    adapter = apply_method(split, method, lora_of(family_name))
    assert adapter is not None
    assert torch.allclose(states(checkpoint_part(split.model)), base, atol=1e-6), "training starts from the base model"
    shake(split)
    expected = states(checkpoint_part(split.model))
    assert (expected - base).abs().max() > 1e-2
    adapter.save(tmp_path)
    fresh = checkpoint_part(tiny_model(family_name, is_generative=is_generative))
    loaded = peft.PeftModel.from_pretrained(fresh, tmp_path)
    assert torch.allclose(states(loaded), expected, atol=1e-5)
    adapter.merge()
    assert not any("lora" in name or "ia3" in name for name, _ in split.model.named_parameters())
    merged = states(checkpoint_part(split.model))
    assert torch.allclose(merged, expected, atol=1e-5 * max(1.0, expected.abs().max().item()))


def test_a_seed_gives_the_same_first_weights():
    def first(seed: int) -> torch.Tensor:
        split = SplitModel(tiny_model("roberta"), 2)
        apply_method(split, Method.LORA, Lora(), seed)
        return next(p for name, p in trained(split).items() if "lora_A" in name)

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def refusal(family: str, k: int | None, method: Method, lora: Lora | None = None) -> str:
    """What is said before anything runs, which is what training would say."""
    split = SplitModel(tiny_model(family), k)
    with pytest.raises((ConfigError, PlanError)) as told:
        apply_method(split, method, lora)
    with pytest.raises(type(told.value)) as before:
        check_method(find_stack(model_from_config(split.model.config)), k, method, lora)
    assert str(before.value) == str(told.value)
    return str(told.value)


def test_models_without_a_place_are_refused():
    known = refusal("starcoder2", 2, Method.LORA)
    assert known.startswith(
        "--method lora: peft does not know where it goes in a model of type 'starcoder2'; it does for "
    )
    assert " bert, " in known and known.endswith("For this model name the modules with --lora-target")
    assert refusal("distilbert", None, Method.IA3).endswith("For this model choose --method lora")
    assert refusal("roberta", 2, Method.LORA, Lora(targets=("qery",))) == (
        "--method lora: no linear layer from layer 2 on has a name that ends in qery; expected names as "
        "RobertaModel.named_modules() gives them (--lora-target)"
    )
    assert refusal("llama", 2, Method.BITFIT) == (
        "--method bitfit: LlamaModel has no biases from layer 2 on; expected a model with biases, or --method lora"
    )


def test_without_peft(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    assert refusal("roberta", 2, Method.IA3) == "--method ia3 needs peft: pip install 'telly[peft]'"
    apply_method(SplitModel(tiny_model("roberta"), 2), Method.BITFIT)
