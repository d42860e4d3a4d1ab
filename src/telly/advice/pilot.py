"""Pilots: a variant tuned for a few steps and scored, and what base's pilot changed in every layer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import TrainingArguments, set_seed

from telly.analysis.layers import ExtractionRequest, LayerExtractor
from telly.analysis.similarity import rsa
from telly.data.batching import LengthBucketBatchSampler
from telly.errors import DataError
from telly.freezing.fingerprint import prefix_digests
from telly.freezing.split import SplitModel
from telly.freezing.variants import parse_freeze
from telly.metrics.interval import Statistic
from telly.metrics.kept import restored
from telly.models.declared import check_pooling
from telly.models.load import load_model, load_tokenizer
from telly.models.prefix_lm import PrefixLM
from telly.models.stack import find_stack
from telly.settings.config import ResolvedConfig
from telly.tasks import get_task
from telly.tasks.base import Encoded
from telly.training.progress import ProgressBar, counting_bar
from telly.training.trainer import TellyTrainer
from telly.tuning.caches import Sources, open_sources
from telly.tuning.inputs import check_lengths, check_metric

STEPS = 12
"""Of a pilot, at least; batches are made smaller for that."""
MIN_BATCH = 4
TEXTS = 300
"""Sequences that layers are compared on."""
MIN_TEXTS = 50


@dataclass(frozen=True)
class Pilot:
    """What came of tuning a variant for a few steps.

    Attributes:
        variant: `base` or K.
        score: of the metric on the validation examples.
        statistic: the same in a form to resample; None where the metric has none.
        train_seconds: of its steps.
        seconds: of all of it: loading, frozen layers, steps, scoring.
    """

    variant: str
    score: float
    statistic: Statistic | None
    train_seconds: float
    seconds: float


class Pilots:
    """Runs pilots of one model on the same examples; their stores lie in one folder, each made from the one below.

    Args:
        config: resolved settings of the run to come.
        train: examples to tune on.
        valid: examples to score on.
        root: a folder for stores, which the caller removes.

    Raises:
        DataError, ConfigError: the data does not fit the task, or gives too few distinct texts.
    """

    def __init__(self, config: ResolvedConfig, train: Any, valid: Any, root: Path) -> None:
        batch = max(MIN_BATCH, min(config.batch_size, len(train) // STEPS))
        self.config = config.model_copy(update={"batch_size": batch, "cache_dir": root, "cache_always": config.cache})
        self.task = get_task(config.task)
        self.root = root
        if not self.task.is_generative:
            check_pooling(config.model)
        self._tokenizer = load_tokenizer(config.model)
        self._datasets = {"train": train, "valid": valid}
        self._data: dict[str, Encoded] = {}
        self._digests: Sequence[str] = ()

    def run_reference(self, variant: str) -> tuple[Pilot, list[float]]:
        """Tune the variant that others are compared with, and say how similar every layer is to what it was.

        Returns:
            the pilot, and the similarity (RSA, Pearson) of embeddings and every layer.
        """
        started = time.perf_counter()
        model = self._model()
        before = self._states("layers before the pilot", model)
        pilot = self._tuned(model, variant, started)
        after = self._states("layers after the pilot", model)
        return pilot, [rsa(x, y).pearson for x, y in zip(before, after, strict=True)]

    def run(self, variant: str) -> Pilot:
        """Tune a variant, from the store if its layers are frozen."""
        started = time.perf_counter()
        return self._tuned(self._model(), variant, started)

    @property
    def train(self) -> Encoded:
        """The examples to tune on; after the first pilot."""
        return self._data["train"]

    def _model(self) -> nn.Module:
        config = self.config
        set_seed(config.seed)
        model = load_model(config.model, seed=config.seed, is_generative=self.task.is_generative)
        if not self._data:
            check_lengths(config, self.task, find_stack(model))
            self._data = self.task.encode(self._datasets, self._tokenizer, config.max_tokens, model.config)
            check_metric(config, self.task, self._data["train"])
            self._digests = prefix_digests(find_stack(model))
        device: nn.Module = model.to("cuda" if torch.cuda.is_available() else "cpu")
        return device

    def _states(self, title: str, model: nn.Module) -> tuple[torch.Tensor, ...]:
        """Pooled states of some sequences, by layer, [texts, hidden] each."""
        inner = model.encoder if isinstance(model, PrefixLM) else model
        (states,) = LayerExtractor(self.root, counting_bar).states(
            title, find_stack(inner.eval()), self._tokenizer, [ExtractionRequest(self._sequences())]
        )
        return states.unbind(dim=1)

    def _sequences(self) -> list[list[int]]:
        """Distinct sequences of the longest column, which is that of code.

        Raises:
            DataError: there are too few.
        """
        train = self.train
        rows = max(train.rows.values(), key=lambda rows: float(train.table.lengths[rows].mean()))
        distinct = np.unique(rows)[:TEXTS]
        if len(distinct) < MIN_TEXTS:
            raise DataError(
                f"{len(distinct)} distinct texts among {len(train)} examples: at least {MIN_TEXTS} are needed to "
                "tell what tuning changes. Give K yourself, or more data"
            )
        return [train.table[int(row)].tolist() for row in distinct]

    def _tuned(self, model: nn.Module, variant: str, started: float) -> Pilot:
        config, data = self.config.model_copy(update={"freeze": parse_freeze(variant)}), self._data
        split = SplitModel(model, config.k)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            module = self.task.build(split, data["train"], config.options)
        module.to(next(model.parameters()).device)
        sources = open_sources(config, split, data, self._tokenizer.pad_token_id, self._digests, _say_nothing)
        seconds = self._train(config, module, sources)
        score, statistic = self._score(config, module.eval(), sources)
        return Pilot(variant, score, statistic, seconds, time.perf_counter() - started)

    def _train(self, config: ResolvedConfig, module: nn.Module, sources: Sources) -> float:
        """One epoch; returns its seconds."""
        train, source = self.train, sources.by_split["train"]
        sampler = LengthBucketBatchSampler(
            train.lengths,
            config.batch_size,
            seed=config.seed,
            drop_last=True,
            pairs=train.pairs if config.shared_batches else None,
        )
        trainer = TellyTrainer(
            module,
            self._arguments(config),
            batch_sampler=sampler,
            collate=lambda numbers: self.task.collate(source, train, numbers, (config.seed, sampler.epoch)),
            callbacks=[ProgressBar(f"pilot, {config.variant}")],
        )
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started

    def _arguments(self, config: ResolvedConfig) -> TrainingArguments:
        return TrainingArguments(
            output_dir=str(self.root / "trainer"),
            num_train_epochs=1.0,
            per_device_train_batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            warmup_steps=config.warmup,
            weight_decay=0.0,
            bf16=config.precision == "bf16",
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=config.seed,
            remove_unused_columns=False,
        )

    def _score(self, config: ResolvedConfig, module: nn.Module, sources: Sources) -> tuple[float, Statistic | None]:
        """The metric on the validation examples; what has to be chosen first is chosen on the training examples."""
        device = next(module.parameters()).device.type
        autocast = torch.autocast(device, torch.bfloat16, enabled=config.precision == "bf16")
        name = config.metric
        self.task.fit_threshold(module, sources.by_split["train"], self.train, autocast)
        # Text is written greedily, as after every epoch of a run.
        found = self.task.evaluate(
            module, sources.by_split["valid"], self._data["valid"], autocast, final=not self.task.is_generative
        )
        rows = found.per_example.get(name)
        return found.metrics[name], None if rows is None else restored(name, rows)


def _say_nothing(_: str) -> None:
    """The run itself tells about its stores; a pilot's are gone afterwards."""
