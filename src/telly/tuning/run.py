"""One tuning run in its output folder: prepare, run the frozen layers once, train, evaluate, save, record."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerState, TrainingArguments

from telly.data.warnings import warnings_about
from telly.disk import caused_by_full_disk, folder_lock
from telly.metrics.table import truncated_name
from telly.models.embedding_folder import embedding_warnings
from telly.processes import first_decides, wait_for_all
from telly.runs.card import write_card
from telly.runs.parts import DeviceInfo, EmbeddingInfo, ModelInfo, PlanInfo
from telly.runs.record import RunRecord
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.tasks.training.base import Evaluation
from telly.training.progress import ProgressBar
from telly.training.trainer import (
    SaveWithinEpochs,
    explained_disk,
    last_complete_checkpoint,
)
from telly.tuning.arguments import training_arguments
from telly.tuning.baselines import compare_with_untuned, has_scores, reuse_baselines
from telly.tuning.caches import BatchSources, choose_cache, open_sources
from telly.tuning.inputs import check_negatives, describe
from telly.tuning.job import Job, evaluate, prepare, sampler_of, train
from telly.tuning.saving import save_model
from telly.tuning.session import ClockedTrainer, Epochs, Run
from telly.tuning.start import Advisor, acquire, has_only_advice, is_main, start

logger = logging.getLogger(__name__)


def tune(
    config: TuneConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    advisor: Advisor | None = None,
    reuse_baselines_from: Path | None = None,
) -> RunRecord:
    """Tune a model on a task and return the run's record, which is also in the output folder.

    Args:
        config: the settings; those that are None come from the model's recommendation or the task's preset.
        resume: continue an interrupted run in the same folder.
        overwrite: replace an earlier run in the same folder.
        advisor: chooses the variant of `freeze = auto`; `telly.tune` has one.
        reuse_baselines_from: folder of other runs; baselines that one of them computed under the same settings are
            reused.

    Raises:
        ConfigError: settings that do not fit, or an output folder with another run or of a process that still runs.
        DataError: the data cannot be read or does not fit the task.
        ModelError: the model cannot be loaded or split.
        PlanError: K or the method does not fit the model.
        CacheError: the activation cache cannot be written or read.
        TrainingError: the loss is not finite, or a checkpoint cannot be written or read.
    """
    config = config.resolve()
    # With several processes, the main one locks the folder for all.
    with folder_lock(config.output) if is_main() else contextlib.nullcontext():
        return _run(config, resume, overwrite, advisor, reuse_baselines_from)


def _run(
    config: ResolvedConfig, resume: bool, overwrite: bool, advisor: Advisor | None, reuse_baselines_from: Path | None
) -> RunRecord:
    """Run in a locked folder, and record how the run ended."""
    resume = resume and not has_only_advice(config)
    run = start(config, resume, overwrite, advisor)
    try:
        _tune(run, resume, overwrite, reuse_baselines_from)
        run.record.status = "finished"
    except KeyboardInterrupt:
        run.record.status = "interrupted"
        run.record.error = "interrupted by Ctrl-C or a termination signal; --resume continues"
        raise
    except BaseException as error:
        run.record.status = "failed"
        run.record.error = f"{type(error).__name__}: {error}"
        run.record.full_disk = caused_by_full_disk(error)
        raise
    finally:
        run.save()
    if run.main:
        shutil.rmtree(run.folder.checkpoints, ignore_errors=True)
        with explained_disk(run.output):
            write_card(run.record, run.folder.model)
    return run.record


def _tune(run: Run, resume: bool, overwrite: bool, reuse_baselines_from: Path | None) -> None:
    """Prepare, train, evaluate and save; the record is filled on the way."""
    record = run.record
    arguments = training_arguments(run)  # sets up the process group, if there is one
    record.device = DeviceInfo(arguments.device.type, torch.get_num_threads(), arguments.world_size)
    job = prepare(run.config, device=arguments.device, clocks=run.clocks)
    *_, layers, whole = job.inputs.digests
    record.model = ModelInfo(run.config.model, whole, job.num_parameters, layers)
    embedding = None
    if not job.task.is_generative:
        embedding = EmbeddingInfo.of(job.module.embedding, job.prompts.by_column)
        logger.info("embeddings: %s (%s)", embedding.summary, embedding.origin)
    with run.clocks("encode"):
        record.data_warnings = _data_warnings(job, arguments)
    for warning in record.data_warnings:
        logger.warning("warning: %s", warning)
    record.plan = PlanInfo.of(job.plan)
    logger.info("%s", job.plan)
    described = {name: describe(job.inputs.datasets[name], encoded) for name, encoded in job.data.items()}
    acquire(run, described, embedding, job.inputs.teacher, resume, overwrite)
    if reuse_baselines_from is not None and not record.baselines:
        record.baselines, untuned = first_decides(lambda: reuse_baselines(reuse_baselines_from, record))
        run.save_untuned_scores(untuned)
    sources = _open_sources(run, job)
    try:
        _train_and_test(run, job, sources, arguments, resume)
    finally:
        job.split.restore_prefix()
    with run.clocks("save"):
        wait_for_all()  # the first process removes the checkpoints, and the others may still read the best one
        if run.main:
            with explained_disk(run.output):
                save_model(run, job.split, job.module, job.inputs.tokenizer, job.train.classes, job.adapter)


def _data_warnings(job: Job, arguments: TrainingArguments) -> list[str]:
    """Collect warnings about the data and the model for readers of the results.

    Raises:
        ConfigError: the data do not fill one batch, or no batch has negatives.
    """
    warnings = warnings_about(job.inputs.datasets, job.task.schema)
    if not job.task.is_generative:
        warnings += embedding_warnings(job.config.model, job.module.embedding.config)
    sampler = sampler_of(job, arguments.process_index, arguments.world_size)
    warnings += job.train.warnings
    return warnings + check_negatives(
        job.task.contrasted(job.train), sampler.global_batches(), job.train.hard_negatives
    )


def _open_sources(run: Run, job: Job) -> BatchSources:
    """Build or open the activation caches if that pays, and then release the frozen layers from memory."""
    with run.clocks("prefix"):
        decision = choose_cache(job)
        if job.split.k is not None and run.config.cache:
            logger.info("activation cache: %s: %s", "used" if decision.use else "not used", decision.reason)
        sources = open_sources(job, decision)
        if decision.use and not sources.used:
            logger.info("activation cache: not used: %s", sources.reason)
        run.record.cache = report = sources.report()
    # Generated tokens pass through the frozen layers, so these stay in memory if any split is decoded.
    if sources.used and sources.complete and all(encoded.cacheable for encoded in job.data.values()):
        with run.clocks("save"), explained_disk(run.output):
            file = run.folder.checkpoints / f"prefix-{os.getpid()}.safetensors"
            run.record.cache = replace(report, released_bytes=job.split.release_prefix(file))
    return sources


def build_caches(config: TuneConfig) -> None:
    """Build the activation caches that a run with these settings reads, if it would use any, and nothing else.

    Raises:
        ConfigError, DataError, ModelError, PlanError, CacheError: as `tune`.
    """
    job = prepare(config.resolve())
    open_sources(job, choose_cache(job))


def _train_and_test(run: Run, job: Job, sources: BatchSources, arguments: TrainingArguments, resume: bool) -> None:
    """Score baselines and the untuned model, train, and score the best epoch's weights on the test data.

    Without test data the validation data takes its place; a threshold is fitted on validation data, else on training
    data.
    """
    record = run.record
    tested_on = "test" if "test" in job.data else "valid"
    fit_on = "valid" if "valid" in job.data else "train"

    def test(*, final: bool) -> Evaluation:
        with run.clocks("evaluate"):
            return first_decides(lambda: evaluate(job, sources.by_split, tested_on, final=final, fit_on=fit_on))

    def validate() -> dict[str, float]:
        with run.clocks("evaluate"):
            return evaluate(job, sources.by_split, "valid", final=False).metrics

    checkpoint = last_complete_checkpoint(run.folder.checkpoints) if resume else None
    # An untuned model seldom emits the end token, so beam search would take long.
    untuned = "untuned (greedy)" if job.task.is_generative else "untuned"
    if untuned not in record.baselines or not first_decides(lambda: has_scores(run.folder.untuned_scores)):
        with run.clocks("evaluate"):
            record.baselines = first_decides(lambda: job.task.baselines(job.inputs.datasets, tested_on, job.train))
        before = test(final=not job.task.is_generative)
        record.baselines[untuned] = before.metrics
        run.save_untuned_scores(before.per_example)
        record.baselines |= {truncated_name(untuned, size): metrics for size, metrics in before.truncated.items()}
    if checkpoint is not None:
        record.resumed_from_step = int(checkpoint.name.rpartition("-")[2])
        logger.info("resuming after step %d", record.resumed_from_step)
    # Epochs after the checkpoint are trained again.
    record.epochs = [epoch for epoch in record.epochs if epoch.step <= (record.resumed_from_step or 0)]
    run.save()
    run.save_epochs()
    run.memory.reset()  # loading and building the cache have a peak of their own
    with run.clocks("train"):
        state = _train(run, job, sources, arguments, validate, checkpoint)
    record.peak_memory_train_bytes = run.memory.bytes()
    best = state.best_global_step
    record.best_epoch = next((epoch.epoch for epoch in record.epochs if epoch.step == best), None)
    record.metric = run.config.metric
    record.cache_wait_seconds = sources.by_split["train"].seconds if sources.used else None
    tested = test(final=True)
    record.test, record.test_truncated, record.tested_on = tested.metrics, tested.truncated, tested_on
    run.save_predictions(tested.predictions)
    run.save_per_example(tested.per_example)
    record.verdict = first_decides(lambda: compare_with_untuned(run, untuned))


def _train(
    run: Run,
    job: Job,
    sources: BatchSources,
    arguments: TrainingArguments,
    validate: Callable[[], dict[str, float]],
    checkpoint: Path | None,
) -> TrainerState:
    """Train with early stopping, a progress bar and the record of every epoch."""
    epochs = Epochs(run)
    callbacks: list[TrainerCallback] = [
        EarlyStoppingCallback(early_stopping_patience=run.config.patience),
        ProgressBar(str(run.config.variant)),
        epochs,
    ]
    if run.config.save_steps:
        callbacks.append(SaveWithinEpochs(run.config.save_steps))
    return train(
        job,
        sources.by_split["train"],
        arguments,
        evaluate_fn=validate,
        callbacks=callbacks,
        make_trainer=partial(ClockedTrainer, run.clocks, epochs.add_loss),
        checkpoint=str(checkpoint) if checkpoint else None,
    )
