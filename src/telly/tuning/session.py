"""State of one tuning run, and the callbacks that record its epochs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from telly.disk import write_json, write_text
from telly.metrics.interval import Floats
from telly.metrics.per_example import write_per_example
from telly.runs.folder import RunFolder
from telly.runs.parts import EpochInfo
from telly.runs.record import RunRecord
from telly.settings.config import ResolvedConfig
from telly.tasks.training.base import AnyTask
from telly.training.clocks import Clocks, PeakMemory
from telly.training.trainer import TellyTrainer, explained_disk


@dataclass
class Run:
    """Mutable state of one tuning run.

    Attributes:
        config: the settings.
        task: the task.
        output: the output folder.
        record: the run's record, which grows as the run proceeds.
        clocks: clocks of the parts of the run.
        memory: measure of peak memory.
        main: whether this process writes for all that train together.
        acquired: whether the output folder belongs to this run; nothing is written into it before.
    """

    config: ResolvedConfig
    task: AnyTask
    output: Path
    record: RunRecord
    clocks: Clocks
    memory: PeakMemory
    main: bool
    acquired: bool = False

    @property
    def folder(self) -> RunFolder:
        """The files of the output folder."""
        return RunFolder(self.output)

    def save_epochs(self) -> None:
        """Write the epochs so far, one JSON object per line."""
        if self.main:
            lines = "".join(json.dumps(asdict(entry)) + "\n" for entry in self.record.epochs)
            with explained_disk(self.output):
                write_text(self.folder.metrics, lines)

    def save_predictions(self, predictions: list[dict[str, Any]] | None) -> None:
        """Write the model's answers to the test data, one JSON object per line; `telly score` reads them."""
        if self.main and predictions is not None:
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in predictions)
            with explained_disk(self.output):
                write_text(self.folder.predictions, lines)

    def save_per_example(self, per_example: dict[str, Floats]) -> None:
        """Write the test statistics per example, from which `telly report` computes intervals and paired tests."""
        if per_example:
            self.record.scores = self.folder.scores.name
        if self.main and per_example:
            with explained_disk(self.output):
                write_per_example(self.folder.scores, per_example)

    def save_untuned_scores(self, per_example: dict[str, Floats]) -> None:
        """Write the untuned model's test statistics per example, with which the tuned model's are compared."""
        if self.main and per_example:
            with explained_disk(self.output):
                write_per_example(self.folder.untuned_scores, per_example)

    def save(self) -> None:
        """Write the record with times and peak memory so far."""
        self.record.clocks = self.clocks.seconds()
        self.record.wall_seconds = self.clocks.wall()
        self.record.peak_memory_bytes = max(self.record.peak_memory_bytes or 0, self.memory.bytes())
        if self.main and self.acquired:
            with explained_disk(self.output):
                self.record.save(self.output)


class ClockedTrainer(TellyTrainer):
    """A Trainer that counts the time of checkpoints as `save` and passes on the loss of every batch."""

    def __init__(self, clocks: Clocks, on_loss: Callable[[float], None], *args: Any, **kwargs: Any) -> None:
        self._clocks = clocks
        self._on_loss = on_loss
        super().__init__(*args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run one batch and pass on its loss."""
        loss = super().training_step(*args, **kwargs)
        self._on_loss(loss.item() * self.current_gradient_accumulation_steps)
        return loss

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        with self._clocks("save"):
            super()._save_checkpoint(*args, **kwargs)


class Epochs(TrainerCallback):  # type: ignore[misc]
    """Records time, loss and validation metrics of every epoch, in the record and in `metrics.jsonl`.

    A checkpoint within an epoch contains the epoch's time and losses so far, and a resumed run adds to them.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._before = 0.0  # training seconds before the current epoch
        self._losses: list[float] = []

    def add_loss(self, loss: float) -> None:
        """Count one batch's loss."""
        self._losses.append(loss)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Continue the epoch of the checkpoint that the run resumes from, if any."""
        file = self._run.folder.epoch_of_checkpoint(state.global_step)
        earlier: dict[str, Any] = {"seconds": 0.0, "losses": []}
        if file.is_file():
            earlier = json.loads(file.read_text(encoding="utf-8"))
        self._losses = earlier["losses"]
        self._before = self._train_seconds() - earlier["seconds"]

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the epoch so far into the checkpoint."""
        if self._run.main:
            so_far = {"seconds": self._train_seconds() - self._before, "losses": self._losses}
            with explained_disk(self._run.output):
                write_json(self._run.folder.epoch_of_checkpoint(state.global_step), so_far)

    def _train_seconds(self) -> float:
        return self._run.clocks.seconds()["train"]

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the epoch that ends with this evaluation."""
        metrics: dict[str, float] = kwargs["metrics"]
        entry = EpochInfo(
            epoch=round(state.epoch),
            step=state.global_step,
            seconds=self._train_seconds() - self._before,
            train_loss=sum(self._losses) / len(self._losses) if self._losses else None,
            valid={name.removeprefix("eval_"): value for name, value in metrics.items()},
        )
        self._run.record.epochs.append(entry)
        self._run.save_epochs()
        self._run.save()
        self._losses, self._before = [], self._train_seconds()
