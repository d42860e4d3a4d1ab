"""Settings of a study, and the cells of its grid."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from telly.config import Config, read_toml
from telly.data.readers import files_of
from telly.errors import ConfigError, DataError, PlanError, TellyError
from telly.freezing.methods import check_method
from telly.freezing.variants import BASE, Method, Variant
from telly.models.folder import EMBEDDED
from telly.models.load import shape_of
from telly.models.stack import LayerStack
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.settings.digests import digests_of_models, models_of
from telly.settings.lists import AXES, RESULT_SETTINGS, SETTINGS
from telly.settings.renamed import RENAMED
from telly.settings.resolve import caches_in
from telly.tasks import TASKS, get_spec

"""Bytes at both ends of a weight file that identify it together with its size."""


class StudyBudget(Config):
    """Limits of a study's time and disk space."""

    hours: PositiveFloat | None = Field(None, description="hours after which no cell is started")
    disk_gb: PositiveFloat | None = Field(None, description="maximum disk space of one cell's activation caches")


class CellResources(Config):
    """Resources of one cell."""

    processes: PositiveInt = Field(
        1, description="number of processes that train a cell together, started by `accelerate launch`"
    )
    cpus: PositiveFloat = Field(1.0, description="processors per cell, with Ray")
    gpus: float = Field(0.0, ge=0, description="GPUs per cell, with Ray")
    retries: int = Field(3, ge=0, description="restarts by Ray of a cell whose machine or process dies")

    @model_validator(mode="after")
    def _check_gpus(self) -> Self:
        if self.gpus > 1 and self.gpus != self.processes:
            raise ValueError(f"gpus: {self.gpus:g} for {self.processes} processes; give every process one of its own")
        return self


