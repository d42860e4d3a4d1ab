"""Translation of a run's settings into `TrainingArguments`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from telly.errors import ConfigError
from telly.metrics.table import METRICS
from telly.processes import WAIT_SECONDS
from telly.settings.config import ResolvedConfig
from telly.training.arguments import trainer_arguments
from telly.tuning.session import Run

LOG_STEPS = 10


def training_arguments(run: Run) -> TrainingArguments:
    """Make the Trainer's arguments from a run's settings; sets up the process group, if there is one.

    Raises:
        ConfigError: the batch size is not a multiple of the number of processes.
    """
    config = run.config
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if config.batch_size % processes:
        raise ConfigError(f"--batch-size {config.batch_size} must be a multiple of {processes} processes")
    return arguments_of(
        config,
        run.folder.checkpoints,
        processes,
        report_to=config.report_to,
        num_train_epochs=float(config.epochs),
        ddp_backend="gloo" if processes > 1 and not torch.cuda.is_available() else None,
        ddp_find_unused_parameters=config.k is None,  # the pooler of a bare encoder gets no gradient
        ddp_timeout=WAIT_SECONDS,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        restore_callback_states_from_checkpoint=True,  # early stopping continues to count
        metric_for_best_model=config.metric,
        greater_is_better=METRICS[config.metric].greater_is_better,
        logging_steps=LOG_STEPS,
    )


def arguments_of(config: ResolvedConfig, folder: Path, processes: int = 1, **settings: Any) -> TrainingArguments:
    """Make the Trainer's arguments from the settings that runs and pilots share: batches, optimizer and schedule.

    Args:
        config: the settings.
        folder: folder of checkpoints.
        processes: number of processes that share a batch.
        settings: everything else that `TrainingArguments` takes.
    """
    return trainer_arguments(
        folder,
        batch_size=config.batch_size // processes,
        learning_rate=config.learning_rate,
        bf16=config.precision == "bf16",
        seed=config.seed,
        gradient_accumulation_steps=config.accumulation,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup,  # a number below 1 is a fraction of all steps
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        **settings,
    )
