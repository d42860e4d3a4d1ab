"""The folder of a tuning run: names of its files, removal, and protection of earlier runs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from telly.disk import PARTIAL_SUFFIX
from telly.errors import ConfigError
from telly.models.folder import CONFIG, MODEL_FOLDER
from telly.settings.renamed import same_settings

RECORD_FILE = "record.json"
SETTINGS_FILE = "config.toml"
METRICS_FILE = "metrics.jsonl"
PREDICTIONS_FILE = "predictions.jsonl"
SCORES_FILE = "scores.npz"
UNTUNED_SCORES_FILE = "untuned-scores.npz"
CHECKPOINTS = "checkpoints"
EPOCH_FILE = "epoch.json"
"""File within a checkpoint: training seconds and losses of its epoch so far."""
ADVICE_FOLDER = "advice"
ADAPTER_FOLDER = "adapter"
CARD_FILE = "README.md"
"""Model card within a folder with a model."""
HEAD_FILE = "head.safetensors"
"""Weights of the task's head within a folder with a model."""
RESULT_FOLDERS = (MODEL_FOLDER, ADAPTER_FOLDER)


def holds_results(name: str) -> bool:
    """True if a folder of this name may hold results of telly; the folders with weights within a run do not."""
    return name not in (CHECKPOINTS, *RESULT_FOLDERS) and not name.endswith(PARTIAL_SUFFIX)


@dataclass(frozen=True)
class RunFolder:
    """The output folder of a tuning run, which need not exist.

    Attributes:
        path: path of the folder.
    """

    path: Path

    @property
    def record(self) -> Path:
        """The run record, see `telly.runs.record`."""
        return self.path / RECORD_FILE

    @property
    def settings(self) -> Path:
        """The resolved settings as TOML. A folder with this file is a run's."""
        return self.path / SETTINGS_FILE

    @property
    def metrics(self) -> Path:
        """Training seconds, loss and validation metrics, one JSON object per epoch."""
        return self.path / METRICS_FILE

    @property
    def predictions(self) -> Path:
        """The model's answers to the test data, one JSON object per line; `telly score` reads them."""
        return self.path / PREDICTIONS_FILE

    @property
    def scores(self) -> Path:
        """Test scores of every example, see `telly.metrics.per_example`."""
        return self.path / SCORES_FILE

    @property
    def untuned_scores(self) -> Path:
        """Test scores of the untuned model for every example, in the same format."""
        return self.path / UNTUNED_SCORES_FILE

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of the Trainer, removed once the run is finished."""
        return self.path / CHECKPOINTS

    def epoch_of_checkpoint(self, step: int) -> Path:
        """The file within a checkpoint with training seconds and losses of its epoch so far."""
        return self.checkpoints / f"checkpoint-{step}" / EPOCH_FILE

    @property
    def advice(self) -> Path:
        """The advice by which `freeze = auto` chose K."""
        return self.path / ADVICE_FOLDER

    @property
    def model(self) -> Path:
        """The tuned model, adapters merged, in the format of transformers."""
        return self.path / MODEL_FOLDER

    @property
    def has_model(self) -> bool:
        """True if the tuned model was written."""
        return (self.model / CONFIG).is_file()

    @property
    def adapter(self) -> Path:
        """The adapter alone, in the format of peft."""
        return self.path / ADAPTER_FOLDER

    def remove(self) -> None:
        """Remove the run's files; a folder that is not a run's is left alone."""
        if not self.settings.exists():
            return
        for folder in (self.checkpoints, self.model, self.adapter):
            shutil.rmtree(folder, ignore_errors=True)
        self.remove_partial()
        for file in (self.record, self.metrics, self.predictions, self.scores, self.untuned_scores, self.settings):
            file.unlink(missing_ok=True)  # the settings last: without them the rest would not be recognised as a run's

    def remove_partial(self) -> None:
        """Remove incomplete folders that a killed process left."""
        for folder in self.path.glob(f".*{PARTIAL_SUFFIX}"):
            shutil.rmtree(folder, ignore_errors=True)

    def check_available(self, resume: bool, overwrite: bool, finished: bool, settings: str | None) -> None:
        """Check that a new run neither overwrites an earlier one unasked nor mixes with it.

        Args:
            resume: continue an interrupted run in this folder.
            overwrite: replace an earlier run in this folder.
            finished: true if the run in this folder is finished.
            settings: the new run's settings as TOML; None if they are not known yet, so that they are not compared.

        Raises:
            ConfigError: the folder holds a run and neither resuming nor overwriting was asked for, or it cannot be
                resumed.
        """
        folder, settings_file = self.path, self.settings
        blocking = next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None)
        if blocking is not None:
            raise ConfigError(f"{folder}: {blocking} is a file; expected a folder, or nothing, for --output")
        if resume:
            if finished:
                raise ConfigError(
                    f"{folder}: this run is finished; there is nothing to resume. --overwrite starts it again"
                )
            if not settings_file.is_file():
                raise ConfigError(f"{folder}: no interrupted run to resume here (no {SETTINGS_FILE})")
            if settings is not None and not same_settings(settings_file.read_text(encoding="utf-8"), settings):
                raise ConfigError(
                    f"{folder}: the interrupted run has other settings (see {settings_file}); resume with the same ones"
                )
        elif settings_file.exists() and not overwrite:
            same = settings is None or same_settings(settings_file.read_text(encoding="utf-8"), settings)
            resumable = same and not finished
            ways = "--resume or --overwrite" if resumable else "--overwrite"
            raise ConfigError(f"{folder}: there is a run already; choose another --output, or give {ways}")
        elif not settings_file.exists():
            foreign = [name for name in (CHECKPOINTS, *RESULT_FOLDERS) if (folder / name).exists()]
            if foreign:
                raise ConfigError(
                    f"{folder}: has a folder {foreign[0]!r} that no run made (there is no {SETTINGS_FILE}), and a run "
                    "would replace it; choose another --output"
                )
