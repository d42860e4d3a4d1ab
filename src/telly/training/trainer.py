"""The Hugging Face Trainer with telly's data order, evaluation and checkpoints.

The Trainer does the mechanics (steps, schedule, precision, accumulation, resume, distribution, tracking). Differences:
batches come from a batch sampler that shards itself, evaluation is a function of the task, and a checkpoint holds only
the parameters that are trained, so that a frozen prefix need not be in memory or written again.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from telly.data.batching import LengthBucketBatchSampler
from telly.disk import full_disk_as
from telly.errors import TrainingError
from telly.models.load import quiet_transformers
from telly.processes import first_decides, mean_over_processes, wait_for_all
from telly.training.progress import ProgressBar

TRAINED_WEIGHTS = "trained.safetensors"
COMPLETE_MARKER = "COMPLETE"
_NOT_FINITE_ADVICE = "Lower --lr, or use --precision fp32, and run again with --overwrite"

Collate = Callable[[list[int]], dict[str, Any]]


class TellyTrainer(Trainer):  # type: ignore[misc]
    """A Trainer whose data set is the indices of the examples.

    Args:
        model: a module whose forward takes what `collate` returns and gives a dict with `loss`.
        args: the Trainer's settings.
        batch_sampler: sampler of this process's example indices for every step.
        collate: function that makes a batch from example indices.
        evaluate_fn: function that computes validation metrics by name; None trains without evaluation.
        callbacks: additional callbacks.
    """

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        *,
        batch_sampler: LengthBucketBatchSampler,
        collate: Collate,
        evaluate_fn: Callable[[], dict[str, float]] | None = None,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        examples = range(len(batch_sampler.lengths))
        super().__init__(
            model,
            args,
            data_collator=collate,
            train_dataset=examples,
            eval_dataset=examples if evaluate_fn else None,
            callbacks=[*callbacks, _MarkComplete()],
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False  # else the Trainer would rescale the loss for accumulation
        self._batch_sampler = batch_sampler
        self._evaluate_fn = evaluate_fn

    def get_train_dataloader(self) -> DataLoader[int]:
        """Make a data loader that is not sharded again: the batch sampler already gives this process's share."""
        return _EpochDataLoader(self.train_dataset, batch_sampler=self._batch_sampler, collate_fn=self.data_collator)

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Run the task's evaluation and report its metrics with the prefix `eval_`.

        Raises:
            TrainingError: the metric that chooses the best epoch is missing.
        """
        assert self._evaluate_fn is not None
        training = self.model.training
        self.model.eval()
        try:
            values = first_decides(self._evaluate_fn)
        finally:
            self.model.train(training)
        metric = self.args.metric_for_best_model
        if metric is not None and metric not in values:
            raise TrainingError(
                f"the validation data gives no {metric}, which is to choose the best epoch; it gives "
                f"{', '.join(values)}. Choose another with --metric"
            )
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in values.items()}
        self.log(dict(metrics))  # log adds the epoch to what it is given
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run forward and backward of one batch.

        Returns:
            the mean loss over all processes, divided by the number of batches whose gradients are accumulated.

        Raises:
            TrainingError: the loss is not finite; the text names the step.
        """
        loss = mean_over_processes(super().training_step(*args, **kwargs))
        if not torch.isfinite(loss):
            step = self.state.global_step + 1
            raise TrainingError(
                f"the loss is {loss.item()} at step {step} (epoch {self.state.epoch or 0:.2f}); expected a finite "
                f"number. {_NOT_FINITE_ADVICE}"
            )
        return loss

    def train(self, resume_from_checkpoint: str | None = None, **kwargs: Any) -> Any:
        """Train, or resume from a checkpoint; at the end load the best weights, if `load_best_model_at_end` is set.

        A checkpoint that was written when training had ended is not trained further.

        Raises:
            TrainingError: the checkpoint with the best weights is gone.
        """
        result = None
        if resume_from_checkpoint is not None and _training_was_over(Path(resume_from_checkpoint)):
            self.state = TrainerState.load_from_json(str(Path(resume_from_checkpoint) / TRAINER_STATE_NAME))
            load_trained_state(self.model, Path(resume_from_checkpoint))
        else:
            try:
                result = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
            finally:
                for callback in self.callback_handler.callbacks:
                    if isinstance(callback, ProgressBar):
                        callback.close()
        if self.args.load_best_model_at_end:
            best = Path(self.args.output_dir) / f"checkpoint-{self.state.best_global_step}"
            if not (best / COMPLETE_MARKER).is_file():
                raise TrainingError(
                    f"{best}: the checkpoint with the best weights is gone or not complete; run again with --overwrite"
                )
            load_trained_state(self.model, best)
        return result

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        broken = [name for name, p in self.model.named_parameters() if p.requires_grad and not p.isfinite().all()]
        if broken:
            raise TrainingError(
                f"after step {self.state.global_step} {len(broken)} trained parameters are not finite, such as "
                f"{broken[0]}; nothing is saved. {_NOT_FINITE_ADVICE}"
            )
        with explained_disk(Path(self.args.output_dir)), quiet_transformers():
            super()._save_checkpoint(*args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(trained_state(self.model), folder / TRAINED_WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        load_trained_state(model or self.model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        """Do nothing: `train` loads the best weights, and checks that they are complete."""


class _EpochDataLoader(DataLoader[int]):
    """A DataLoader that passes the epoch number, which the Trainer sets, on to its batch sampler."""

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


class _MarkComplete(TrainerCallback):  # type: ignore[misc]
    """Marks a checkpoint as complete after its last file, so that a half-written one is never resumed from."""

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the marker."""
        wait_for_all()  # every process writes its own random state
        if state.is_world_process_zero:
            with explained_disk(Path(args.output_dir)):
                (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE_MARKER).touch()


class SaveWithinEpochs(TrainerCallback):  # type: ignore[misc]
    """Saves a checkpoint every `steps` steps, in addition to the end of every epoch.

    The last step of an epoch is left out: its checkpoint is written once, after the evaluation, so that no checkpoint
    lacks the metrics of the epoch it ends and none is written twice.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Request a checkpoint."""
        if state.global_step % self._steps == 0 and not float(state.epoch).is_integer():
            control.should_save = True


def trained_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Trained parameters by name, as contiguous CPU tensors; a tied parameter is listed once."""
    return {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}


def load_trained_state(model: nn.Module, checkpoint: Path) -> None:
    """Load the trained parameters of a checkpoint in place.

    Raises:
        TrainingError: the file is missing, or holds other parameters than the model trains.
    """
    file = checkpoint / TRAINED_WEIGHTS
    if not file.is_file():
        raise TrainingError(f"{checkpoint} has no {TRAINED_WEIGHTS}; expected a complete checkpoint of this run")
    # Checkpoints of earlier versions call the model that is tuned `split`, where it is `encoder` now.
    state = {re.sub(r"^split\.", "encoder.", name): value for name, value in load_file(file).items()}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if state.keys() != trained.keys():
        # For instance a checkpoint of another K, or of another method.
        differing = sorted(state.keys() ^ trained.keys())
        raise TrainingError(
            f"{file} holds other parameters than the model trains ({len(differing)} differ, such as {differing[0]}); "
            "resume with the settings of the interrupted run"
        )
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(state[name])


def last_complete_checkpoint(folder: Path) -> Path | None:
    """Find the newest complete checkpoint in a run's checkpoint folder; None if there is none."""
    complete = [p.parent for p in folder.glob(f"checkpoint-*/{COMPLETE_MARKER}")]
    return max(complete, key=lambda p: int(p.name.rpartition("-")[2]), default=None)


def remove_incomplete_checkpoints(folder: Path) -> None:
    """Remove incomplete checkpoints and stray files of an interrupted run, which would count as checkpoints."""
    for path in folder.glob("*"):
        if path.is_file():
            path.unlink()
        elif not (path / COMPLETE_MARKER).is_file():
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def explained_disk(folder: Path) -> Iterator[None]:
    """Turn the errors by which libraries report a full disk into a clear one.

    Raises:
        TrainingError: the body could not write because the disk is full.
    """
    text = (
        f"{folder}: no room on the disk to save the run; what was saved before is kept. "
        "Make room, then continue with --resume"
    )
    with full_disk_as(lambda _: TrainingError(text)):
        yield


def _training_was_over(checkpoint: Path) -> bool:
    """Check if training had ended, by the last epoch or by early stopping, when the checkpoint was written."""
    state = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    control = state.get("stateful_callbacks", {}).get("TrainerControl", {})
    return bool(control.get("args", {}).get("should_training_stop", False))
