"""Settings of the Hugging Face Trainer that runs, pilots and pre-training share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments


def trainer_arguments(
    folder: Path,
    *,
    batch_size: int,
    learning_rate: float,
    bf16: bool,
    seed: int,
    report_to: Sequence[str] = (),
    **settings: Any,
) -> TrainingArguments:
    """The Trainer's settings for `TellyTrainer`.

    Args:
        folder: folder of checkpoints.
        batch_size: examples per batch and process.
        learning_rate: highest learning rate of the schedule.
        bf16: compute under bf16 autocast.
        seed: seed of dropout and of the data order.
        report_to: trackers.
        settings: everything else that `TrainingArguments` takes.
    """
    gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        bf16=bf16,
        seed=seed,
        report_to=list(report_to),
        use_cpu=not gpu,
        dataloader_pin_memory=gpu,
        logging_nan_inf_filter=False,  # a loss that is not finite must be seen, not averaged away
        disable_tqdm=True,  # `ProgressBar` takes its place
        remove_unused_columns=False,  # a data set of indices has no columns
        **settings,
    )
