"""The settings of a tuning run. Command line, TOML file and library use share them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from telly.config import Config
from telly.errors import PlanError
from telly.freezing.methods import ADAPTERS, Lora
from telly.freezing.states import StateDtype
from telly.freezing.variants import BASE, Method, parse_variant, variant_name
from telly.models.load import EMBEDDED
from telly.tasks import TASKS, get_task
from telly.tasks.base import Options
from telly.tasks.clone import HEADS

LORA_SETTINGS = ("lora_rank", "lora_alpha", "lora_dropout", "lora_targets")
AUTO = "auto"
"""In place of K: `telly.advice` chooses it when the run begins."""


class TuneConfig(Config):
    """All settings of a run; what is None is taken from the task's preset or the model's recommendation."""

    task: str = Field("search", description="what to tune for")
    model: str = Field(EMBEDDED, description="model folder, hub id, or the embedded model")
    data: str | None = Field(None, description="training data; without it the sample that the package ships")
    valid: str | None = Field(None, description="validation data")
    test: str | None = Field(None, description="test data")
    columns: dict[str, str] = Field(default_factory=dict, description="the data's name of a column, by our name")
    limit: PositiveInt | None = Field(None, description="use at most so many training examples")
    eval_limit: PositiveInt | None = Field(None, description="use at most so many validation and test examples")
    freeze: str = Field(BASE, description="`base`, `auto`, or K: freeze embeddings and layers 0 .. K-1")
    method: Method = Field(Method.FULL, description="what is trained of the layers that are not frozen")
    lora_rank: PositiveInt | None = Field(None, description="of LoRA's product")
    lora_alpha: PositiveFloat | None = Field(None, description="LoRA's product is scaled by alpha / rank")
    lora_dropout: float | None = Field(None, ge=0, lt=1, description="on what goes into LoRA's product")
    lora_targets: tuple[str, ...] = Field((), description="ends of names of the modules with LoRA; by default peft's")
    cache: bool = Field(True, description="run frozen layers once and train from the store")
    cache_dir: Path | None = Field(None, description="folder of the stores; by default in the user's cache folder")
    cache_budget_gb: PositiveFloat | None = Field(None, description="most disk a store may take")
    cache_dtype: StateDtype = Field(StateDtype.BF16, description="precision of stored states")
    cache_always: bool = Field(False, description="use the store even where it does not pay")
    epochs: PositiveInt | None = Field(None, description="at most so many epochs")
    batch_size: PositiveInt | None = Field(None, description="examples a step, over all processes")
    learning_rate: PositiveFloat | None = Field(None, description="of Adam, decaying linearly")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of steps in which the learning rate rises")
    temperature: PositiveFloat | None = Field(None, description="of the softmax over candidates")
    head: str | None = Field(None, description="which head, where the task has a choice")
    shared_batches: bool | None = Field(None, description="make batches of pairs that share functions; clones")
    beams: PositiveInt | None = Field(None, description="size of the beam on test data, where the task writes text")
    max_tokens: dict[str, PositiveInt] = Field(default_factory=dict, description="length limit by column")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 means autocast")
    patience: PositiveInt = Field(3, description="stop after so many epochs without a better validation metric")
    metric: str | None = Field(None, description="validation metric that chooses the best epoch")
    save_steps: PositiveInt | None = Field(None, description="save every so many steps, not only every epoch")
    seed: int = Field(0, ge=0)
    report_to: tuple[str, ...] = Field((), description="trackers of the Trainer, such as tensorboard or wandb")
    output: Path | None = Field(None, description="the run's folder")

    @field_validator("task")
    @classmethod
    def _task_exists(cls, value: str) -> str:
        if value not in TASKS:
            raise ValueError(f"must be one of {', '.join(TASKS)}")
        return value

    @field_validator("freeze", mode="before")
    @classmethod
    def _variant(cls, value: object) -> str:
        text = str(value)
        if text == AUTO:
            return text
        try:
            parse_variant(text)
        except PlanError as error:
            raise ValueError(str(error)) from None
        return text

    @model_validator(mode="after")
    def _fits_task(self) -> Self:
        task = get_task(self.task)
        if self.metric is not None and self.metric not in task.metrics:
            raise ValueError(f"metric: {self.task} has {', '.join(task.metrics)}; found {self.metric!r}")
        for name in ("temperature", "head", "beams", "shared_batches"):
            if getattr(self, name) is not None and getattr(task.preset, name) is None:
                raise ValueError(f"{name}: task {self.task} has no such setting; leave it out")
        if self.batch_size == 1 and task.preset.temperature is not None:
            raise ValueError(
                f"batch_size: {self.task} contrasts the examples of a batch, and of one alone it learns nothing; give "
                "at least 2"
            )
        if self.head is not None and self.head not in HEADS:
            raise ValueError(f"head: must be one of {', '.join(HEADS)}; found {self.head!r}")
        unknown = self.max_tokens.keys() - task.preset.max_tokens.keys()
        if unknown:
            raise ValueError(
                f"max_tokens: {self.task} has {', '.join(task.preset.max_tokens)}; found {', '.join(sorted(unknown))}"
            )
        if self.report_to:
            from transformers.integrations.integration_utils import get_available_reporting_integrations

            missing = sorted(set(self.report_to) - set(get_available_reporting_integrations()))
            if missing:
                raise ValueError(
                    f"report_to: {', '.join(missing)} is not a tracker the Trainer knows, or not installed"
                )
        own = [name for name in ("valid", "test") if getattr(self, name) is not None]
        if self.data is None and own:
            raise ValueError(f"{own[0]}: needs training data beside it; give --data")
        if self.data is not None and self.valid is None:
            raise ValueError("valid: the best epoch is chosen on validation data; give --valid")
        return self

    @model_validator(mode="after")
    def _fits_top(self) -> Self:
        given = [name for name in LORA_SETTINGS if getattr(self, name) not in (None, ())]
        if given and self.method is not Method.LORA:
            raise ValueError(f"{given[0]}: is for method = {Method.LORA}, found method = {self.method}; leave it out")
        if self.method is Method.HEAD_ONLY:
            if self.freeze != BASE:
                raise ValueError(
                    f"method: {Method.HEAD_ONLY} freezes all layers, found freeze = {self.freeze}; leave it out"
                )
            task = get_task(self.task)
            head = self.head or task.preset.head
            if task.head(1, 2, Options(head=head)) is None:
                which = f" with the {head} head" if head else ""
                raise ValueError(
                    f"method: {Method.HEAD_ONLY} trains a new head alone, and {self.task}{which} has none with "
                    f"parameters; expected one of {', '.join(_with_head())}"
                )
        if self.method in ADAPTERS and find_spec("peft") is None:
            raise ValueError(f"method: {self.method} needs peft: pip install 'telly[peft]'")
        return self

    @property
    def options(self) -> Options:
        """What the task's model is built with."""
        return Options(self.temperature, self.beams, self.head)

    @property
    def k(self) -> int | None:
        """K, or None for base; what is `auto` has none before it is chosen."""
        return parse_variant(self.freeze)

    @property
    def lora(self) -> Lora | None:
        """Settings of LoRA, once resolved."""
        if self.lora_rank is None or self.lora_alpha is None:
            return None
        return Lora(self.lora_rank, self.lora_alpha, self.lora_dropout or 0.0, self.lora_targets)

    @property
    def variant_name(self) -> str:
        """A short name of what is compared: `base`, `K=9 frozen`, `K=9 cached, lora`."""
        return variant_name(self.k, self.method, self.cache)


def _with_head() -> list[str]:
    """Tasks with a new head, and the head where there is a choice, as a person would name them."""
    found = []
    for name, task in TASKS.items():
        choices = HEADS if task.preset.head is not None else (None,)
        fitting = [head for head in choices if task.head(1, 2, Options(head=head)) is not None]
        found += [f"{name} with --head {head}" if head else name for head in fitting]
    return found
