"""One tuning run: load, encode, run the frozen layers once, train the top, evaluate, save, record."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import EarlyStoppingCallback, TrainingArguments, set_seed

from telly.config import to_toml
from telly.data.cautions import warnings_about
from telly.disk import came_of_full_disk, folder_lock, is_full_disk, write_text
from telly.errors import ConfigError
from telly.freezing.fingerprint import prefix_digests
from telly.freezing.methods import apply_method
from telly.freezing.split import SplitModel
from telly.freezing.variants import AUTO, Method, parse_freeze
from telly.models.declared import cautions_about, check_pooling
from telly.models.load import load_model, load_tokenizer
from telly.models.stack import find_stack
from telly.processes import first_decides, wait_for_all
from telly.runs.card import write_card
from telly.runs.folder import RunFolder
from telly.runs.record import RunRecord
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.tasks import get_task
from telly.tasks.base import Encoded, Evaluation, Task
from telly.training.clocks import Clocks, PeakMemory
from telly.training.progress import ProgressBar
from telly.training.trainer import (
    SaveWithinEpochs,
    TellyTrainer,
    explained_disk,
    last_complete_checkpoint,
    remove_incomplete_checkpoints,
)
from telly.tuning.arguments import sampler_of, training_arguments
from telly.tuning.baselines import reuse_baselines
from telly.tuning.caches import Sources, open_sources
from telly.tuning.inputs import check_lengths, check_metric, check_negatives, describe, load_datasets
from telly.tuning.saving import save_model
from telly.tuning.session import ClockedTrainer, Epochs, Run

Advisor = Callable[[ResolvedConfig, bool], tuple[str, dict[str, Any]]]
"""Chooses the variant for resolved settings, and tells how; may take over what it found before if the flag says so."""


def tune(
    config: TuneConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    advisor: Advisor | None = None,
    reuse_baselines_from: Path | None = None,
) -> RunRecord:
    """Tune a model on a task and return the run's record, which also lies in the output folder.

    Args:
        config: the settings; what is None is taken from the model's recommendation or the task's preset.
        resume: go on with an interrupted run in the same folder.
        overwrite: replace an earlier run in the same folder.
        advisor: chooses the variant of `freeze = auto`; `telly.tune` has one.
        reuse_baselines_from: folder of other runs; baselines that one of them found on the same terms are taken over.

    Raises:
        ConfigError: settings that do not fit, or an output folder with another run or of a process that still runs.
        DataError, ModelError, PlanError, CacheError, TrainingError: as their names say.
    """
    config = config.resolve()
    # One process speaks for all that train together.
    with folder_lock(config.output) if _is_main() else contextlib.nullcontext():
        return _run(config, resume, overwrite, advisor, reuse_baselines_from)


def _is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _run(
    config: ResolvedConfig, resume: bool, overwrite: bool, advisor: Advisor | None, reuse_baselines_from: Path | None
) -> RunRecord:
    """The run, in a folder that no other process writes into."""
    resume = resume and not _only_advised(config)
    run = _start(config, resume, overwrite, advisor)
    try:
        _tune(run, resume, overwrite, reuse_baselines_from)
        run.record.status = "finished"
    except KeyboardInterrupt:
        run.record.status = "interrupted"
        run.record.error = "interrupted by Ctrl-C or a termination signal; --resume goes on"
        raise
    except BaseException as error:
        run.record.status = "failed"
        run.record.error = f"{type(error).__name__}: {error}"
        run.record.full_disk = came_of_full_disk(error)
        raise
    finally:
        run.keep()
    if run.main:
        shutil.rmtree(run.folder.checkpoints, ignore_errors=True)
        with explained_disk(run.output):
            write_card(run.record, run.folder.model)
    return run.record


def _start(config: ResolvedConfig, resume: bool, overwrite: bool, advisor: Advisor | None) -> Run:
    clocks, memory = Clocks(), PeakMemory()
    output = config.output
    main = _is_main()
    earlier = _earlier_record(output)
    finished = (earlier or {}).get("status") == "finished"
    advice = None
    if config.freeze == AUTO:
        RunFolder(output).check_available(resume, overwrite, finished, None)  # before the pilots take their time
        with clocks("advice"):
            config, advice = _advised(config, advisor, anew=overwrite and not resume)
    if main:
        RunFolder(output).check_available(resume, overwrite, finished, to_toml(config))
        if resume:
            remove_incomplete_checkpoints(RunFolder(output).checkpoints)
    record = RunRecord(config=config.model_dump(mode="json"), advice=advice)
    if resume and earlier:
        session = {"clocks": earlier.get("clocks"), "wall_seconds": earlier.get("wall_seconds")}
        record.sessions = [*earlier.get("sessions", []), session]
        record.epochs = earlier.get("epochs", [])
        if earlier.get("baselines_version", 1) == record.baselines_version:
            record.baselines = earlier.get("baselines", {})
        record.data = earlier.get("data", {})
    return Run(config, get_task(config.task), output, record, clocks, memory, main)


def _advised(config: ResolvedConfig, advisor: Advisor | None, *, anew: bool) -> tuple[ResolvedConfig, dict[str, Any]]:
    """The settings with the variant that the advisor chose, and how it did."""
    if advisor is None:
        raise ConfigError("freeze: auto needs an advisor here; use telly.tune, or give the K that `telly advise` finds")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "--freeze auto runs its pilots in one process; run `telly advise` first, then this command with its K"
        )
    freeze, advice = advisor(config, not anew)
    return config.model_copy(update={"freeze": parse_freeze(freeze)}), advice


def _only_advised(config: ResolvedConfig) -> bool:
    """Whether the folder holds nothing but advice: the run was interrupted before it began."""
    assert config.output is not None
    folder = RunFolder(config.output)
    return config.freeze == AUTO and not folder.settings.exists() and folder.advice.is_dir()


def _claim(run: Run, data: dict[str, dict[str, Any]], resume: bool, overwrite: bool) -> None:
    """Take over the output folder, once the settings, the model and the data have shown to be good.

    Raises:
        ConfigError: the run to resume was on other data.
    """
    changed = [name for name, kept in run.record.data.items() if kept["fingerprint"] != data[name]["fingerprint"]]
    if resume and changed:
        raise ConfigError(
            f"{run.output}: the interrupted run had other {' and '.join(changed)} data; the files were changed since. "
            "Restore them, or run anew with --overwrite"
        )
    run.record.data = data
    if run.main:
        if overwrite and not resume:
            run.folder.remove()
        with explained_disk(run.output):
            try:
                run.output.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                if is_full_disk(error):
                    raise
                raise ConfigError(
                    f"{run.output}: cannot be made: {error.strerror or error}; choose another --output"
                ) from None
            run.folder.remove_partial()
            write_text(run.folder.settings, to_toml(run.config))
    run.claimed = True
    run.keep()


def _earlier_record(output: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(RunFolder(output).record.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return None


def _tune(run: Run, resume: bool, overwrite: bool, reuse_baselines_from: Path | None) -> None:
    config = run.config
    set_seed(config.seed)
    arguments = training_arguments(run)  # sets up the process group, if there is one
    run.record.device = {"type": arguments.device.type, "threads": torch.get_num_threads(),
                         "processes": arguments.world_size}  # fmt: skip
    datasets, tokenizer, split, data, digests = _inputs(config, run.task, arguments.device, run.clocks)
    run.record.model = {"name": config.model, "fingerprint": digests[-1], "layers_fingerprint": digests[-2],
                        "parameters": split.plan.total}  # fmt: skip
    with run.clocks("load"):
        adapter = apply_method(split, config.method, config.lora, config.seed)
    with run.clocks("encode"):
        run.record.cautions = warnings_about(datasets, run.task.schema)
        run.record.cautions += [] if run.task.is_generative else cautions_about(config.model)
        sampler = sampler_of(run, arguments, data["train"])
        run.record.cautions += check_negatives(run.task.contrasted(data["train"]), sampler.global_batches())
        for caution in run.record.cautions:
            run.say(f"caution: {caution}")
        check_metric(config, run.task, data["train"])
    module = _module(run, split, data["train"]).to(arguments.device)
    _claim(run, {name: describe(datasets[name], encoded) for name, encoded in data.items()}, resume, overwrite)
    if reuse_baselines_from is not None and not run.record.baselines:
        run.record.baselines = first_decides(lambda: reuse_baselines(reuse_baselines_from, run.record))
    with run.clocks("prefix"):
        sources = open_sources(config, split, data, tokenizer.pad_token_id, digests, run.say)
        run.record.cache = sources.to_dict()
    with run.clocks("save"):
        # Where text is written, decoding needs the frozen layers for the tokens that are new.
        if sources.used and sources.complete and all(encoded.stored for encoded in data.values()):
            with explained_disk(run.output):
                released = split.release_prefix(run.folder.checkpoints / f"prefix-{os.getpid()}.safetensors")
            run.record.cache["released_bytes"] = released
    try:
        _train_and_test(run, arguments, module, data, sources, datasets, resume)
    finally:
        split.restore_prefix()
    with run.clocks("save"):
        wait_for_all()  # the first process removes the checkpoints, and the others may still read the best one
        if run.main:
            with explained_disk(run.output):
                save_model(run, module, tokenizer, data["train"].classes, adapter)


class _Inputs(NamedTuple):
    """What a run and the building of its stores begin with."""

    datasets: dict[str, Any]
    tokenizer: Any
    split: SplitModel
    data: dict[str, Encoded]
    digests: list[str]


def _inputs(config: ResolvedConfig, task: Task, device: torch.device, clocks: Clocks) -> _Inputs:
    with clocks("load"):
        if not task.is_generative:
            check_pooling(config.model)
        datasets = load_datasets(config, task)
        tokenizer = load_tokenizer(config.model)
        model = load_model(config.model, seed=config.seed, is_generative=task.is_generative).to(device)
        split = split_model(model, config)
        check_lengths(config, task, split.stack)
    with clocks("prefix"):
        digests = prefix_digests(split.stack)
    with clocks("encode"):
        data = task.encode(datasets, tokenizer, config.max_tokens, model.config)
    return _Inputs(datasets, tokenizer, split, data, digests)


def split_model(model: nn.Module, config: ResolvedConfig) -> SplitModel:
    """Freeze the model as the settings say.

    Raises:
        PlanError: K is out of range.
    """
    stack = find_stack(model)
    if config.method is Method.HEAD_ONLY:
        return SplitModel(model, len(stack), stack=stack)
    if config.k is not None:
        stack.check_layer(config.k)
    return SplitModel(model, config.k, stack=stack)


def build_caches(config: TuneConfig) -> None:
    """Build the stores that a run with these settings reads, where it would use any, and nothing else.

    Raises:
        DataError, ModelError, PlanError, CacheError: as their names say.
    """
    config = config.resolve()
    set_seed(config.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    inputs = _inputs(config, get_task(config.task), device, Clocks())
    open_sources(config, inputs.split, inputs.data, inputs.tokenizer.pad_token_id, inputs.digests, lambda _text: None)


def _module(run: Run, split: SplitModel, train: Encoded) -> nn.Module:
    """The model that is trained, and the record's plan of it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.config.seed)
        module = run.task.build(split, train, run.config.options)
    own = {id(p) for p in split.parameters()}
    plan = split.plan.with_head(sum(p.numel() for p in module.parameters() if id(p) not in own))
    run.record.plan = plan.to_dict()
    run.say(str(plan))
    return module


