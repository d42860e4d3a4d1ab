"""What a run hands to the Trainer: its settings in the Trainer's terms, and the order of the training examples."""

from __future__ import annotations

import os

import torch
from transformers import TrainingArguments

from telly.data.batching import LengthBucketBatchSampler
from telly.errors import ConfigError
from telly.metrics.table import METRICS
from telly.processes import WAIT_SECONDS
from telly.tasks.base import Encoded
from telly.tuning.session import Run

LOG_STEPS = 10


def sampler_of(run: Run, arguments: TrainingArguments, train: Encoded) -> LengthBucketBatchSampler:
    """The order of the training examples; of several processes each has its own part of every batch."""
    try:
        return LengthBucketBatchSampler(
            train.lengths,
            run.config.batch_size,
            seed=run.config.seed,
            drop_last=True,
            rank=arguments.process_index,
            world_size=arguments.world_size,
            pairs=train.pairs if run.config.shared_batches else None,
        )
    except ValueError as error:
        raise ConfigError(f"--batch-size: {error}; give a smaller one, or more training examples") from None


def training_arguments(run: Run) -> TrainingArguments:
    """The settings of the run as the Trainer takes them; sets up the process group, if there is one."""
    config = run.config
    gpu = torch.cuda.is_available()
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if config.batch_size % processes:
        raise ConfigError(f"--batch-size {config.batch_size} must be a multiple of {processes} processes")
    return TrainingArguments(
        output_dir=str(run.folder.checkpoints),
        num_train_epochs=float(config.epochs),
        per_device_train_batch_size=config.batch_size // processes,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup,
        weight_decay=0.0,
        lr_scheduler_type="linear",
        bf16=config.precision == "bf16",
        use_cpu=not gpu,
        ddp_backend="gloo" if processes > 1 and not gpu else None,
        ddp_find_unused_parameters=config.k is None,
        ddp_timeout=WAIT_SECONDS,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        restore_callback_states_from_checkpoint=True,  # early stopping goes on counting
        metric_for_best_model=config.metric,
        greater_is_better=METRICS[config.metric].greater_is_better,
        logging_steps=LOG_STEPS,
        logging_nan_inf_filter=False,
        report_to=list(config.report_to),
        disable_tqdm=True,
        seed=config.seed,
        remove_unused_columns=False,
        dataloader_pin_memory=gpu,
    )
