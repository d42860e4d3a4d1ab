"""Schedule, warm-up, weight decay, clipping and accumulation: numbers by hand, and what must stay equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import TrainerCallback

from freezing.equal_training import store_source
from telly.data.batching import LengthBucketBatchSampler
from telly.data.sequences import SequenceTable
from telly.errors import ConfigError
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.tasks import get_task
from telly.training.clocks import Clocks
from telly.training.trainer import TellyTrainer
from telly.tuning.arguments import arguments_of
from telly.tuning.session import ClockedTrainer
from tiny_models import tiny_encoded, tiny_model, tiny_task_model

SETTINGS = {"schedule": "cosine", "warmup": 0.25, "weight_decay": 0.1, "max_grad_norm": 0.5, "accumulation": 2}
"""None of them is the default."""


class Batches(LengthBucketBatchSampler):
    """Sampler of the given batches, the same ones in every epoch."""

    def __init__(self, batches: Sequence[Sequence[int]]) -> None:
        self.batches = [np.asarray(batch) for batch in batches]
        super().__init__(np.ones(max(map(max, batches)) + 1), 1)
        self.batch_size = len(batches[0])

    def __len__(self) -> int:
        return len(getattr(self, "batches", ()))

    def global_batches(self) -> list[npt.NDArray[np.int64]]:
        return self.batches


class Seen(TrainerCallback):  # type: ignore[misc]
    """Learning rate and gradient norm (after clipping) of every step."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.norms: list[float] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        gradients = [p.grad for p in kwargs["model"].parameters() if p.grad is not None]
        self.norms.append(float(torch.stack([g.norm() for g in gradients]).norm()))
        self.rates.append(kwargs["optimizer"].param_groups[0]["lr"])


def config_of(task: str, **values: Any) -> ResolvedConfig:
    return TuneConfig.parse({"task": task, "learning_rate": 1e-2} | values).resolve()


def fit(
    module: nn.Module,
    config: ResolvedConfig,
    batches: Sequence[Sequence[int]],
    folder: Path,
    *,
    source: RowSource | None = None,
    checkpoint: Path | None = None,
    epochs: int = 2,
    make_trainer: Callable[..., TellyTrainer] = TellyTrainer,
    **settings: Any,
) -> Seen:
    """Train as runs and pilots do, by the Trainer, on given batches."""
    task, data = get_task(config.task), tiny_encoded(config.task, module.encoder.model.config)
    source, seen = source or RowSource(data.table, 1), Seen()
    # Without a larger epsilon Adam turns the rounding noise of key biases, which have no gradient, into steps.
    arguments = arguments_of(
        config,
        folder,
        num_train_epochs=epochs,
        adam_epsilon=1e-3,
        **{"save_strategy": "no", "logging_strategy": "no"} | settings,
    )
    trainer = make_trainer(
        module,
        arguments,
        batch_sampler=Batches(batches),
        collate=lambda indices: task.collate(source, data, indices, (0,)),
        callbacks=[seen],
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return seen


def built(task: str = "classify", dropout: bool = True) -> nn.Module:
    """A task's model with two frozen layers; the same weights each time."""
    split = SplitModel(tiny_model("roberta"), 2)
    torch.manual_seed(0)
    module = tiny_task_model(task, split, tiny_encoded(task, split.model.config))
    for part in module.modules():
        if isinstance(part, nn.Dropout) and not dropout:
            part.p = 0.0
    return module


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}


def largest_difference(left: nn.Module, right: nn.Module) -> float:
    other = weights(right)
    return max((value - other[name]).abs().max().item() for name, value in weights(left).items())


@settings(max_examples=4, deadline=None)
@given(size=st.integers(1, 3), count=st.integers(1, 3), rest=st.integers(0, 2))
def test_accumulated_batches_equal_one_large_batch(tmp_path_factory, size: int, count: int, rest: int):
    """For a loss that is a mean over examples; an epoch's last step may have fewer batches."""
    rest = min(rest, count - 1)  # batches of the last step
    large = [list(range(size * count)), list(range(size * rest))][: 2 if rest else 1]
    small = [batch[i : i + size] for batch in large for i in range(0, len(batch), size)]
    folder = tmp_path_factory.mktemp("accumulated")
    whole, parts = built(dropout=False), built(dropout=False)
    options = {"max_grad_norm": 0.5, "weight_decay": 0.1}  # the gradient is clipped once, after all batches
    expected = fit(whole, config_of("classify", batch_size=size * count, **options), large, folder)
    found = fit(parts, config_of("classify", batch_size=size, accumulation=count, **options), small, folder)
    assert found.rates == expected.rates and len(found.rates) == 2 * len(large)
    assert largest_difference(whole, parts) < 1e-5 < largest_difference(whole, built())


def test_in_batch_negatives_come_from_one_batch(tmp_path: Path):
    """The loss of contrastive tasks is no mean over examples: accumulation is not a larger batch."""
    whole, parts = built("search", dropout=False), built("search", dropout=False)
    fit(whole, config_of("search", batch_size=4), [[0, 1, 2, 3]], tmp_path)
    fit(parts, config_of("search", batch_size=2, accumulation=2), [[0, 1], [2, 3]], tmp_path)
    assert largest_difference(whole, parts) > 1e-3