def _train_and_test(
    run: Run,
    arguments: TrainingArguments,
    module: nn.Module,
    data: dict[str, Encoded],
    sources: Sources,
    datasets: dict[str, Any],
    resume: bool,
) -> None:
    config, task = run.config, run.task
    autocast = torch.autocast(arguments.device.type, torch.bfloat16, enabled=config.precision == "bf16")
    test_split = "test" if "test" in data else "valid"

    def evaluate(name: str, *, final: bool) -> Evaluation:
        with run.clocks("evaluate"):
            module.eval()
            return task.evaluate(module, sources.by_split[name], data[name], autocast, final=final)

    def calibrated(*, final: bool) -> Evaluation:
        """Scores of the test data with what is chosen on validation data; computed by one process."""

        def compute() -> Evaluation:
            choosing = "valid" if "valid" in data else "train"
            with run.clocks("evaluate"):
                task.fit_threshold(module.eval(), sources.by_split[choosing], data[choosing], autocast)
            return evaluate(test_split, final=final)

        return first_decides(compute)

    checkpoint = last_complete_checkpoint(run.folder.checkpoints) if resume else None
    untuned = (
        "untuned (greedy)" if task.is_generative else "untuned"
    )  # which seldom ends an answer, so a beam would take long
    if untuned not in run.record.baselines:
        with run.clocks("evaluate"):
            run.record.baselines = first_decides(lambda: task.baselines(datasets, test_split, data["train"]))
        run.record.baselines[untuned] = calibrated(final=not task.is_generative).metrics
    trainer = _trainer(run, arguments, module, data, sources, lambda: evaluate("valid", final=False).metrics)
    if checkpoint is not None:
        run.record.resumed_from_step = int(checkpoint.name.rpartition("-")[2])
        run.say(f"resuming after step {run.record.resumed_from_step}")
    run.record.epochs = [e for e in run.record.epochs if e["step"] <= (run.record.resumed_from_step or 0)]
    run.keep()
    run.keep_epochs()
    run.memory.reset()
    with run.clocks("train"):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    run.record.peak_memory_train_bytes = run.memory.bytes()
    best = trainer.state.best_global_step
    run.record.best_epoch = next((e["epoch"] for e in run.record.epochs if e["step"] == best), None)
    run.record.metric = config.metric
    run.record.store_wait_seconds = sources.by_split["train"].seconds if sources.used else None
    tested = calibrated(final=True)
    run.record.test, run.record.tested_on = tested.metrics, test_split
    run.keep_predictions(tested.predictions)
    run.keep_scores(tested.per_example)


def _trainer(
    run: Run,
    arguments: TrainingArguments,
    module: nn.Module,
    data: dict[str, Encoded],
    sources: Sources,
    evaluate: Callable[[], dict[str, float]],
) -> TellyTrainer:
    train, source = data["train"], sources.by_split["train"]
    sampler = sampler_of(run, arguments, train)
    epochs = Epochs(run)
    within = [SaveWithinEpochs(run.config.save_steps)] if run.config.save_steps else []
    return ClockedTrainer(
        run.clocks,
        epochs.add_loss,
        module,
        arguments,
        batch_sampler=sampler,
        collate=lambda numbers: run.task.collate(source, train, numbers, (run.config.seed, sampler.epoch)),
        evaluate_fn=evaluate,
        callbacks=[
            EarlyStoppingCallback(early_stopping_patience=run.config.patience),
            ProgressBar(str(run.config.variant)),
            epochs,
            *within,
        ],
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """Turns a termination signal into the same orderly end as Ctrl-C."""
    import signal

    def stop(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
