"""Prepare, train and evaluate one model on one task: the engine behind runs, pilots and cache building.

A pilot is a short trial run, by which `telly advise` compares values of K.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerState, TrainingArguments, set_seed

from telly.data.batching import LengthBucketBatchSampler
from telly.errors import ConfigError
from telly.freezing.fingerprint import prefix_digests
from telly.freezing.methods import Adapter, apply_method, train_modules
from telly.freezing.plan import FreezePlan
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.freezing.variants import Method
from telly.models.embedding import EmbeddingConfig
from telly.models.embedding_folder import load_embedding_head, load_embedding_tokenizer
from telly.models.load import load_stack
from telly.models.stack import LayerStack
from telly.runs.parts import TeacherInfo
from telly.settings.config import ResolvedConfig
from telly.settings.embeddings import embedding_config, prompts_of
from telly.settings.lengths import check_lengths
from telly.tasks import get_task
from telly.tasks.training.base import NO_PROMPTS, AnyTask, Encoded, Evaluation, Prompts, TaskModel
from telly.tasks.training.contrastive import ContrastiveData, ContrastiveModel
from telly.training.clocks import Clocks
from telly.training.trainer import TellyTrainer
from telly.tuning.inputs import check_dimensions, check_metric, load_datasets
from telly.tuning.teacher import add_teacher_loss, with_teacher


@dataclass(frozen=True)
class Inputs:
    """Data and tokenizer that jobs on the same model, task and data share.

    Attributes:
        datasets: raw data by split, `train` among them.
        tokenizer: the model's tokenizer.
        data: encoded data by split.
        digests: `prefix_digests` of the model as it was loaded, which identify activation caches.
        teacher: the teacher that `data` has the targets of; None without one.
    """

    datasets: dict[str, Any]
    tokenizer: Any
    data: dict[str, Encoded]
    digests: tuple[str, ...]
    teacher: TeacherInfo | None = None


@dataclass(frozen=True)
class Job:
    """A model that is ready to be tuned, with its encoded data: layers are frozen and the method is applied.

    Attributes:
        config: the settings.
        task: the task.
        inputs: data and tokenizer.
        num_parameters: number of parameters of the model as it was loaded, without adapters and head.
        split: the frozen model, with the method's adapters above K.
        adapter: the adapters, if the method has any.
        module: the task's model around `split`, with its head and loss.
        plan: what is frozen and trained, head included.
    """

    config: ResolvedConfig
    task: AnyTask
    inputs: Inputs
    num_parameters: int
    split: SplitModel
    adapter: Adapter | None
    module: TaskModel
    plan: FreezePlan

    @property
    def data(self) -> dict[str, Encoded]:
        """The encoded data by split."""
        return self.inputs.data

    @property
    def train(self) -> Encoded:
        """The encoded training data."""
        return self.data["train"]

    @property
    def prompts(self) -> Prompts:
        """Texts that are put before those of a column."""
        return NO_PROMPTS if self.task.is_generative else prompts_of(self.module.embedding.config, self.task.spec)

    @property
    def pad_id(self) -> int:
        """The id to pad batches with."""
        return int(self.inputs.tokenizer.pad_token_id)

    @property
    def autocast(self) -> torch.autocast:
        """The context in which the module is evaluated: autocast to bf16 if that is the precision, else no change."""
        device = next(self.module.parameters()).device
        return torch.autocast(device.type, torch.bfloat16, enabled=self.config.precision == "bf16")


def prepare(
    config: ResolvedConfig,
    *,
    device: torch.device | None = None,
    datasets: dict[str, Any] | None = None,
    inputs: Inputs | None = None,
    clocks: Clocks | None = None,
    teacher_dir: Path | None = None,
) -> Job:
    """Load model and data, freeze, apply the method and encode.

    Args:
        config: the settings; `freeze` is a variant, not `auto`.
        device: device to compute on; by default the GPU, if there is one.
        datasets: raw data by split; by default those of the settings are read.
        inputs: those of an earlier job on the same model, task and data; None reads and encodes the data.
        clocks: measures loading, digests and encoding.
        teacher_dir: folder in which a teacher's embeddings are kept; by default that of the activation caches.

    Raises:
        ConfigError: texts are longer than the model's positions, or the metric, the method or a Matryoshka dimension
            does not fit.
        DataError: the data cannot be read or does not fit the task.
        ModelError: the model cannot be loaded or split.
        PlanError: K is out of range, or the method does not fit the model.
    """
    clocks = clocks or Clocks()
    task = get_task(config.task)
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    set_seed(config.seed)
    with clocks("load"):
        embedding = embedding_config(config.model, task.spec, config.options)
        if inputs is None and datasets is None:
            datasets = load_datasets(config, task)
        tokenizer = inputs.tokenizer if inputs else load_embedding_tokenizer(config.model, embedding)
        stack = load_stack(config.model, seed=config.seed, is_generative=task.is_generative)
        stack.model.to(device)
        split = _split(stack, config)
        check_lengths(config, task, split.stack)
    if inputs is None:
        assert datasets is not None
        with clocks("prefix"):
            digests = tuple(prefix_digests(split.stack))
        with clocks("encode"):
            prompts = prompts_of(embedding, task.spec)
            data = task.encode(datasets, tokenizer, config.max_tokens, stack.model.config, prompts)
            teacher = None
            if config.teacher_settings is not None:
                folder = teacher_dir or config.cache_dir
                data["train"], teacher = with_teacher(config, task, datasets["train"], data["train"], folder, device)
        inputs = Inputs(datasets, tokenizer, data, digests, teacher)
    check_metric(config, task, inputs.data["train"])
    with clocks("load"):
        num_parameters = split.plan.total  # before the method adds its own
        adapter = apply_method(split, config.method, config.lora, config.seed)
        module = _build(config, task, split, embedding, inputs.data["train"]).to(device)
        check_dimensions(config, module.embedding.embedding_size)
    head_parameters = 0 if module.head is None else sum(p.numel() for p in module.head.parameters())
    plan = split.plan.with_embedding(module.embedding).with_head(head_parameters)
    return Job(config, task, inputs, num_parameters, split, adapter, module, plan)


def _split(stack: LayerStack, config: ResolvedConfig) -> SplitModel:
    """Freeze the model as the settings say.

    Raises:
        PlanError: K is out of range.
    """
    if config.method is Method.HEAD_ONLY:
        return SplitModel(stack.model, len(stack), stack=stack)
    if config.k is not None:
        stack.check_layer(config.k)
    return SplitModel(stack.model, config.k, stack=stack)


def _build(
    config: ResolvedConfig, task: AnyTask, split: SplitModel, embedding: EmbeddingConfig | None, train: Encoded
) -> TaskModel:
    """Build the task's model. A new head depends on the seed alone, not on random numbers drawn before."""
    head = None
    if embedding is not None:
        head = load_embedding_head(config.model, embedding, split.hidden_size)
        train_modules(head, config.method)
    # No device's state needs saving: new parameters are drawn on the CPU and moved later.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model: TaskModel = task.build(split, len(train.classes), config.options, head)
        if isinstance(model, ContrastiveModel) and isinstance(train, ContrastiveData) and train.teacher is not None:
            add_teacher_loss(config, model, train.teacher)
    return model


