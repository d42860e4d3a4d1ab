"""Resolution of settings: explicit values, then the model's recommendation, then the task's preset."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import platformdirs

from telly.errors import ConfigError, ModelError
from telly.freezing.variants import AUTO, Lora, Method
from telly.models.folder import TELLY_FILE, read_telly_file
from telly.models.load import resolve as resolve_model
from telly.settings.config import CONSTANT, ResolvedConfig, TuneConfig
from telly.settings.embeddings import declared_lengths, embedding_config
from telly.tasks import get_spec

CACHE_FOLDER, FORMER_CACHE_FOLDER = "activations", "stores"
"""Name of the folder of activation caches, and the one used by earlier versions."""
WARMUP = 0.1
"""Fraction of steps for warm-up, with a schedule that has one."""
METHOD_RATE = 10
"""Factor on the learning rate of full tuning for methods that train fewer weights. Hu et al. (2022) and Ben Zaken et
al. (2022) use ten times the usual rate or more, Liu et al. (2022) even more (docs/peft-baselines.md)."""


def resolve(config: TuneConfig) -> ResolvedConfig:
    """Implementation of `TuneConfig.resolve`.

    Raises:
        ModelError: the model's recommendation cannot be read.
    """
    task = get_spec(config.task)
    preset = task.preset
    recommended = recommendation(config.model, config.task)
    defaults: dict[str, Any] = {
        "epochs": preset.epochs,
        "batch_size": preset.batch_size,
        "learning_rate": preset.learning_rate,
        "warmup": 0.0 if config.schedule == CONSTANT else WARMUP,
        "metric": preset.metric,
    } | {name: value for name, value in recommended.items() if name != "max_tokens"}
    explicit = {name for name in config.model_fields_set if getattr(config, name) is not None}
    resolved = {name: value for name, value in defaults.items() if name not in explicit}
    # Presets and recommendations give the rate of full tuning.
    if config.method is not Method.FULL and "learning_rate" in resolved:
        resolved["learning_rate"] *= METHOD_RATE
    if config.method is Method.LORA:
        rank = config.lora_rank or Lora.rank
        lora = {"lora_rank": rank, "lora_alpha": float(rank), "lora_dropout": Lora.dropout}
        resolved |= {name: value for name, value in lora.items() if name not in explicit}
    teacher = config.teacher_settings
    if teacher is not None:
        resolved |= {f"teacher_{name}": value for name, value in asdict(teacher).items() if name != "model"}
    resolved["max_tokens"] = _max_tokens(config, recommended.get("max_tokens", {}))
    if config.cache_dir is None:
        resolved["cache_dir"] = default_cache_dir()
    if config.output is None:
        resolved["output"] = Path("runs") / run_name(config)
    values = config.model_dump() | resolved
    return ResolvedConfig.parse(values | asdict(task.options_of(values)))


def _max_tokens(config: TuneConfig, recommended: dict[str, int]) -> dict[str, int]:
    """Length limits: the user's, else the recommended or preset ones, but no more than the model's folder declares."""
    spec = get_spec(config.task)
    declared = declared_lengths(embedding_config(config.model, spec, config.options), spec)
    limits = spec.preset.max_tokens | recommended
    return {column: min(tokens, declared.get(column, tokens)) for column, tokens in limits.items()} | config.max_tokens


def default_cache_dir() -> Path:
    """Default folder of activation caches, in the user's cache folder."""
    return caches_in(Path(platformdirs.user_cache_dir("telly")))


def caches_in(folder: Path) -> Path:
    """Folder of activation caches within a folder; an existing `stores` of an earlier version stays in use."""
    caches, former = folder / CACHE_FOLDER, folder / FORMER_CACHE_FOLDER
    return former if former.is_dir() and not caches.exists() else caches


def run_name(config: TuneConfig) -> str:
    """Folder name made of task, model, variant and seed."""
    model = Path(config.model.rstrip("/")).name or "model"
    if config.freeze == AUTO:
        variant = AUTO if config.method is Method.FULL else f"{AUTO}-{config.method}"
    else:
        slug = config.variant.slug
        variant = f"k{slug}" if slug[0].isdigit() else slug
    return f"{config.task}-{model}-{variant}-s{config.seed}"


def recommendation(model: str, task: str) -> dict[str, Any]:
    """Settings recommended for a task by the `telly.json` in a model's folder; empty for most models.

    Raises:
        ModelError: the file cannot be read, or recommends settings that do not exist or are not valid.
    """
    folder = Path(resolve_model(model))
    file = folder / TELLY_FILE
    try:
        settings = read_telly_file(folder).get("recommended", {}).get(task, {})
        unknown = settings.keys() - TuneConfig.model_fields.keys()
    except AttributeError as error:
        raise ModelError(
            f"{file}: cannot be read as JSON with settings by task under `recommended`: {error}; restore or remove it"
        ) from None
    if unknown:
        raise ModelError(f"{file}: unknown settings {', '.join(sorted(unknown))} for {task}; restore or remove it")
    try:
        TuneConfig.parse({"task": task} | settings, "its settings")
    except ConfigError as error:
        raise ModelError(
            f"{file}: the settings recommended for {task} are not valid; restore or remove it: {error}"
        ) from None
    return dict(settings)
