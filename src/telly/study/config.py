"""A study's settings, and the cells that they ask for."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from telly.config import Config, read_toml
from telly.data.formats import content_files, data_files
from telly.errors import ConfigError, DataError, TellyError
from telly.freezing.methods import check_method
from telly.freezing.variants import BASE, Method
from telly.models.folder import EMBEDDED
from telly.models.load import resolve as resolve_model
from telly.models.load import shape_of
from telly.models.stack import LayerStack
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.tasks import TASKS, get_task

FROZEN = "frozen-"
"""Before K: the same layers are frozen, but run in every epoch."""
PLACES = ("output", "cache_dir", "cache_budget_gb", "report_to")
"""Settings that do not change what a run gives."""
SAMPLED = 1 << 20
"""Bytes at both ends of a weight file that tell it from others, beside its size."""
VARIANT_KEYS = ("task", "model", "freeze", "method", "cache", "seed")
"""Settings that the grid itself makes."""
PEFT_METHODS = tuple(method.value for method in Method if method is not Method.FULL)
_FORM = re.compile(
    rf"(?P<base>{BASE}|{'|'.join(PEFT_METHODS)})|(?P<frozen>{FROZEN})?(?P<k>\d+)(-(?P<method>{'|'.join(PEFT_METHODS)}))?"
)


class StudyBudget(Config):
    """What a study may take."""

    hours: PositiveFloat | None = Field(None, description="start no cell after so many hours")
    disk_gb: PositiveFloat | None = Field(None, description="most disk that the stores of one cell may take")


class Needs(Config):
    """What one cell takes of a machine."""

    processes: PositiveInt = Field(1, description="that train it together, started by `accelerate launch`")
    cpus: PositiveFloat = Field(1.0, description="of a machine that runs Ray")
    gpus: float = Field(0.0, ge=0, description="of a machine that runs Ray")
    retries: int = Field(3, ge=0, description="how often Ray starts it again when its machine or process dies")

    @model_validator(mode="after")
    def _a_gpu_each(self) -> Self:
        if self.gpus > 1 and self.gpus != self.processes:
            raise ValueError(f"gpus: {self.gpus:g} for {self.processes} processes; give every process one of its own")
        return self


class StudyConfig(Config):
    """A grid: every variant and seed of every task and model."""

    models: tuple[str, ...] = Field((EMBEDDED,), min_length=1)
    tasks: tuple[str, ...] = Field(("search",), min_length=1)
    variants: tuple[str, ...] = Field((BASE, "9"), min_length=1, description="base, K, frozen-K, a peer, or K-peer")
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict, description="of `telly tune`, for all cells")
    task: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="of `telly tune`, for the cells of a task"
    )
    analyses: tuple[Literal["compare", "probe"], ...] = Field(
        (), description="of every model and its tuned versions (base, first seed), after the cells"
    )
    analysis_texts: PositiveInt = Field(1000, ge=50, description="most texts of an analysis")
    method: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="of `telly tune`, for the cells of a peer such as lora; goes before the others",
    )
    budget: StudyBudget = StudyBudget()
    cell: Needs = Needs()

    @field_validator("variants", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return [str(entry) for entry in value] if isinstance(value, list | tuple) else value

    @field_validator("models", "tasks", "variants", "seeds", "analyses")
    @classmethod
    def _each_once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        twice = sorted({str(entry) for entry in value if value.count(entry) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands there twice; give each once")
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
        tops = {_parts(variant).method.value for variant in self.variants if _FORM.fullmatch(variant)}
        unused = sorted(self.method.keys() - tops)
        if unused:
            raise ValueError(f"method.{unused[0]}: no variant is trained so; found {', '.join(sorted(tops))}")
        return self


@dataclass(frozen=True)
class Parts:
    """What a variant's name says.

    Attributes:
        freeze: `base` or K.
        method: what is trained of the layers that are not frozen.
        cached: whether frozen layers are run once.
    """

    freeze: str
    method: Method
    cached: bool

    @property
    def order(self) -> tuple[int, int, bool]:
        """Base and its peers, then K upwards with its peers, each before the same without a store; head-only last."""
        if self.method is Method.HEAD_ONLY:
            return sys.maxsize, 0, False
        return -1 if self.freeze == BASE else int(self.freeze), list(Method).index(self.method), not self.cached

    @property
    def stored(self) -> bool:
        """Whether there is something to store, and it is to be stored."""
        return self.cached and (self.freeze != BASE or self.method is Method.HEAD_ONLY)


def _parts(variant: str) -> Parts:
    """What a variant's name says.

    Raises:
        ConfigError: it is no name of a variant.
    """
    found = _FORM.fullmatch(variant)
    if found is None:
        raise ConfigError(
            f"variants: expected {BASE}, K or {FROZEN}K, {', '.join(PEFT_METHODS)}, or K with one of these such as "
            f"9-{Method.LORA}, found {variant!r}"
        )
    alone = found["base"]
    if alone:
        return Parts(BASE, Method.FULL if alone == BASE else Method(alone), True)
    return Parts(str(int(found["k"])), Method(found["method"] or Method.FULL), found["frozen"] is None)


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    Attributes:
        variant: as the study names it.
        config: resolved settings, with the run's folder.
    """

    variant: str
    config: ResolvedConfig

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.config.output

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"{self.config.task}, {Path(self.config.model).name}, {self.variant}, seed {self.config.seed}"

    @property
    def cache_layer(self) -> int | None:
        """K, where the run reads the store of its states; above all others where the last layer's are stored."""
        if not self.config.cache:
            return None
        return sys.maxsize if self.config.method is Method.HEAD_ONLY else self.config.k

    @property
    def group(self) -> tuple[str, str]:
        """Model and task: cells that share stores and stand in one table."""
        return self.config.model, self.config.task


