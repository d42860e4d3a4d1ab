"""Throughput of pre-training: tokens per second, and the fraction of the measured matrix-product rate."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainingArguments

from telly.pretraining.batches import NOT_PREDICTED

RATE_SIZE = 2048
RATE_REPEATS = 5


def matrix_product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of large square matrix products: the best of some runs."""
    a, b = (torch.randn(RATE_SIZE, RATE_SIZE, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(RATE_REPEATS + 1):  # the first repeat is a warm-up
        started = time.perf_counter()
        product = a @ b
        float(product[0, 0])  # reading a value waits for an accelerator
        best = max(best, 2 * RATE_SIZE**3 / (time.perf_counter() - started))
    return best


class Throughput(TrainerCallback):  # type: ignore[misc]
    """Counter of the work between two log entries, which adds `tokens_per_second` and `flops` to the entry.

    Operations are those of the matrix products of forward and backward pass: six per weight of a block and token,
    twelve per layer, hidden dimension and pair of attending tokens, and six per weight of the output layer and
    predicted token. Padding does not count as work.

    Args:
        objective: the model in training; its forward passes are counted.
        config: the model's configuration.
    """

    def __init__(self, objective: nn.Module, config: Any) -> None:
        hidden, layers = config.hidden_size, config.num_hidden_layers
        self._flops_per_token = 6 * layers * (4 * hidden**2 + 2 * hidden * config.intermediate_size)
        self._flops_per_pair = 12 * layers * hidden
        self._flops_per_label = 6 * hidden * config.vocab_size
        self._tokens = self._flops = 0.0
        self._started = time.perf_counter()
        objective.register_forward_pre_hook(self._count, with_kwargs=True)

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self._restart()

    def on_evaluate(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Restart the clock, so that the time of the evaluation does not count."""
        self._restart()

    def on_log(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the rates of the steps since the last entry into the new one."""
        if "loss" not in kwargs["logs"] or not self._tokens:
            return
        seconds = time.perf_counter() - self._started
        state.log_history[-1] |= {"tokens_per_second": self._tokens / seconds, "flops": self._flops / seconds}
        self._restart()

    def _restart(self) -> None:
        self._tokens = self._flops = 0.0
        self._started = time.perf_counter()

    def _count(self, module: nn.Module, args: tuple[Any, ...], batch: dict[str, torch.Tensor]) -> None:
        if not module.training:
            return
        lengths = torch.cat([batch[name].sum(dim=-1) for name in ("attention_mask", "docstring_mask") if name in batch])
        tokens = int(lengths.sum())
        labels = (
            0
            if not module.token_weight
            else sum(int((batch[n] != NOT_PREDICTED).sum()) for n in ("labels", "docstring_labels") if n in batch)
        )
        self._tokens += tokens
        self._flops += self._flops_per_token * tokens + self._flops_per_pair * int((lengths**2).sum())
        self._flops += self._flops_per_label * labels
