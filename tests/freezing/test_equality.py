"""The central claim: training from the store is training with frozen layers. Same loss, gradients and weights."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from freezing.equal_training import PAIRS, a_step, check_same_training, store_source
from telly.data.sequences import SequenceTableBuilder
from telly.freezing.build import CacheRequest, build_cache
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.freezing.states import StateDtype
from telly.tasks import TASKS, get_task
from telly.tasks.training.retrieval import RetrievalData
from tiny_models import FAMILIES, VOCAB, WRITERS, tiny_encoded, tiny_model, tiny_task_model

CASES = [(task, family) for task in TASKS for family in (WRITERS if TASKS[task].is_generative else FAMILIES)]


def encoded(seed: int = 0) -> RetrievalData:
    rng = np.random.default_rng(seed)
    builder = SequenceTableBuilder()
    rows = {
        column: np.array([builder.add(rng.integers(5, VOCAB, rng.integers(3, longest))) for _ in range(PAIRS)])
        for column, longest in (("query", 8), ("code", 24))
    }
    return RetrievalData(builder.build(), rows)


def search_model(k: int, family: str = "roberta") -> nn.Module:
    return tiny_task_model("search", SplitModel(tiny_model(family), k), encoded())


@pytest.mark.parametrize(("task", "family_name"), CASES)
@pytest.mark.parametrize("k", [0, 2, 3])
def test_cached_equals_frozen_in_loss_gradient_and_weights(task: str, family_name: str, k: int, tmp_path: Path):
    frozen, cached = (tuned(task, family_name, k) for _ in range(2))
    check_same_training(frozen, cached, task, tmp_path)


def tuned(task: str, family: str, k: int) -> nn.Module:
    split = SplitModel(tiny_model(family, is_generative=TASKS[task].is_generative), k)
    torch.manual_seed(0)
    return tiny_task_model(task, split, tiny_encoded(task, split.model.config))


@pytest.mark.parametrize("dtype", [StateDtype.BF16, StateDtype.INT8])
def test_lower_precision_is_close_but_not_equal(dtype: StateDtype, tmp_path: Path):
    """A second dtype, and the proof that the comparison sees small differences."""
    data = encoded()
    model = search_model(2)
    exact = a_step(model, RowSource(data.table, 1), data, list(range(4)), 0).item()
    rounded = a_step(model, store_source(model.encoder, data.table, tmp_path, dtype), data, list(range(4)), 0).item()
    assert rounded == pytest.approx(exact, rel=0.1)
    assert abs(rounded - exact) > 1e-5


def test_another_models_states_give_another_loss(tmp_path: Path):
    data = encoded()
    model = search_model(2)
    other = SplitModel(tiny_model("roberta", seed=1), 2)
    right = a_step(model, RowSource(data.table, 1), data, list(range(4)), 0).item()
    wrong = a_step(model, store_source(other, data.table, tmp_path), data, list(range(4)), 0).item()
    assert abs(right - wrong) > 1e-2


def test_dropout_left_on_in_frozen_layers_differs(tmp_path: Path):
    """What `freeze` prevents: with dropout in the frozen layers the recomputed loss is another one each time."""
    data = encoded()
    model = search_model(2)
    source = RowSource(data.table, 1)
    right = a_step(model, source, data, list(range(4)), 0).item()
    for module in model.encoder.model.encoder.layer[0].modules():
        module.training = True
    torch.manual_seed(0)
    assert abs(model(**get_task("search").collate(source, data, list(range(4))))["loss"].item() - right) > 1e-3


def test_dropout_is_not_baked_into_the_store(family: str, tmp_path: Path):
    """A store built while the model is in train mode holds the same states as one built in eval mode."""
    data = encoded()
    split = SplitModel(tiny_model(family), 2)
    split.eval()
    quiet = store_source(split, data.table, tmp_path / "eval").batch([0, 5, 9])["states"]
    split.train()
    assert split.training
    loud = store_source(split, data.table, tmp_path / "train").batch([0, 5, 9])["states"]
    assert torch.equal(quiet, loud)


def test_dropout_is_on_in_trained_layers():
    data = encoded()
    model = search_model(2)
    source = RowSource(data.table, 1)
    losses = {a_step(model, source, data, list(range(4)), seed).item() for seed in range(3)}
    assert len(losses) == 3


def test_going_up_by_one_layer_equals_building_from_tokens(family: str, tmp_path: Path):
    data = encoded()
    model = tiny_model(family)
    store_source(SplitModel(model, 1), data.table, tmp_path)
    split = SplitModel(model, 2)
    result = build_cache(CacheRequest(split, data.table, 1, tmp_path, StateDtype.FP32))
    assert result.source == "layer 1"
    derived = result.cache.batch([1, 4, 7])["states"]
    direct = store_source(split, data.table, tmp_path / "other").batch([1, 4, 7])["states"]
    assert torch.allclose(derived, direct, atol=1e-5)


@pytest.mark.parametrize("family_name", FAMILIES)
def test_released_prefix_comes_back_unchanged(family_name: str, tmp_path: Path):
    data = encoded()
    split = SplitModel(tiny_model(family_name), 2)
    before = deepcopy(split.model.state_dict())
    source = store_source(split, data.table, tmp_path)
    expected = split(**source.batch([0, 3])).last_hidden_state
    freed = split.release_prefix(tmp_path / "prefix.safetensors")
    assert freed > 1000
    assert torch.equal(split(**source.batch([0, 3])).last_hidden_state, expected)
    split.restore_prefix()
    after = split.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not (tmp_path / "prefix.safetensors").exists()
