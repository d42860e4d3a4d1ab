"""A tuned model ready for use: chosen, loaded with its head, and run as its task's evaluation runs it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from telly.data.sequences import SequenceTable
from telly.errors import ConfigError
from telly.freezing.fingerprint import prefix_digests
from telly.freezing.split import SplitModel
from telly.models.declared import cautions_about, check_pooling
from telly.models.load import EMBEDDED, load_model, load_tokenizer
from telly.report.runs import StoredRun, look
from telly.tasks import get_task
from telly.tasks.base import Encoded, Task
from telly.tasks.clone import CloneModel
from telly.tasks.contrast import ContrastModel
from telly.tuning.config import TuneConfig
from telly.tuning.inputs import check_lengths, fitting_lengths
from telly.tuning.resolve import resolve
from telly.tuning.saving import InferenceConfig, load_head, read_inference_config

RUNS = Path("runs")
"""Where `telly tune` puts runs that were not told a folder."""

Embed = Callable[[dict[str, torch.Tensor]], torch.Tensor]


def newest_run(task: str, runs: Path = RUNS) -> Path | None:
    """The folder of the finished run of a task that was started last; None where there is none with its model.

    Of clone detection only runs count whose vectors are compared by their cosine.
    """
    found = [run for run in look([runs]).runs if _usable(run, task)] if runs.is_dir() else []
    return max(found, key=lambda run: run.record.started).folder if found else None


def _usable(run: StoredRun, task: str) -> bool:
    if run.record.config.get("task") != task or not (run.folder / "model" / "config.json").is_file():
        return False
    return task != "clone" or run.record.config.get("head") == "cosine"


@dataclass(frozen=True)
class Choice:
    """Which model is used, and a line about it for the person at the terminal."""

    model: str
    line: str


def choose(task: str, model: str | None = None, runs: Path = RUNS) -> Choice:
    """The model that was asked for, else that of the newest run of a task, else the embedded one."""
    if model is not None:
        return Choice(model, f"model: {model}{'' if read_inference_config(model) else ', not tuned'}")
    newest = newest_run(task, runs)
    if newest is not None:
        return Choice(str(newest), f"model: {newest}, the newest run of {task}")
    return Choice(EMBEDDED, f"model: {EMBEDDED}, not tuned: no finished run of {task} in {runs}/")


@dataclass(frozen=True)
class EmbeddingKey:
    """What the vectors of functions depend on.

    Attributes:
        model: digest of all weights and of the model's settings.
        tokenizer: digest of how texts become tokens.
        max_tokens: where functions are cut.
        precision: of the forward, `fp32` or `bf16`.
        pooling: how a sequence becomes a vector.
    """

    model: str
    tokenizer: str
    max_tokens: int
    precision: str
    pooling: str = "mean, unit length"

    @property
    def fingerprint(self) -> str:
        """A digest of all parts."""
        return hashlib.blake2b(json.dumps(asdict(self), sort_keys=True).encode(), digest_size=12).hexdigest()


@dataclass(frozen=True)
class Tuned:
    """A model as its task uses it.

    Attributes:
        name: what it is called on the command line: a run's folder, a model folder, a hub id or the embedded model.
        config: its settings, with nothing left open.
        task: what it is used for.
        usage: what its folder says; None for a model that telly did not tune.
        module: the task's model with its head, in eval mode.
        tokenizer: the model's.
    """

    name: str
    config: TuneConfig
    task: Task
    usage: InferenceConfig | None
    module: nn.Module
    tokenizer: Any

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.module.parameters()).device

    @property
    def autocast(self) -> torch.autocast:
        """The precision of the run's evaluation."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    @property
    def split(self) -> SplitModel:
        """The model without its head."""
        found: SplitModel = self.module.split  # type: ignore[assignment]
        return found

    @property
    def embed(self) -> Embed:
        """From a batch of tokens to vectors of length one that are compared by their cosine, [batch, hidden].

        Raises:
            ConfigError: the model has no such vectors.
        """
        if isinstance(self.module, ContrastModel):
            return self.module.embed
        if isinstance(self.module, CloneModel) and self.module.head is None:
            return self.module.vectors
        raise ConfigError(
            f"{self.name}: its vectors were not trained to be compared by their cosine, so they cannot be indexed; "
            "expected a run of search, clone-retrieval, or clone with --head cosine"
        )

    @property
    def code_tokens(self) -> int:
        """Where functions are cut."""
        limits = self.config.max_tokens
        return limits["code"] if "code" in limits else limits["left"]

    @cached_property
    def key(self) -> EmbeddingKey:
        """What its vectors of functions depend on."""
        tokenizer = self.tokenizer.backend_tokenizer.to_str() if self.tokenizer.is_fast else repr(self.tokenizer)
        return EmbeddingKey(
            prefix_digests(self.split.model)[-1],
            hashlib.blake2b(tokenizer.encode(), digest_size=12).hexdigest(),
            self.code_tokens,
            self.config.precision,
        )


