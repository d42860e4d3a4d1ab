"""From what the user gave to what a run uses: explicit settings, then the model's recommendation, then the preset."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import platformdirs

from telly.errors import ConfigError, ModelError
from telly.freezing.variants import AUTO, Lora, Method
from telly.models.folder import TELLY_FILE, read_telly_file
from telly.models.load import resolve as resolve_model
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.tasks import get_spec

CACHE_FOLDER, FORMER_CACHE_FOLDER = "activations", "stores"
METHOD_RATE = 10
"""Times the rate of full tuning, where less is trained: Hu et al. (2022) and Ben Zaken et al. (2022) take ten times and
more of what is usual for full tuning, Liu et al. (2022) still more (docs/peft-baselines.md)."""


def resolve(config: TuneConfig) -> ResolvedConfig:
    """The settings that a run uses; `TuneConfig.resolve` calls this.

    Raises:
        ModelError: the model's recommendation is not readable.
    """
    task = get_spec(config.task)
    preset = task.preset
    advice = recommendation(config.model, config.task)
    defaults: dict[str, Any] = {
        "epochs": preset.epochs,
        "batch_size": preset.batch_size,
        "learning_rate": preset.learning_rate,
        "metric": preset.metric,
    } | {name: value for name, value in advice.items() if name != "max_tokens"}
    given = {name for name in config.model_fields_set if getattr(config, name) is not None}
    chosen = {name: value for name, value in defaults.items() if name not in given}
    if config.method is not Method.FULL and "learning_rate" in chosen:
        chosen["learning_rate"] *= METHOD_RATE
    if config.method is Method.LORA:
        rank = config.lora_rank or Lora.rank
        lora = {"lora_rank": rank, "lora_alpha": float(rank), "lora_dropout": Lora.dropout}
        chosen |= {name: value for name, value in lora.items() if name not in given}
    chosen["max_tokens"] = preset.max_tokens | advice.get("max_tokens", {}) | config.max_tokens
    if config.cache_dir is None:
        chosen["cache_dir"] = default_cache_dir()
    if config.output is None:
        chosen["output"] = Path("runs") / run_name(config)
    values = config.model_dump() | chosen
    return ResolvedConfig.parse(values | asdict(task.options_of(values)))


def default_cache_dir() -> Path:
    """The folder of activation caches, unless the settings name another."""
    return caches_in(Path(platformdirs.user_cache_dir("telly")))


def caches_in(folder: Path) -> Path:
    """The folder of activation caches within a folder; one that an earlier version named `stores` stays in use."""
    caches, former = folder / CACHE_FOLDER, folder / FORMER_CACHE_FOLDER
    return former if former.is_dir() and not caches.exists() else caches


def run_name(config: TuneConfig) -> str:
    """A folder name that tells task, model, variant and seed."""
    model = Path(config.model.rstrip("/")).name or "model"
    if config.freeze == AUTO:
        variant = AUTO if config.method is Method.FULL else f"{AUTO}-{config.method}"
    else:
        slug = config.variant.slug
        variant = f"k{slug}" if slug[0].isdigit() else slug
    return f"{config.task}-{model}-{variant}-s{config.seed}"


def recommendation(model: str, task: str) -> dict[str, Any]:
    """The settings that a model's own folder recommends for a task; none for most models."""
    folder = Path(resolve_model(model))
    file = folder / TELLY_FILE
    try:
        found = read_telly_file(folder).get("recommended", {}).get(task, {})
        unknown = found.keys() - TuneConfig.model_fields.keys()
    except AttributeError as error:
        raise ModelError(
            f"{file}: cannot be read as JSON with settings by task under `recommended`: {error}; restore or remove it"
        ) from None
    if unknown:
        raise ModelError(f"{file}: unknown settings {', '.join(sorted(unknown))} for {task}; restore or remove it")
    try:
        TuneConfig.parse({"task": task} | found, "its settings")
    except ConfigError as error:
        raise ModelError(
            f"{file}: recommends for {task} what telly does not take; restore or remove it: {error}"
        ) from None
    return dict(found)