def load_study(name: str) -> StudyConfig:
    """Settings from a TOML file, or of a built-in study.

    Raises:
        ConfigError: there is no such file or study, or its settings are wrong.
    """
    known = built_in()
    if name in known:
        return StudyConfig.parse(read_toml(known[name]), f"study {name}")
    path = Path(name)
    if not path.exists():
        raise ConfigError(f"{name}: no such file; expected a TOML file, or one of the studies {', '.join(known)}")
    return StudyConfig.parse(read_toml(path), name)


def built_in() -> dict[str, Path]:
    """Files of the studies that the package ships, by name."""
    folder = Path(str(resources.files("telly.study") / "studies"))
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def cells_of(study: StudyConfig, output: Path) -> list[Cell]:
    """All cells in the order in which they are run: model by model and task by task, base first, then K upwards.

    A cell's folder is a function of its resolved settings, the content of its data and the files of its model.

    Raises:
        ConfigError: cells are impossible; the text lists every problem once.
    """
    cells: list[Cell] = []
    problems: dict[str, None] = {}
    for model in study.models:
        for task in study.tasks:
            for variant in sorted(study.variants, key=_place):
                for seed in study.seeds:
                    try:
                        cells.append(_cell(study, model, task, variant, seed, output))
                    except TellyError as error:
                        problems[str(error)] = None
    if problems:
        raise ConfigError("the study cannot run:\n" + "\n".join(f"  {problem}" for problem in problems))
    return cells


def groups_of(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells of every model and task, which share stores and stand in one table."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    return list(groups.values())


def _place(variant: str) -> tuple[int, int, bool]:
    """In which order variants are run; a name that is none comes first, and is refused there."""
    return _parts(variant).order if _FORM.fullmatch(variant) else (-1, -1, False)


def _cell(study: StudyConfig, model: str, task: str, variant: str, seed: int, output: Path) -> Cell:
    where = f"settings of {task}"
    parts = _parts(variant)
    given = study.settings | study.task.get(task, {}) | study.method.get(parts.method.value, {})
    own = [name for name in VARIANT_KEYS if name in given]
    if own:
        raise ConfigError(f"settings: {', '.join(own)} is what the grid varies; leave it out of the file")
    layers = len(_shape(model, False))
    if parts.freeze != BASE and int(parts.freeze) >= layers:
        raise ConfigError(f"variants: {variant}: {model} has {layers} layers, so K is at most {layers - 1}")
    values = {
        "cache_always": True,  # a table must not hang on how busy the machine was
        "cache_dir": output / "stores",
        "cache_budget_gb": study.budget.disk_gb,
        **given,
        "task": task,
        "model": model,
        "freeze": parts.freeze,
        "method": parts.method.value,
        "cache": parts.cached,
        "seed": seed,
    }
    if not parts.stored:
        values["cache_always"] = False
    config = TuneConfig.parse(values, where).resolve()
    check_method(_shape(model, get_task(task).is_generative), config.k, config.method, config.lora)
    name = f"{task}-{Path(model).name}-{variant}-s{seed}-{_digest(config)}"
    return Cell(variant, config.model_copy(update={"output": output / "cells" / name}))


def _digest(config: ResolvedConfig) -> str:
    settings = {k: v for k, v in config.model_dump(mode="json").items() if k not in PLACES}
    files = {name: _data_digest(getattr(config, name), name) for name in ("data", "valid", "test")}
    key = json.dumps([settings, files, _model_digest(config.model)], sort_keys=True)
    return hashlib.blake2b(key.encode(), digest_size=4).hexdigest()


@cache
def _shape(model: str, is_generative: bool) -> LayerStack:
    """The layers of the model without values."""
    return shape_of(model, is_generative=is_generative)


@cache
def _data_digest(source: str | None, split: str) -> str | None:
    """Of the content of local data; a hub data set stands for itself."""
    if source is None or not Path(source).exists():
        if source is not None and (source.count("/") != 1 or Path(source).suffix):
            raise DataError(f"{source}: no such file or folder")
        return source
    name = {"data": "train"}.get(split, split)
    digest = hashlib.blake2b(digest_size=16)
    for file in data_files(Path(source), name if Path(source).is_dir() else None):
        for part in content_files(file):
            with part.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "blake2b").digest())
    return digest.hexdigest()


@cache
def _model_digest(model: str) -> str:
    """Of the configuration, and of the sizes and both ends of the weight files; a hub id stands for itself."""
    folder = Path(resolve_model(model))
    if not folder.is_dir():
        return model
    digest = hashlib.blake2b((folder / "config.json").read_bytes(), digest_size=16)
    for file in sorted((*folder.glob("*.safetensors"), *folder.glob("*.bin"), *folder.glob("tokenizer*"))):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(SAMPLED))
            stream.seek(max(0, size - SAMPLED))
            digest.update(stream.read(SAMPLED))
    return digest.hexdigest()