def sampler_of(job: Job, rank: int = 0, world_size: int = 1) -> LengthBucketBatchSampler:
    """Make the sampler of training batches: examples of similar length, in an order that depends on seed and epoch.

    Args:
        job: as `prepare` gives it.
        rank: number of this process.
        world_size: number of processes; each gets its own part of every batch.

    Raises:
        ConfigError: the data do not fill one batch.
    """
    try:
        return LengthBucketBatchSampler(
            job.train.lengths,
            job.config.batch_size,
            seed=job.config.seed,
            drop_last=True,
            rank=rank,
            world_size=world_size,
            pairs=job.train.pairs if job.task.spec.shares_texts(job.config.options) else None,
        )
    except ValueError as error:
        raise ConfigError(f"--batch-size: {error}; give a smaller one, or more training examples") from None


def train(
    job: Job,
    source: RowSource,
    arguments: TrainingArguments,
    *,
    evaluate_fn: Callable[[], dict[str, float]] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    make_trainer: Callable[..., TellyTrainer] = TellyTrainer,
    checkpoint: str | None = None,
) -> TrainerState:
    """Train the job's module on its training data.

    Args:
        job: as `prepare` gives it.
        source: source of the batches of training data, from tokens or from an activation cache.
        arguments: the Trainer's settings.
        evaluate_fn: computes validation metrics by name; None trains without evaluation.
        callbacks: the Trainer's callbacks.
        make_trainer: constructor of the Trainer.
        checkpoint: a checkpoint to resume from.

    Returns:
        the Trainer's state at the end.

    Raises:
        ConfigError: the data do not fill one batch.
        TrainingError: the loss is not finite, or a checkpoint cannot be written or read.
    """
    sampler = sampler_of(job, arguments.process_index, arguments.world_size)
    trainer = make_trainer(
        job.module,
        arguments,
        batch_sampler=sampler,
        collate=lambda indices: job.task.collate(source, job.train, indices, (job.config.seed, sampler.epoch)),
        evaluate_fn=evaluate_fn,
        callbacks=callbacks,
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    return trainer.state


def evaluate(
    job: Job, sources: Mapping[str, RowSource], split: str, *, final: bool, fit_on: str | None = None
) -> Evaluation:
    """Evaluate the job's module on a split.

    Args:
        job: as `prepare` gives it.
        sources: sources of the batches, by data split.
        split: name of the data split to evaluate on.
        final: whether these are the final scores; text is then decoded with the full beam, and greedily otherwise.
        fit_on: data split on which the task's threshold, if it has one, is fitted first; None leaves it as it is.
    """
    job.module.eval()
    if fit_on is not None:
        job.task.fit_threshold(job.module, sources[fit_on], job.data[fit_on], job.autocast)
    return job.task.evaluate(job.module, sources[split], job.data[split], job.autocast, final=final)
