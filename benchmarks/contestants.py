"""The variants that are compared, ready to take training steps.

All train telly's code search model on the same batches with the same optimizer (fused AdamW over what is trained).
They differ in what is trained and where a batch comes from:

- full: every parameter.
- LoRA: PEFT's adapters, r=8, on the attention's query and value of all layers; the named peer.
- K LoRA: the same adapters in the layers that Telly-K trains, K and above, and all else frozen.
- frozen: embeddings and layers below K frozen, and run in every step.
- cached: the same, but frozen layers ran once, and steps read their states from the activation cache.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from benchmarks.shapes import Load
from telly.freezing.build import CacheRequest, build_cache
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.freezing.states import StateDtype
from telly.inference.encoder import PlainEncoder
from telly.models.load import load_config, load_model
from telly.tasks import get_task
from telly.tasks.options import ContrastiveOptions
from telly.tasks.training.retrieval import RetrievalModel

LORA_RANK = 8
LORA_TARGETS = ("query", "value")
LEARNING_RATE = 2e-5
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Variant:
    """Full, LoRA in all layers or in those from K on, frozen at K, or cached at K."""

    kind: str
    k: int | None = None

    @property
    def name(self) -> str:
        """As the results and the table call it."""
        return self.kind if self.k is None else f"K={self.k} {self.kind}"


FULL, LORA = Variant("full"), Variant("LoRA")


def variants(depths: Sequence[int]) -> list[Variant]:
    """Full and LoRA, then LoRA, frozen and cached at every K."""
    return [FULL, LORA, *(Variant(kind, k) for k in depths for kind in ("LoRA", "frozen", "cached"))]


@dataclass(frozen=True)
class Setting:
    """What is the same for all variants of a comparison.

    Attributes:
        folder: the model.
        precision: `fp32`, or `bf16`, which is autocast over fp32 weights.
        load: what a step reads.
        work: a folder for activation caches and released weights.
        state_dtype: precision of cached states; telly's default.
    """

    folder: Path
    precision: str
    load: Load
    work: Path
    state_dtype: StateDtype = StateDtype.BF16


@dataclass(frozen=True)
class Step:
    """One training step.

    Attributes:
        seconds: fetching the batch, forward, loss, backward, optimizer and clearing the gradients.
        waiting: the part of it in which the batch was fetched: padded from tokens, or read from the activation cache.
        loss: before the update.
    """

    seconds: float
    waiting: float
    loss: float


class Contestant:
    """A variant's model, optimizer and source of batches; a cached one has built its cache and released its prefix.

    Everything runs on the CPU, where a call returns when its work is done, so clocks need no synchronising.
    """

    def __init__(self, variant: Variant, setting: Setting) -> None:
        self.variant = variant
        self._load = setting.load
        config = load_config(str(setting.folder))
        self._data = setting.load.encoded(config.vocab_size)
        self._source = RowSource(self._data.table, config.pad_token_id)
        self.model = RetrievalModel(self._encoder(setting), ContrastiveOptions(temperature=0.05)).train()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.trained = sum(p.numel() for p in trained)
        self._optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, fused=True)
        self._autocast = torch.autocast("cpu", torch.bfloat16, enabled=setting.precision == "bf16")
        self._taken = 0

    def _encoder(self, setting: Setting) -> Any:
        model: nn.Module = load_model(str(setting.folder))
        if self.variant.kind == LORA.kind:
            layers = None if self.variant.k is None else list(range(self.variant.k, model.config.num_hidden_layers))
            adapters = LoraConfig(r=LORA_RANK, target_modules=list(LORA_TARGETS), layers_to_transform=layers)
            with warnings.catch_warnings():  # PEFT reads an attribute that transformers is renaming
                warnings.simplefilter("ignore", FutureWarning)
                return PlainEncoder(get_peft_model(model, adapters))
        split = SplitModel(model, self.variant.k)
        if self.variant.kind == "cached":
            request = CacheRequest(
                split,
                self._data.table,
                self._source.pad_id,
                setting.work / "activations",
                setting.state_dtype,
                setting.precision == "bf16",
            )
            self._source.cache = build_cache(request).cache
            split.release_prefix(setting.work / f"prefix-{setting.precision}-{self.variant.k}.safetensors")
        return split

    def step(self) -> Step:
        """Take the next training step. The seed is its number, so variants with the same dropout draw the same."""
        torch.manual_seed(self._taken)
        started = time.perf_counter()
        batch = get_task("search").collate(self._source, self._data, self._load.numbers(self._taken))
        waiting = time.perf_counter() - started
        with self._autocast:
            loss = self.model(**batch)["loss"]
        loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
        seconds = time.perf_counter() - started
        self._taken += 1
        return Step(seconds, waiting, loss.item())
