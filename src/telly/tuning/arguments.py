"""Translation of a run's settings into `TrainingArguments`."""

from __future__ import annotations

import os

import torch
from transformers import TrainingArguments

from telly.errors import ConfigError
from telly.metrics.table import METRICS
from telly.processes import WAIT_SECONDS
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
    return trainer_arguments(
        run.folder.checkpoints,
        batch_size=config.batch_size // processes,
        learning_rate=config.learning_rate,
        bf16=config.precision == "bf16",
        seed=config.seed,
        report_to=config.report_to,
        num_train_epochs=float(config.epochs),
        warmup_steps=config.warmup,
        weight_decay=0.0,
        lr_scheduler_type="linear",
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
