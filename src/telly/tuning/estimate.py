"""Estimates before a run: workload of an epoch and costs of every variant. Encodes data, loads no weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from telly.data.batching import LengthBucketBatchSampler
from telly.data.readers import read
from telly.errors import ConfigError
from telly.freezing.cost import (
    ADAM_COPIES,
    BYTES_FP32,
    PROCESS_BYTES,
    VariantCost,
    Workload,
    measure_flops,
    plan_costs,
)
from telly.freezing.methods import count_trained, train_modules
from telly.freezing.plan import variants_of
from telly.freezing.variants import Method
from telly.models.embedding import EmbeddingHead
from telly.models.embedding_folder import load_embedding_tokenizer
from telly.models.load import load_config, shape_of
from telly.models.stack import LayerStack
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.settings.embeddings import embedding_config, prompts_of
from telly.tasks import get_spec, get_task
from telly.tasks.training.base import Encoded

SAMPLE = "sample"
PASSES = {Method.FULL: 1.0, Method.LORA: 2 / 3, Method.IA3: 2 / 3, Method.BITFIT: 2 / 3, Method.HEAD_ONLY: 0.0}
"""Operations in a layer above K relative to full training. If its weights are frozen, their gradient is not computed,
which leaves the forward and the gradient of the states: two of three. Adapters and head are small and neglected."""


def variant_costs(config: TuneConfig, data: str | None) -> list[VariantCost]:
    """Trained parameters of base and every K and, with data, time and memory on this machine.

    Args:
        config: the settings; open ones are resolved as a run would.
        data: training data as `telly tune` takes it, or `sample`; None leaves out the estimates.

    Raises:
        DataError, ConfigError: as `workload`.
        ModelError: there is no such model, or its layers cannot be found.
    """
    return costs_of(config, workload(config, data) if data else None)


def costs_of(config: TuneConfig, work: Workload | None) -> list[VariantCost]:
    """Trained parameters of base and every K and, with a workload, time and memory on this machine."""
    stack = _shape(config)
    rate = measure_flops(stack.hidden_size) if work else None
    return plan_costs(stack, work, rate, head_parameters=_head_parameters(config, stack))


def trained_parameters(config: TuneConfig) -> dict[int | None, int]:
    """Number of parameters that the settings' method trains, head included, for base and every K.

    Raises:
        ConfigError, PlanError: the method does not fit the model.
    """
    stack = _shape(config)
    head = _head_parameters(config, stack)
    return {k: head + count_trained(stack, k, config.method, config.lora) for k in variants_of(len(stack))}


def _shape(config: TuneConfig) -> LayerStack:
    return shape_of(config.model, is_generative=get_task(config.task).is_generative)


def _head_parameters(config: TuneConfig, stack: LayerStack) -> int:
    """Number of parameters trained beside the model: those of the modules after the pooling, and of the task's head."""
    task, size = get_task(config.task), stack.hidden_size
    embedding = embedding_config(config.model, task.spec, config.options)
    parameters: list[nn.Parameter] = []
    if embedding is not None:
        with torch.device("meta"):
            modules = EmbeddingHead(embedding, size)
        train_modules(modules, config.method)
        parameters += modules.parameters()
        size = modules.embedding_size
    head = task.head(size, 2, config.options)
    parameters += head.parameters() if head else []
    return sum(p.numel() for p in parameters if p.requires_grad)


def workload(config: TuneConfig, data: str) -> Workload:
    """Count the tokens that an epoch of `telly tune` with these settings reads.

    Args:
        config: the settings; open ones are resolved as a run would.
        data: training data as `telly tune` takes it, or `sample`.

    Raises:
        DataError: the data cannot be read.
        ConfigError: the data does not fill one batch.
    """
    config = config.resolve()
    task = get_task(config.task)
    source = str(task.spec.sample.files()["train"]) if data == SAMPLE and not Path(data).exists() else data
    dataset = read(source, task.schema.for_training(), config.columns, "train", config.limit)
    return workload_of(config, encode_training_data(config, dataset))


