"""All layers' states: equal to the model's own, for every family, from a store that is found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from telly.analysis import layers as layers_module
from telly.analysis.layers import ExtractionRequest, LayerExtractor, LayersRequest, Pooling, layer_states
from telly.data.sequences import SequenceTable
from telly.errors import CacheError
from telly.freezing.states import StateDtype
from telly.models.stack import capture, capture_all, find_stack
from tiny_models import FAMILIES, padded_batch, tiny_model, tiny_tokenizer

LENGTHS = (5, 9, 3, 11, 1, 7)
ROWS = tuple(range(len(LENGTHS)))


def table() -> SequenceTable:
    rng = np.random.default_rng(0)
    return SequenceTable.of(rng.integers(3, 40, length).tolist() for length in LENGTHS)[0]


def request(root: Path, form: Pooling = Pooling.MEAN, **more) -> LayersRequest:
    return LayersRequest(find_stack(tiny_model("roberta")), table(), 1, root, form, **more)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_all_layers_are_what_each_layer_gets(family: str):
    model = tiny_model(family)
    stack = find_stack(model)
    batch = padded_batch()
    states = capture_all(stack, **batch)
    assert len(states) == len(stack) + 1
    for k in range(len(stack)):
        assert torch.equal(states[k], capture(stack, k, **batch))
    output = model.get_encoder()(**batch) if family == "t5" else model(**batch)
    last, real = output.last_hidden_state, batch["attention_mask"].bool()
    norm = stack.final_norm
    if norm is None:
        assert torch.equal(states[-1][real], last[real])
    else:
        assert torch.allclose(model.get_submodule(norm)(states[-1])[real], last[real], atol=1e-6)
    assert torch.equal(output.last_hidden_state, (model.get_encoder() if family == "t5" else model)(**batch)[0])


def test_which_families_have_a_final_norm():
    found = {family: find_stack(tiny_model(family)).final_norm for family in FAMILIES}
    assert found["roberta"] is found["bert"] is found["distilbert"] is None
    assert found["gpt2"] == "ln_f" and found["qwen2"] == "norm"


@pytest.mark.parametrize("form", list(Pooling))
@torch.no_grad()
def test_stored_states_are_the_models_own(form: Pooling, tmp_path: Path):
    picked = [[i for i in range(length) if i % 2 == 0] for length in LENGTHS]
    token_positions = SequenceTable.of(picked)[0] if form is Pooling.PICKED else None
    assert len(set(map(tuple, picked))) == len(table()) == len(LENGTHS), "one row each"
    made = request(tmp_path, form, padded_to=12, token_positions=token_positions)
    states = layer_states(made)
    assert states.names == ["emb", "1", "2", "3", "4"][: len(states.names)]
    for row in range(len(LENGTHS)):
        ids = torch.tensor(made.table[row])[None].long()
        mask = torch.ones_like(ids)
        if form is Pooling.PADDED_MEAN:
            ids, mask = (torch.nn.functional.pad(t, (0, 12 - t.shape[1]), value=v) for t, v in ((ids, 1), (mask, 0)))
        hidden = made.stack.model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        for number, layer in enumerate(hidden):
            wanted = {
                Pooling.TOKENS: layer[0],
                Pooling.MEAN: layer[0].mean(0, keepdim=True),
                Pooling.FIRST: layer[0, :1],
                Pooling.LAST: layer[0, -1:],
                Pooling.PADDED_MEAN: layer[0].mean(0, keepdim=True),
                Pooling.PICKED: torch.cat([layer[0].mean(0, keepdim=True), layer[0, ::2]]),
            }[form]
            found, found_mask = states.batch([row])
            assert torch.allclose(found[0, found_mask[0].bool(), number], wanted, atol=1e-5)
            assert torch.allclose(states.items([row])[0, number], wanted[0], atol=1e-5)


def test_the_model_runs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = layer_states(request(tmp_path))
    monkeypatch.setattr(layers_module, "capture_all", lambda *_args, **_inputs: pytest.fail("the model ran again"))
    again = layer_states(request(tmp_path))
    assert torch.equal(first.items(ROWS)[:, 2], again.items(ROWS)[:, 2])
    with pytest.raises(pytest.fail.Exception):
        layer_states(request(tmp_path, Pooling.TOKENS))


@torch.no_grad()
def test_several_askers_share_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    first, second, third = (rng.integers(3, 40, length).tolist() for length in (6, 9, 4))
    ran: list[int] = []
    capture_batch = layers_module.capture_all
    monkeypatch.setattr(
        layers_module,
        "capture_all",
        lambda stack, **inputs: ran.append(len(inputs["input_ids"])) or capture_batch(stack, **inputs),
    )
    model = tiny_model("roberta").eval()
    wanted = [
        ExtractionRequest([first, second], [[4, 1], [0]]),
        ExtractionRequest([second, third, first]),
        ExtractionRequest([first, first, third], [[5], [1, 4], []]),
    ]
    tokens, means, others = LayerExtractor(tmp_path).states("", find_stack(model), tiny_tokenizer(), wanted)
    assert sum(ran) == 3, "every distinct text once"

    def own(ids: list[int]) -> torch.Tensor:
        return torch.stack(model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states, dim=2)[0]

    a, b, c = own(first), own(second), own(third)
    assert torch.allclose(tokens, torch.stack([a[4], a[1], b[0]]), atol=1e-5)
    assert torch.allclose(means, torch.stack([b.mean(0), c.mean(0), a.mean(0)]), atol=1e-5)
    assert torch.allclose(others, torch.stack([a[5], a[1], a[4]]), atol=1e-5)


def test_another_model_is_another_store(tmp_path: Path):
    one = layer_states(request(tmp_path))
    other = layer_states(LayersRequest(find_stack(tiny_model("roberta", seed=3)), table(), 1, tmp_path))
    assert one.cache.folder != other.cache.folder


def test_what_does_not_fit_is_refused(tmp_path: Path):
    with pytest.raises(CacheError, match="do not fit"):
        layer_states(request(tmp_path, budget=10))


def test_narrow_states(tmp_path: Path):
    wide, narrow = (
        layer_states(request(tmp_path, dtype=dtype)).items(ROWS)[:, 1] for dtype in (StateDtype.FP32, StateDtype.BF16)
    )
    assert torch.equal(wide.bfloat16().float(), narrow)