class StudyConfig(Config):
    """Settings of a study: every variant and seed of every task and model is a cell."""

    models: tuple[str, ...] = Field((EMBEDDED,), min_length=1)
    tasks: tuple[str, ...] = Field(("search",), min_length=1)
    variants: tuple[str, ...] = Field(
        (BASE, "9"), min_length=1, description="base, K, frozen-K, a method, K-method or frozen-K-method"
    )
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict, description="settings of `telly tune` for all cells")
    task: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="settings of `telly tune` for the cells of a task"
    )
    analyses: tuple[Literal["compare", "probe"], ...] = Field(
        (), description="analyses of every model and its tuned versions (base, first seed), after the cells"
    )
    analysis_texts: PositiveInt = Field(1000, ge=50, description="maximum number of texts of an analysis")
    method: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="settings of `telly tune` for the cells of a method such as lora; override the others",
    )
    renamed: ClassVar[Mapping[str, str]] = RENAMED
    budget: StudyBudget = StudyBudget()
    cell: CellResources = CellResources()

    @field_validator("variants", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return [str(entry) for entry in value] if isinstance(value, list | tuple) else value

    @field_validator("models", "tasks", "variants", "seeds", "analyses")
    @classmethod
    def _no_duplicates(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        duplicates = sorted({str(entry) for entry in value if value.count(entry) > 1})
        if duplicates:
            raise ValueError(f"{', '.join(duplicates)} occurs twice; give each once")
        return value

    @field_validator("task")
    @classmethod
    def _known_tasks(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        unknown = sorted(value.keys() - TASKS.keys())
        if unknown:
            raise ValueError(f"no task {', '.join(unknown)}; known: {', '.join(TASKS)}")
        return value

    @model_validator(mode="after")
    def _settings_are_used(self) -> Self:
        methods = {variant.method.value for variant in map(_variant, self.variants) if variant is not None}
        unused = sorted(self.method.keys() - methods)
        if unused:
            raise ValueError(f"method.{unused[0]}: no variant has this method; found {', '.join(sorted(methods))}")
        return self


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    Attributes:
        variant: K, tuning method and use of activation caches.
        config: resolved settings, with the run's folder.
    """

    variant: Variant
    config: ResolvedConfig

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.config.output

    @property
    def name(self) -> str:
        """Name of the cell for messages."""
        return f"{self.config.task}, {Path(self.config.model).name}, {self.variant.slug}, seed {self.config.seed}"

    @property
    def cache_layer(self) -> int | None:
        """The layer whose cached input states the run reads, or `sys.maxsize` for a head alone; None without cache."""
        if not self.config.cache:
            return None
        return sys.maxsize if self.config.method is Method.HEAD_ONLY else self.config.k

    @property
    def group(self) -> tuple[str, str]:
        """Model and task: cells that share activation caches and a table."""
        return self.config.model, self.config.task


def load_study(name: str) -> StudyConfig:
    """Load the settings of a study from a TOML file, or those of a built-in study.

    Raises:
        ConfigError: there is no such file or study, or its settings are wrong.
    """
    shipped = built_in()
    if name in shipped:
        return StudyConfig.parse(read_toml(shipped[name]), f"study {name}")
    path = Path(name)
    if not path.exists():
        raise ConfigError(f"{name}: no such file; expected a TOML file, or one of the studies {', '.join(shipped)}")
    return StudyConfig.parse(read_toml(path), name)


def built_in() -> dict[str, Path]:
    """Files of the studies that the package ships, by name."""
    folder = Path(str(resources.files("telly.studies") / "studies"))
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def cells_of(study: StudyConfig, output: Path) -> list[Cell]:
    """All cells in the order in which they are run: model by model and task by task, base first, then K upwards.

    A cell's folder is derived from its resolved settings, the content of its data and the files of its model.

    Raises:
        ConfigError: cells are impossible; the text lists every problem once.
    """
    cells: list[Cell] = []
    problems: dict[str, None] = {}  # a set in the order of insertion
    for model in study.models:
        for task in study.tasks:
            for name in sorted(study.variants, key=_order):
                for seed in study.seeds:
                    try:
                        variant = parse_variant(name)
                        cells.append(_cell(study, model, task, variant, seed, output))
                    except TellyError as error:
                        problems[str(error)] = None
    if problems:
        raise ConfigError("the study cannot run:\n" + "\n".join(f"  {problem}" for problem in problems))
    return cells


def groups_of(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells of every model and task, which share activation caches and a table."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    return list(groups.values())


def parse_variant(name: str) -> Variant:
    """The variant that a study names.

    Raises:
        ConfigError: there is no such variant.
    """
    try:
        return Variant.parse(name)
    except PlanError as error:
        raise ConfigError(f"variants: {error}") from None


def _variant(name: str) -> Variant | None:
    """Parse a variant; None if the text names none, which `cells_of` reports with the other problems."""
    try:
        return Variant.parse(name)
    except PlanError:
        return None


def _order(name: str) -> tuple[int, int, bool]:
    """Sort key of the order in which variants run; unknown names come first."""
    variant = _variant(name)
    return (-1, -1, False) if variant is None else variant.order


def _cell(study: StudyConfig, model: str, task: str, variant: Variant, seed: int, output: Path) -> Cell:
    where = f"settings of {task}"
    settings = study.settings | study.task.get(task, {}) | study.method.get(variant.method.value, {})
    axes = [name for name in AXES if name in settings]
    if axes:
        raise ConfigError(f"settings: the grid sets {', '.join(axes)}; leave it out of the file")
    layers = len(_shape(model, False))
    if variant.k is not None and variant.k >= layers:
        raise ConfigError(f"variants: {variant.slug}: {model} has {layers} layers, so K is at most {layers - 1}")
    values = {
        "cache_always": True,  # else the measured speed of the machine would decide, and runs could not be compared
        "cache_dir": caches_in(output),
        "cache_budget_gb": study.budget.disk_gb,
        **settings,
        "task": task,
        "model": model,
        "freeze": variant.freeze,
        "method": variant.method,
        "cache": variant.cached or not variant.freezes,
        "seed": seed,
    }
    if not variant.cached:
        values["cache_always"] = False
    config = TuneConfig.parse(values, where).resolve()
    check_method(_shape(model, get_spec(task).is_generative), config.k, config.method, config.lora)
    name = f"{task}-{Path(model).name}-{variant.slug}-s{seed}-{_digest(config)}"
    return Cell(variant, config.model_copy(update={"output": output / "cells" / name}))


def _digest(config: ResolvedConfig) -> str:
    """A digest of everything that determines a cell's result: settings, content of the data, files of the model.

    The settings have their names of the first version, so that the cells of earlier studies keep their folders.
    """
    former = {name: old for old, name in RENAMED.items()}
    defaults = {name: declared.default for name, declared in SETTINGS.items()}
    # `resolve` fills a task's own options with their defaults.
    defaults |= json.loads(json.dumps(asdict(get_spec(config.task).options())))
    settings = dict.fromkeys(_ALWAYS) | {
        former.get(name, name): value
        for name, value in config.model_dump(mode="json").items()
        if name in RESULT_SETTINGS and (former.get(name, name) in _ALWAYS or value != defaults[name])
    }
    settings["freeze"] = str(config.freeze)
    settings["cache_always"] = config.variant.cached
    files = {name: _data_digest(getattr(config, name), name, config.task) for name in ("data", "valid", "test")}
    key = json.dumps(
        [settings, files, *_digests(models_of(config), get_spec(config.task).is_generative)], sort_keys=True
    )
    return hashlib.blake2b(key.encode(), digest_size=4).hexdigest()


_ALWAYS = (
    *("task", "model", "data", "valid", "test", "columns", "limit", "eval_limit", "freeze", "top", "lora_rank"),
    *("lora_alpha", "lora_dropout", "lora_targets", "cache", "cache_dtype", "cache_always", "epochs", "batch_size"),
    *("learning_rate", "warmup", "temperature", "head", "shared_batches", "beams", "max_tokens", "precision"),
    *("patience", "metric", "save_steps", "seed"),
)
"""Settings of the first version, which are in the digest even with their default value. Settings that were added later
are in it only with another value, so that the cells of studies that do not use them keep their folders."""


@cache
def _shape(model: str, is_generative: bool) -> LayerStack:
    """The model's layers without weights, on the meta device."""
    return shape_of(model, is_generative=is_generative)


@cache
def _data_digest(source: str | None, split: str, task: str) -> str | None:
    """Digest of the content of local data; a hub data set is identified by its name."""
    if source is None or not Path(source).exists():
        if source is not None and (source.count("/") != 1 or Path(source).suffix):
            raise DataError(f"{source}: no such file or folder")
        return source
    name = {"data": "train"}.get(split, split)
    digest = hashlib.blake2b(digest_size=16)
    for file in files_of(Path(source), get_spec(task).schema, name if Path(source).is_dir() else None):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "blake2b").digest())
    return digest.hexdigest()


_digests = cache(digests_of_models)
"""The cells of a study name few models, whose files are read once."""
