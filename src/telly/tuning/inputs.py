"""Checks and descriptions of a run's data: data sets by split, metric, negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from telly.data.judged import JudgedQueries
from telly.data.readers import read, read_to_evaluate
from telly.data.schema import check_mapping
from telly.errors import ConfigError, DataError
from telly.runs.parts import SplitInfo
from telly.settings.config import ResolvedConfig
from telly.tasks.options import ContrastiveOptions
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
        schema, read_split = (task.schema.for_training(), read) if name == "train" else (task.schema, read_to_evaluate)
        dataset = read_split(source, schema, schema.fitting(config.columns), "validation" if name == "valid" else name)
        if not len(dataset):
            raise DataError(f"{source}: no examples; expected at least one for {name}")
        limit = limits[name]
        if limit is not None and limit < len(dataset):  # files are often sorted, so the first rows would be similar
            dataset = dataset.shuffle(seed=SUBSET_SEED).select(range(limit))
        datasets[name] = dataset
    return datasets


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


def check_dimensions(config: ResolvedConfig, embedding_size: int) -> None:
    """Check that Matryoshka dimensions are fewer than those of the model's embeddings.

    Raises:
        ConfigError: they are not; the text names both.
    """
    options = config.options
    largest = max(options.matryoshka, default=0) if isinstance(options, ContrastiveOptions) else 0
    if largest >= embedding_size:
        raise ConfigError(
            f"--matryoshka {largest}: embeddings of {config.model} have {embedding_size} dimensions, which are trained "
            "anyway; give less"
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
    candidates = len(dataset.documents) if isinstance(dataset, JudgedQueries) else None
    tokens = int(encoded.table.lengths.sum())
    return SplitInfo(len(dataset), len(encoded.table), tokens, encoded.fingerprint(), candidates)
