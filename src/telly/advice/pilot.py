"""Pilots: variants tuned for a few steps and scored, and the change of every layer by the reference's pilot."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from telly.analysis.layers import ExtractionRequest, LayerExtractor
from telly.analysis.similarity import rsa
from telly.errors import DataError
from telly.freezing.variants import Variant
from telly.metrics.interval import Statistic
from telly.metrics.per_example import statistic_from_rows
from telly.models.prefix_lm import checkpoint_part
from telly.models.stack import find_stack
from telly.settings.config import ResolvedConfig
from telly.tasks.training.base import Encoded
from telly.training.progress import ProgressBar, counting_bar
from telly.tuning.arguments import arguments_of
from telly.tuning.caches import BatchSources, choose_cache, open_sources
from telly.tuning.job import Inputs, Job, evaluate, prepare, train

STEPS = 12
"""Minimum number of steps of a pilot; batches are made smaller for that, and fewer are accumulated."""
MIN_BATCH = 4
MAX_TEXTS = 300
"""Maximum number of sequences that layers are compared on."""
MIN_TEXTS = 50


@dataclass(frozen=True)
class Pilot:
    """Result of tuning a variant for a few steps.

    Attributes:
        k: number of frozen layers; None for base.
        score: the metric on the validation examples.
        statistic: the same per example, for resampling; None if the metric cannot be resampled.
        train_seconds: time of its steps.
        seconds: total time: loading, frozen layers, steps, scoring.
        trainable: trained parameters, head included.
    """

    k: int | None
    score: float
    statistic: Statistic | None
    train_seconds: float
    seconds: float
    trainable: int = 0


class Pilots:
    """Runs pilots of one model on the same examples.

    Their activation caches are in one folder, each derived from the one below. The method of the settings (LoRA, say)
    is applied in every pilot, as in the run to come.

    Args:
        config: settings of the run to come.
        train: examples to tune on.
        valid: examples to score on.
        root: folder for activation caches, which the caller removes.
    """

    def __init__(self, config: ResolvedConfig, train: Any, valid: Any, root: Path) -> None:
        batch = max(MIN_BATCH, min(config.batch_size, len(train) // STEPS))
        accumulation = max(1, min(config.accumulation, len(train) // (batch * STEPS)))
        changes = {"batch_size": batch, "accumulation": accumulation, "cache_dir": root, "cache_always": config.cache}
        self.config = config.model_copy(update=changes)
        self.root = root
        self._teacher_dir = config.cache_dir  # its embeddings outlive the pilots: the run reads them
        self._datasets = {"train": train, "valid": valid}
        self._inputs: Inputs | None = None

    def run_reference(self, k: int | None) -> tuple[Pilot, list[float]]:
        """Tune the variant that others are compared with.

        Returns:
            the pilot, and the similarity (RSA, Pearson) of embeddings and every layer before and after tuning.

        Raises:
            DataError, ConfigError: the data does not fit the task, or has too few distinct texts.
        """
        started = time.perf_counter()
        job = self._job(k)
        # Adapters change nothing before they are trained, so these are the pre-trained model's states.
        before = self._states("layers before the pilot", job)
        pilot = self._tuned(job, started)
        after = self._states("layers after the pilot", job)
        return pilot, [rsa(x, y).pearson for x, y in zip(before, after, strict=True)]

    def run(self, k: int | None) -> Pilot:
        """Tune a variant, from the activation cache if its layers are frozen."""
        started = time.perf_counter()
        return self._tuned(self._job(k), started)

    def _job(self, k: int | None) -> Job:
        config = self.config.model_copy(update={"freeze": Variant(k).freeze})
        job = prepare(config, datasets=self._datasets, inputs=self._inputs, teacher_dir=self._teacher_dir)
        self._inputs = job.inputs
        return job

    def _states(self, title: str, job: Job) -> tuple[torch.Tensor, ...]:
        """Pooled states of some sequences, by layer, [texts, hidden] each."""
        stack = find_stack(checkpoint_part(job.split.model).eval())
        request = ExtractionRequest(_distinct_sequences(job.train))
        (states,) = LayerExtractor(self.root, counting_bar).states(title, stack, job.inputs.tokenizer, [request])
        return states.unbind(dim=1)

    def _tuned(self, job: Job, started: float) -> Pilot:
        sources = open_sources(job, choose_cache(job))
        seconds = self._train(job, sources)
        score, statistic = _score(job, sources)
        seconds_in_all = time.perf_counter() - started
        return Pilot(job.config.k, score, statistic, seconds, seconds_in_all, job.plan.trainable)

    def _train(self, job: Job, sources: BatchSources) -> float:
        """Train for one epoch; returns its seconds."""
        config = job.config
        arguments = arguments_of(
            config, self.root / "trainer", num_train_epochs=1.0, save_strategy="no", logging_strategy="no"
        )
        started = time.perf_counter()
        train(job, sources.by_split["train"], arguments, callbacks=[ProgressBar(f"pilot, {config.variant}")])
        return time.perf_counter() - started


def _distinct_sequences(train: Encoded) -> list[list[int]]:
    """Distinct sequences of the longest column, which is that of code.

    Raises:
        DataError: there are too few distinct sequences.
    """
    rows = max(train.rows.values(), key=lambda rows: float(train.table.lengths[rows].mean()))
    distinct = np.unique(rows)[:MAX_TEXTS]
    if len(distinct) < MIN_TEXTS:
        raise DataError(
            f"{len(distinct)} distinct texts among {len(train)} examples: at least {MIN_TEXTS} are needed to "
            "measure what tuning changes. Give K yourself, or more data"
        )
    return [train.table[int(row)].tolist() for row in distinct]


def _score(job: Job, sources: BatchSources) -> tuple[float, Statistic | None]:
    """The metric on the validation examples; a threshold is fitted on the training examples."""
    name = job.config.metric
    # Text is generated greedily, as after every epoch of a run.
    final = not job.task.is_generative
    result = evaluate(job, sources.by_split, "valid", final=final, fit_on="train")
    rows = result.per_example.get(name)
    return result.metrics[name], None if rows is None else statistic_from_rows(name, rows)