def test_the_recorded_loss_is_that_of_a_batch(tmp_path: Path):
    """The Trainer divides the loss by the number of accumulated batches; the record has the loss itself."""
    losses: dict[int, list[float]] = {1: [], 3: []}
    for count, seen in losses.items():
        config = config_of("classify", batch_size=1, accumulation=count, learning_rate=1e-9)
        trainer = partial(ClockedTrainer, Clocks(), seen.append)
        fit(built(dropout=False), config, [[0], [1], [2], [3]], tmp_path, epochs=1, make_trainer=trainer)
    assert losses[3] == pytest.approx(losses[1], rel=1e-5) and len(losses[3]) == 4


@pytest.mark.parametrize("task", ["search", "classify"])
def test_cached_equals_frozen_with_all_of_them(task: str, tmp_path: Path):
    frozen, cached, plain = (built(task) for _ in range(3))
    table: SequenceTable = tiny_encoded(task, cached.encoder.model.config).table
    batches = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    config = config_of(task, batch_size=3, **SETTINGS)
    expected = fit(frozen, config, batches, tmp_path, epochs=3)
    found = fit(cached, config, batches, tmp_path, source=store_source(cached.encoder, table, tmp_path), epochs=3)
    assert found.norms == pytest.approx(expected.norms, rel=1e-4) and len(found.norms) == 6
    assert largest_difference(frozen, cached) < 2e-5
    fit(plain, config_of(task, batch_size=3), batches, tmp_path, epochs=3)
    assert largest_difference(frozen, plain) > 1e-3, "the settings have an effect"


def test_resumed_equals_uninterrupted_with_all_of_them(tmp_path: Path):
    """Resumed within an epoch, with dropout on; five batches make steps of two, two and one."""
    whole, resumed = built(), built()
    batches = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    config = config_of("classify", batch_size=2, **SETTINGS)
    fit(whole, config, batches, tmp_path, save_strategy="steps", save_steps=2)
    first = tmp_path / "checkpoint-2"
    seen = fit(resumed, config, batches, tmp_path / "resumed", checkpoint=first)
    assert len(seen.rates) == 4, "two of six steps were done"
    assert largest_difference(whole, resumed) == 0.0


@pytest.mark.parametrize(
    ("values", "rates"),
    [  # of eight steps two are warm-up; the rate of a step is that before it
        ({}, [0, 1 / 2, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ({"schedule": "cosine"}, [0, 1 / 2, 1, 0.9330, 3 / 4, 1 / 2, 1 / 4, 0.0670]),  # (1 + cos(pi i / 6)) / 2
        ({"schedule": "constant_with_warmup"}, [0, 1 / 2, 1, 1, 1, 1, 1, 1]),
        ({"schedule": "inverse_sqrt"}, [0, 1 / 2, 1, *((2 / step) ** 0.5 for step in range(3, 8))]),
        ({"schedule": "constant", "warmup": None}, [1] * 8),
        ({"warmup": 0.0}, [1 - step / 8 for step in range(8)]),
    ],
)
def test_learning_rates_by_hand(values: dict[str, Any], rates: list[float], tmp_path: Path):
    config = config_of("classify", batch_size=1, **{"warmup": 0.25} | values)
    seen = fit(built(), config, [[i] for i in range(4)], tmp_path)
    assert [rate / 1e-2 for rate in seen.rates] == pytest.approx(rates, abs=1e-4)


def test_weight_decay_by_hand(tmp_path: Path):
    """AdamW takes rate x decay of a weight away before its step; biases and norms stay out of it."""
    plain, decayed = built(dropout=False), built(dropout=False)
    before = weights(plain)
    for module, decay in ((plain, 0.0), (decayed, 0.5)):
        config = config_of("classify", batch_size=4, warmup=0.0, weight_decay=decay)
        fit(module, config, [[0, 1, 2, 3]], tmp_path, epochs=1)
    kinds = set()
    for name, value in weights(plain).items():
        decays = value.dim() > 1
        kinds.add(decays)
        expected = value - 1e-2 * 0.5 * before[name] if decays else value
        assert torch.allclose(weights(decayed)[name], expected, atol=1e-7), name
    assert kinds == {True, False}


def test_the_gradient_is_clipped(tmp_path: Path):
    batch = [[0, 1, 2, 3]]
    norms = {
        limit: fit(built(), config_of("classify", batch_size=4, max_grad_norm=limit), batch, tmp_path, epochs=1).norms
        for limit in (0, 0.25, 1e6)
    }
    assert norms[0.25] == [pytest.approx(0.25, rel=1e-3)]
    assert norms[0] == norms[1e6] and norms[0][0] > 0.3, "the gradient is longer than the limit, or nothing is shown"
    assert TuneConfig().max_grad_norm == 1.0


def test_a_schedule_without_warm_up_refuses_one():
    with pytest.raises(ConfigError) as error:
        TuneConfig.parse({"schedule": "constant", "warmup": 0.2}, "options")
    assert str(error.value) == (
        "options:\n  warmup: schedule = constant has no warm-up, found 0.2; leave it out, or take schedule = "
        "constant_with_warmup"
    )
    assert TuneConfig(schedule="constant").resolve().warmup == 0.0
    assert TuneConfig().resolve().warmup == TuneConfig(schedule="cosine").resolve().warmup == 0.1
    with pytest.raises(ConfigError, match="schedule: Input should be 'linear', 'cosine', 'constant'"):
        TuneConfig.parse({"schedule": "cosin"})