def load_tuned(
    model: str, tasks: tuple[str, ...], *, needs_tuning: bool = False, say: Callable[[str], None] = lambda _line: None
) -> Tuned:
    """Load a model for one of some tasks. Texts are cut to the positions of a model that was not tuned.

    Args:
        model: a run's folder, a model folder, a hub id or the embedded model.
        tasks: what it may have been tuned for; a model that was not tuned is used for the first.
        needs_tuning: refuse one that was not tuned, since its head would be random.
        say: told what a person should know about the model.

    Raises:
        ConfigError: it was tuned for another task, or not at all.
        ModelError: it cannot be loaded.
    """
    usage = read_inference_config(model)
    if usage is not None and usage.task not in tasks:
        raise ConfigError(f"{model}: was tuned for {usage.task}; expected a run of {' or '.join(tasks)}")
    if usage is None and needs_tuning:
        raise ConfigError(
            f"{model}: was not tuned for {tasks[0]}, so it has no classes to choose from; first run "
            f"`telly tune {tasks[0]}`, or give the folder of such a run: --model RUN"
        )
    config = _config(model, usage, tasks[0])
    task = get_task(config.task)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if not task.is_generative:
        check_pooling(model)
        for caution in cautions_about(model):
            say(f"caution: {caution}")
    tokenizer = load_tokenizer(model)
    loaded = load_model(model, is_generative=task.is_generative)
    if usage is None:
        config = _fitted(config, task, loaded, say)
    check_lengths(config, task, loaded)
    module = task.build(SplitModel(loaded, None), _classes(usage), config.options)
    head = getattr(module, "head", None)
    if usage is not None and head is not None:
        load_head(model, head)
    return Tuned(model, config, task, usage, module.eval().to(device), tokenizer)


def _config(model: str, usage: InferenceConfig | None, task: str) -> TuneConfig:
    """The run's own settings; for a model that was not tuned its recommendation or the task's preset."""
    if usage is None:
        return resolve(TuneConfig(task=task, model=model))
    given = {"head": usage.head, "beams": usage.beams, "precision": usage.precision}
    kept = {name: value for name, value in given.items() if value is not None}
    return resolve(TuneConfig.parse({"task": usage.task, "model": model, "max_tokens": usage.max_tokens, **kept}))


def _fitted(config: TuneConfig, task: Task, model: nn.Module, say: Callable[[str], None]) -> TuneConfig:
    """The settings with texts no longer than the model's positions; the preset's limits are a matter of cost alone."""
    limits = fitting_lengths(config, task, model)
    if limits == config.max_tokens:
        return config
    cut = ", ".join(f"{column} {limits[column]} (preset {tokens})" for column, tokens in config.max_tokens.items()
                    if limits[column] != tokens)  # fmt: skip
    say(f"caution: {config.model} has few positions, so texts are cut after fewer tokens: {cut}")
    return config.model_copy(update={"max_tokens": limits})


def _classes(usage: InferenceConfig | None) -> Encoded:
    """No examples, but their classes, which decide the head's shape."""
    return Encoded(SequenceTable.ragged([]), {}, classes=usage.classes if usage else ())
