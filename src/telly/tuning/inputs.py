"""Checks and descriptions of a run's data: data sets by split, length limits, metric, negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from telly.data.readers import read
from telly.data.schema import check_mapping
from telly.errors import ConfigError, DataError
from telly.models.generation import architecture_of
from telly.models.stack import LayerStack
from telly.runs.parts import SplitInfo
from telly.settings.config import ResolvedConfig
from telly.tasks.training.base import AnyTask, Encoded

SUBSET_SEED = 0
"""Seed of the subset that a limit keeps. Not the run's seed, so that runs with several seeds read the same data."""


def load_datasets(config: ResolvedConfig, task: AnyTask) -> dict[str, Any]:
    """Read the run's data sets by split: the user's files, or the sample.

    Raises:
        ConfigError: a mapped name is not among the task's columns.
        DataError: a file is missing, malformed or empty.
    """
    sources = {"train": config.data, "valid": config.valid, "test": config.test}
    if config.data is None:
        sources = {name: str(path) for name, path in task.spec.sample.files().items()}
    check_mapping(task.schema.for_training(), config.columns)
    limits = {"train": config.limit, "valid": config.eval_limit, "test": config.eval_limit}
    datasets = {}
    for name, source in sources.items():
        if source is None:
            continue
        schema = task.schema.for_training() if name == "train" else task.schema
        dataset = read(source, schema, schema.fitting(config.columns), "validation" if name == "valid" else name)
        if not len(dataset):
            raise DataError(f"{source}: no examples; expected at least one for {name}")
        limit = limits[name]
        if limit is not None and limit < len(dataset):  # files are often sorted, so the first rows would be similar
            dataset = dataset.shuffle(seed=SUBSET_SEED).select(range(limit))
        datasets[name] = dataset
    return datasets


def fitting_lengths(config: ResolvedConfig, task: AnyTask, stack: LayerStack) -> dict[str, int]:
    """Reduce the length limits of the settings to the positions that the model has."""
    limit = stack.position_limit
    if limit is None:
        return config.max_tokens
    total = sum(config.max_tokens.values())
    if task.is_generative and architecture_of(stack.model.config).is_single_sequence and total > limit:
        return _in_proportion(config, limit)
    return {column: min(tokens, limit) for column, tokens in config.max_tokens.items()}


def check_lengths(config: ResolvedConfig, task: AnyTask, stack: LayerStack) -> None:
    """Check that no sequence is longer than the model has positions.

    Raises:
        ConfigError: a limit is above the number of positions; the text names the column and the limit.
    """
    limit = stack.position_limit
    if limit is None:
        return
    for column, tokens in config.max_tokens.items():
        if tokens > limit:
            raise ConfigError(
                f"max_tokens: {column} may have {tokens} tokens, and {config.model} has {limit} positions; "
                f"give --max-tokens {column}={limit} or less"
            )
    total = sum(config.max_tokens.values())
    if task.is_generative and architecture_of(stack.model.config).is_single_sequence and total > limit:
        limits = ", ".join(f"{column} {tokens}" for column, tokens in config.max_tokens.items())
        raise ConfigError(
            f"max_tokens: {limits}: prompt and answer are one sequence of up to {total} tokens, and {config.model} has "
            f"{limit} positions; give less with --max-tokens, such as {task_limits(config, limit)}"
        )


def task_limits(config: ResolvedConfig, limit: int) -> str:
    """Length limits that fit together, in the proportion of those in the settings."""
    return ", ".join(f"{column}={tokens}" for column, tokens in _in_proportion(config, limit).items())


def _in_proportion(config: ResolvedConfig, limit: int) -> dict[str, int]:
    total = sum(config.max_tokens.values())
    return {column: max(2, tokens * limit // total) for column, tokens in config.max_tokens.items()}


def check_metric(config: ResolvedConfig, task: AnyTask, train: Encoded) -> None:
    """Check that the metric of the settings can be computed on the data.

    Raises:
        ConfigError: it cannot; the text names the metrics that can.
    """
    metrics = task.metrics_of(train)
    if config.metric not in metrics:
        raise ConfigError(
            f"--metric {config.metric}: with {len(train.classes)} classes the data gives {', '.join(metrics)}; choose "
            "one of these"
        )


def check_negatives(
    contrasted: Mapping[str, npt.NDArray[np.int64]],
    batches: Sequence[npt.NDArray[np.int64]],
    hard_negatives: npt.NDArray[np.int64] | None = None,
) -> list[str]:
    """Find batches without negatives, from which a contrastive loss learns nothing.

    Args:
        contrasted: `Task.contrasted` of the training data.
        batches: example indices of every batch.
        hard_negatives: hard negatives per example, [examples]; None if there are none.

    Returns:
        one warning if some batches have no negatives; else none.

    Raises:
        ConfigError: no batch has negatives.
    """
    for name, values in contrasted.items():
        distinct = len(np.unique(values))
        if distinct < 2 and hard_negatives is None:
            raise ConfigError(
                f"data: all {len(values):,} training examples have the same {name}, so the contrastive loss has no "
                f"negatives and nothing is learnt; add examples with another {name}"
            )
    useless = sum(
        any((values[batch] == values[batch[0]]).all() for values in contrasted.values())
        and (hard_negatives is None or not hard_negatives[batch].any())
        for batch in batches
    )
    if not useless:
        return []
    reason = f"all examples have the same {' or the same '.join(contrasted)}, so the loss has no negatives there"
    if useless == len(batches):
        raise ConfigError(
            f"--batch-size {len(batches[0])}: in every batch {reason} and nothing is learnt; give a larger "
            "--batch-size, or more different examples"
        )
    return [
        f"train: in {useless:,} of {len(batches):,} batches of the first epoch {reason} and these teach nothing; a "
        "larger --batch-size or more different examples help"
    ]


def describe(dataset: Any, encoded: Encoded) -> SplitInfo:
    """Size and identity of a split, for the record."""
    return SplitInfo(len(dataset), len(encoded.table), int(encoded.table.lengths.sum()), encoded.fingerprint())
