"""What an epoch of a run would read and what its variants cost; encodes the data, loads no weights."""

from __future__ import annotations

from pathlib import Path

from telly.data.batching import LengthBucketBatchSampler
from telly.data.readers import read
from telly.data.sample import sample_files
from telly.errors import ConfigError
from telly.freezing.cost import VariantCost, Workload, measure_flops, plan_costs
from telly.freezing.variants import Method
from telly.models.load import load_config, load_tokenizer, shape_of
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.tasks import get_task
from telly.tasks.base import Encoded, Options

SAMPLE = "sample"
PASSES = {Method.FULL: 1.0, Method.LORA: 2 / 3, Method.IA3: 2 / 3, Method.BITFIT: 2 / 3, Method.HEAD_ONLY: 0.0}
"""Share of full training's operations in a layer above K. Where its weights are frozen, their gradient is left out:
that leaves the forward and the gradient of the states, two of three. Adapters and the head are small and left out."""


def variant_costs(config: TuneConfig, data: str | None) -> list[VariantCost]:
    """What base and every K of the settings' model and task train and, with data, take on this machine.

    Args:
        config: the settings; what is open is resolved as a run would.
        data: training data as `telly tune` takes it, or `sample`; None leaves out the estimates.

    Raises:
        DataError, ConfigError: as `workload`.
        ModelError: there is no such model, or its layers cannot be found.
    """
    return costs_of(config, workload(config, data) if data else None)


def costs_of(config: TuneConfig, work: Workload | None) -> list[VariantCost]:
    """What base and every K train and, with a workload, take on this machine."""
    task = get_task(config.task)
    stack = shape_of(config.model, is_generative=task.is_generative)
    hidden = int(stack.model.config.hidden_size)  # type: ignore[union-attr,arg-type]
    head = task.head(hidden, 2, Options(head=config.head or task.preset.head))
    head_parameters = sum(p.numel() for p in head.parameters()) if head else 0
    rate = measure_flops(hidden) if work else None
    return plan_costs(stack, work, rate, head_parameters=head_parameters)


def workload(config: TuneConfig, data: str) -> Workload:
    """Tokens that an epoch of `telly tune` with these settings reads.

    Args:
        config: the settings; what is open is resolved as a run would.
        data: training data as `telly tune` takes it, or `sample`.

    Raises:
        DataError: the data cannot be read.
        ConfigError: the data does not fill one batch.
    """
    config = config.resolve()
    task = get_task(config.task)
    source = str(sample_files(config.task)["train"]) if data == SAMPLE and not Path(data).exists() else data
    datasets = {"train": read(source, task.schema, config.columns, "train", config.limit)}
    tokenizer, model_config = load_tokenizer(config.model), load_config(config.model)
    return workload_of(config, task.encode(datasets, tokenizer, config.max_tokens, model_config)["train"])


def workload_of(config: ResolvedConfig, encoded: Encoded) -> Workload:
    """Tokens that an epoch reads of encoded training data.

    Args:
        config: resolved settings.
        encoded: the data.

    Raises:
        ConfigError: the data does not fill one batch.
    """
    lengths = {column: encoded.table.lengths[rows] for column, rows in encoded.rows.items()}
    try:
        pairs = encoded.pairs if config.shared_batches else None
        sampler = LengthBucketBatchSampler(
            encoded.lengths, config.batch_size, seed=config.seed, drop_last=True, pairs=pairs
        )
    except ValueError as error:
        raise ConfigError(f"--batch-size: {error}") from None
    batches = sampler.global_batches()
    padded = [encoded.batch_tokens(batch) for batch in batches]
    tokens = sum(int(column.sum()) for column in lengths.values())
    return Workload(
        tokens=sum(padded),
        stored_tokens=int(encoded.table.lengths.sum()),
        batch_tokens=max(padded),
        mean_length=tokens / (len(lengths) * len(encoded)),
    )


def training_seconds(cost: VariantCost, config: ResolvedConfig, stored: int = 0, layers: int = 0) -> float:
    """All epochs of training, and the frozen layers' single run; evaluation and start-up are not in it.

    Args:
        cost: the variant's, with a workload.
        config: resolved settings; the store counts if they do not rule it out.
        stored: the highest K whose states are on disk already.
        layers: the model's, all of which run once where the head is trained alone.
    """
    assert cost.epoch_seconds is not None
    epochs, whole = config.epochs, config.method is Method.HEAD_ONLY
    k = layers if whole else cost.k
    top = cost.epoch_seconds if cost.epoch_seconds_cached is None else cost.epoch_seconds_cached
    bottom = top / 3 if whole else cost.epoch_seconds - top  # the forward alone
    top *= PASSES[config.method]
    if k is None or not config.cache:
        return epochs * (bottom + top)
    return bottom * (k - min(stored, k)) / max(1, k) + epochs * top