def encode_training_data(config: ResolvedConfig, dataset: Any) -> Encoded:
    """Encode training data as a run with these settings does.

    Raises:
        ModelError: the tokenizer cannot be loaded, or the model's folder declares what telly does not apply.
        ConfigError: a limit leaves no room for text.
    """
    task = get_task(config.task)
    embedding = embedding_config(config.model, task.spec, config.options)
    tokenizer, prompts = load_embedding_tokenizer(config.model, embedding), prompts_of(embedding, task.spec)
    encoded: dict[str, Encoded] = task.encode(
        {"train": dataset}, tokenizer, config.max_tokens, load_config(config.model), prompts
    )
    return encoded["train"]


def workload_of(config: ResolvedConfig, encoded: Encoded) -> Workload:
    """Count the tokens that an epoch reads of encoded training data.

    Args:
        config: resolved settings.
        encoded: the data.

    Raises:
        ConfigError: the data does not fill one batch.
    """
    try:
        pairs = encoded.pairs if get_spec(config.task).shares_texts(config.options) else None
        sampler = LengthBucketBatchSampler(
            encoded.lengths, config.batch_size, seed=config.seed, drop_last=True, pairs=pairs
        )
    except ValueError as error:
        raise ConfigError(f"--batch-size: {error}") from None
    batches = sampler.global_batches()
    padded = [encoded.batch_tokens(batch) for batch in batches]
    chunk_size: int | None = getattr(config.options, "chunk_size", None)
    chunk = max(padded) if chunk_size is None else chunk_size * int(encoded.lengths.max())
    return Workload(
        tokens=sum(padded),
        distinct_tokens=int(encoded.table.lengths.sum()),
        batch_tokens=min(max(padded), chunk),
        runs_twice=chunk_size is not None and chunk_size < config.batch_size,
        mean_length=float(encoded.table.lengths[encoded.reads].mean()),
    )


def training_seconds(cost: VariantCost, config: ResolvedConfig, cached_k: int = 0, layers: int = 0) -> float:
    """Predict the time of all epochs, and of the single run of the frozen layers; without evaluation and start-up.

    Args:
        cost: the variant's cost, with a workload.
        config: the run's settings; the activation cache counts unless they switch it off.
        cached_k: the highest K whose states are on disk already.
        layers: number of layers of the model, all of which run once if only the head is trained.
    """
    assert cost.epoch_seconds is not None
    epochs, whole = config.epochs, config.method is Method.HEAD_ONLY
    k = layers if whole else cost.k
    suffix = cost.epoch_seconds if cost.epoch_seconds_cached is None else cost.epoch_seconds_cached
    # Where all layers are frozen, they only run forward: a third of the time that training them would take.
    prefix = suffix / 3 if whole else cost.epoch_seconds - suffix
    suffix *= PASSES[config.method]
    if k is None or not config.cache:
        return epochs * (prefix + suffix)
    # Layers below `cached_k` do not run again: their states are read from the cache on disk.
    return prefix * (k - min(cached_k, k)) / max(1, k) + epochs * suffix


def peak_memory(cost: VariantCost, base: VariantCost, config: ResolvedConfig) -> int:
    """Peak memory of a run in bytes. Frozen weights have no gradient and no moments, also those above K.

    Args:
        cost: cost of the variant, with a workload.
        base: cost of training all weights.
        config: the run's settings.
    """
    peak = cost.peak_bytes_cached if config.cache and cost.peak_bytes_cached is not None else cost.peak_bytes
    assert peak is not None
    if config.method is Method.FULL:
        return peak
    weights = PROCESS_BYTES + base.trainable * BYTES_FP32
    if config.method is Method.HEAD_ONLY:
        return weights
    return max(weights, peak - cost.trainable * BYTES_FP32 * ADAM_COPIES)
