"""Settings of a tuning run, declared once for command line, TOML file, library and docs.

A declaration names all that the setting affects: weights, evaluation, speed, location (`telly.declare.Affects`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    create_model,
    field_validator,
    model_validator,
)

from telly.config import Config
from telly.declare import EVALUATION, LOCATION, SPEED, WEIGHTS, Group, Setting
from telly.errors import PlanError
from telly.freezing.states import StateDtype
from telly.freezing.variants import ADAPTERS, AUTO, BASE, Freeze, Lora, Method, Variant, parse_freeze
from telly.models.folder import EMBEDDED
from telly.models.pooling_mode import parse_pooling
from telly.settings.renamed import RENAMED
from telly.tasks import TASKS, get_spec, nearest_task, option_names, option_types, tasks_with_head
from telly.tasks.options import SCORES, ContrastiveOptions, TaskOptions, TeacherSettings, TeacherTarget

LORA_SETTINGS = tuple(f"lora_{field.name}" for field in dataclasses.fields(Lora))
"""Settings that only `method = lora` has: the fields of `Lora`."""
TEACHER = "teacher"
TEACHER_SETTINGS = (
    TEACHER,
    *(f"{TEACHER}_{field.name}" for field in dataclasses.fields(TeacherSettings) if field.name != "model"),
)
"""Settings that only tasks with `ContrastiveOptions` have: the fields of `TeacherSettings`."""
Ratio = Annotated[float, Field(ge=0, lt=1)]
"""A fraction in [0, 1)."""
CONSTANT = "constant"
"""The schedule without warm-up."""

if TYPE_CHECKING:

    class TaskSettings(Config):
        """Options declared by the tasks, which type checkers do not see: the class is made at run time."""
else:
    # The options of all tasks are settings of a run too; None means the task's default, or that it has no such option.
    TaskSettings = create_model(
        "TaskSettings", __base__=Config, **{name: (kind | None, None) for name, kind in option_types().items()}
    )


class TuneConfig(TaskSettings):
    """Settings of a run as given by the user.

    `resolve` fills values that are None with the model's recommendation or the task's preset.
    """

    renamed: ClassVar[Mapping[str, str]] = RENAMED  # former names of settings, so that an error can name today's

    task: Annotated[str, Setting("Task to tune for.", WEIGHTS, EVALUATION, group=Group.DATA, metavar="TASK")] = "search"
    model: Annotated[
        str,
        Setting(
            "Model folder or hub id.",
            WEIGHTS,
            EVALUATION,
            SPEED,
            group=Group.DATA,
            metavar="DIR|HUB-ID",
            default="telly-mini, the embedded model",
        ),
    ] = EMBEDDED
    data: Annotated[
        str | None,
        Setting(
            "Training data: JSONL, CSV, Parquet, folder or hub id.",
            WEIGHTS,
            EVALUATION,
            SPEED,
            group=Group.DATA,
            metavar="FILE|DIR|HUB-ID",
            default="the task's sample",
        ),
    ] = None
    valid: Annotated[
        str | None,
        Setting(
            "Validation data, which chooses the best epoch.",
            WEIGHTS,
            EVALUATION,
            group=Group.DATA,
            metavar="FILE|DIR|HUB-ID",
        ),
    ] = None
    test: Annotated[
        str | None,
        Setting("Test data.", EVALUATION, group=Group.DATA, metavar="FILE|DIR|HUB-ID", default="the validation data"),
    ] = None
    columns: Annotated[
        dict[str, str],
        Setting(
            "Read the task's column NAME from COLUMN of your data; repeatable.",
            WEIGHTS,
            EVALUATION,
            group=Group.DATA,
            option="--map",
            metavar="NAME=COLUMN",
        ),
    ] = Field(default_factory=dict)
    limit: Annotated[
        PositiveInt | None,
        Setting("Maximum number of training examples.", WEIGHTS, EVALUATION, SPEED, group=Group.DATA, metavar="N"),
    ] = None
    eval_limit: Annotated[
        PositiveInt | None,
        Setting(
            "Maximum number of validation and of test examples.", WEIGHTS, EVALUATION, group=Group.DATA, metavar="N"
        ),
    ] = None
    freeze: Annotated[
        Freeze,
        Setting(
            "Freeze embeddings and layers 0 to K-1; base freezes nothing, auto chooses K (see telly advise).",
            WEIGHTS,
            SPEED,
            group=Group.FREEZING,
            metavar="K|base|auto",
        ),
    ] = BASE
    method: Annotated[
        Method, Setting("What is trained in the layers that are not frozen.", WEIGHTS, SPEED, group=Group.METHOD)
    ] = Method.FULL
    lora_rank: Annotated[
        PositiveInt | None,
        Setting("Rank of LoRA's matrices.", WEIGHTS, group=Group.METHOD, metavar="N", default=str(Lora.rank)),
    ] = None
    lora_alpha: Annotated[
        PositiveFloat | None,
        Setting(
            "LoRA's alpha; its product is scaled by alpha / rank.", WEIGHTS, group=Group.METHOD, default="the rank"
        ),
    ] = None
    lora_dropout: Annotated[
        Ratio | None, Setting("Dropout on LoRA's input.", WEIGHTS, group=Group.METHOD, default="0")
    ] = None
    lora_targets: Annotated[
        tuple[str, ...],
        Setting(
            "Suffix of the names of modules that get LoRA; repeatable.",
            WEIGHTS,
            group=Group.METHOD,
            option="--lora-target",
            metavar="NAME",
            default="peft's choice",
        ),
    ] = ()
    cache: Annotated[
        bool,
        Setting(
            "Run the frozen layers once and train from the activation cache.",
            WEIGHTS,  # cached states are rounded to `cache_dtype`
            SPEED,
            group=Group.CACHE,
            off="--no-cache",
            default="on, if it saves time",
        ),
    ] = True
    cache_dir: Annotated[
        Path | None,
        Setting(
            "Folder of activation caches.",
            LOCATION,
            group=Group.CACHE,
            metavar="DIR",
            default="in the user's cache folder",
        ),
    ] = None
    cache_budget_gb: Annotated[
        PositiveFloat | None,
        Setting(
            "Maximum disk space of the run's activation caches.",
            SPEED,
            group=Group.CACHE,
            option="--cache-budget",
            metavar="GB",
        ),
    ] = None
    cache_dtype: Annotated[StateDtype, Setting("Precision of cached states.", WEIGHTS, SPEED, group=Group.CACHE)] = (
        StateDtype.BF16
    )
    cache_always: Annotated[
        bool, Setting("Use the activation cache even if it saves no time.", SPEED, group=Group.CACHE)
    ] = False
    teacher: Annotated[
        str | None,
        Setting(
            "Also train towards this model, which embeds the training texts once: a run, folder or hub id.",
            WEIGHTS,
            SPEED,
            metavar="DIR|HUB-ID",
            label="teacher",
        ),
    ] = None
    teacher_target: Annotated[
        TeacherTarget | None,
        Setting(
            "Train towards the teacher's embeddings or scores; scores without a teacher are those of the data.",
            WEIGHTS,
            default=TeacherSettings.target,
            label="target of the teacher",
        ),
    ] = None
    teacher_weight: Annotated[
        PositiveFloat | None,
        Setting(
            "Weight of the teacher's loss; that of the task's loss is 1.",
            WEIGHTS,
            default=f"{TeacherSettings.weight:g}",
            label="weight of the teacher",
        ),
    ] = None
    teacher_temperature: Annotated[
        PositiveFloat | None,
        Setting(
            "Temperature of the teacher's scores.",
            WEIGHTS,
            default="that of the task",
            label="temperature of the teacher",
        ),
    ] = None
    epochs: Annotated[
        PositiveInt | None,
        Setting("Maximum number of epochs.", WEIGHTS, SPEED, group=Group.TRAINING, metavar="N", label="maximum epochs"),
    ] = None
    batch_size: Annotated[
        PositiveInt | None,
        Setting(
            "Examples per batch, over all processes; in-batch negatives come from one batch.",
            WEIGHTS,
            SPEED,
            group=Group.TRAINING,
            metavar="N",
            label="examples per batch",
        ),
    ] = None
    accumulation: Annotated[
        PositiveInt,
        Setting(
            "Batches per optimizer step, over which gradients are averaged; it adds no in-batch negatives.",
            WEIGHTS,
            SPEED,
            group=Group.TRAINING,
            metavar="N",
            label="batches per step",
        ),
    ] = 1
    learning_rate: Annotated[
        PositiveFloat | None,
        Setting(
            "Highest learning rate of the schedule.",
            WEIGHTS,
            group=Group.TRAINING,
            option="--lr",
            metavar="RATE",
            default="the model's or task's; ten times that unless the method is full",
            label="learning rate",
        ),
    ] = None
    schedule: Annotated[
        Literal["linear", "cosine", "constant", "constant_with_warmup", "inverse_sqrt"],
        Setting(
            "Course of the learning rate, by the Trainer's names; constant has no warm-up.",
            WEIGHTS,
            group=Group.TRAINING,
            label="schedule",
        ),
    ] = "linear"
    warmup: Annotated[
        Ratio | None,
        Setting(
            "Fraction of steps for linear warm-up of the learning rate.",
            WEIGHTS,
            group=Group.TRAINING,
            default="0.1; 0 with the constant schedule",
            label="fraction of steps for warm-up",
        ),
    ] = None
    weight_decay: Annotated[
        NonNegativeFloat,
        Setting(
            "Weight decay of AdamW, which leaves out biases and norms.",
            WEIGHTS,
            group=Group.TRAINING,
            label="weight decay",
        ),
    ] = 0.0
    max_grad_norm: Annotated[
        NonNegativeFloat,
        Setting(
            "Clip the norm of the gradient of all trained parameters to this; 0 does not clip.",
            WEIGHTS,
            group=Group.TRAINING,
            label="maximum gradient norm",
        ),
    ] = 1.0
    max_tokens: Annotated[
        dict[str, PositiveInt],
        Setting(
            "Maximum number of tokens of a column, such as code=256; repeatable.",
            WEIGHTS,
            EVALUATION,
            SPEED,
            group=Group.DATA,
            metavar="COLUMN=N",
        ),
    ] = Field(default_factory=dict)
    precision: Annotated[
        Literal["fp32", "bf16"],
        Setting(
            "Precision of computation; bf16 uses autocast.",
            WEIGHTS,
            EVALUATION,
            SPEED,
            group=Group.TRAINING,
            label="precision",
        ),
    ] = "fp32"
    patience: Annotated[
        PositiveInt,
        Setting(
            "Stop after this many epochs without a better validation metric.",
            WEIGHTS,
            group=Group.EVALUATION,
            metavar="N",
            label="patience in epochs",
        ),
    ] = 3
    metric: Annotated[
        str | None,
        Setting(
            "Validation metric that chooses the best epoch.",
            WEIGHTS,
            group=Group.EVALUATION,
            metavar="NAME",
            default="the task's",
        ),
    ] = None
    save_steps: Annotated[
        PositiveInt | None,
        Setting("Save a checkpoint every N steps, in addition to every epoch.", SPEED, group=Group.RUN, metavar="N"),
    ] = None
    seed: Annotated[
        NonNegativeInt,
        Setting("Seed of all random numbers.", WEIGHTS, EVALUATION, group=Group.RUN, metavar="N", label="seed"),
    ] = 0
    report_to: Annotated[
        tuple[str, ...],
        Setting(
            "Experiment tracker of the Trainer, such as tensorboard or wandb; repeatable.",
            LOCATION,
            group=Group.RUN,
            metavar="NAME",
        ),
    ] = ()
    output: Annotated[
        Path | None,
        Setting("Folder of the run.", LOCATION, group=Group.RUN, metavar="DIR", default="runs/TASK-MODEL-VARIANT-SEED"),
    ] = None

    @field_validator("task")
    @classmethod
    def _task_exists(cls, value: str) -> str:
        if value not in TASKS:
            near = nearest_task(value)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ValueError(f"must be one of {', '.join(TASKS)}{hint}")
        return value

    @field_validator("freeze", mode="before")
    @classmethod
    def _freeze_from_text(cls, value: object) -> Freeze:
        try:
            return parse_freeze(value)
        except PlanError as error:
            raise ValueError(str(error)) from None

    @field_validator("pooling", check_fields=False)  # an option of tasks, which the class gets at run time
    @classmethod
    def _pooling_exists(cls, value: str | None) -> str | None:
        if value is not None:
            parse_pooling(value)
        return value

    @model_validator(mode="after")
    def _fits_task(self) -> Self:
        task = get_spec(self.task)
        if self.metric is not None and self.metric not in task.metrics:
            raise ValueError(f"metric: {self.task} has {', '.join(task.metrics)}; found {self.metric!r}")
        for name in option_names():
            if getattr(self, name) is not None and name not in task.option_names:
                raise ValueError(f"{name}: task {self.task} has no such setting; leave it out")
        task.options_of(dict(self))  # raises if they do not fit together
        if self.batch_size is not None and self.batch_size < task.min_batch_size:
            raise ValueError(
                f"batch_size: {self.task} contrasts the examples of a batch with each other; expected at least "
                f"{task.min_batch_size}"
            )
        unknown = self.max_tokens.keys() - task.preset.max_tokens.keys()
        if unknown:
            raise ValueError(
                f"max_tokens: {self.task} has {', '.join(task.preset.max_tokens)}; found {', '.join(sorted(unknown))}"
            )
        if self.report_to:
            # Imported here, since importing transformers takes seconds and few runs have a tracker.
            from transformers.integrations.integration_utils import get_available_reporting_integrations

            missing = sorted(set(self.report_to) - set(get_available_reporting_integrations()))
            if missing:
                raise ValueError(f"report_to: {', '.join(missing)} is not installed or is not a tracker of the Trainer")
        evaluated = [name for name in ("valid", "test") if getattr(self, name) is not None]
        if self.data is None and evaluated:
            raise ValueError(f"{evaluated[0]}: needs training data as well; give --data")
        if self.data is not None and self.valid is None:
            raise ValueError("valid: the best epoch is chosen on validation data; give --valid")
        return self

    @model_validator(mode="after")
    def _fits_schedule(self) -> Self:
        if self.schedule == CONSTANT and self.warmup:
            raise ValueError(
                f"warmup: schedule = {CONSTANT} has no warm-up, found {self.warmup}; leave it out, or take schedule = "
                "constant_with_warmup"
            )
        return self

    @model_validator(mode="after")
    def _fits_teacher(self) -> Self:
        given = [name for name in TEACHER_SETTINGS if getattr(self, name) is not None]
        if given and not isinstance(self.options, ContrastiveOptions):
            raise ValueError(f"{given[0]}: task {self.task} has no such setting; leave it out")
        has_scores = self.teacher_target == SCORES and get_spec(self.task).schema.teacher_scores is not None
        if given and self.teacher is None and not has_scores:
            raise ValueError(f"{given[0]}: is for a run with a teacher; give teacher as well, or leave it out")
        if self.teacher_temperature is not None and self.teacher_target != SCORES:
            raise ValueError(
                f"teacher_temperature: is for teacher_target = {SCORES}, found teacher_target = "
                f"{self.teacher_target or TeacherSettings.target}; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _fits_method(self) -> Self:
        lora_settings = [name for name in LORA_SETTINGS if getattr(self, name) not in (None, ())]
        if lora_settings and self.method is not Method.LORA:
            raise ValueError(
                f"{lora_settings[0]}: is for method = {Method.LORA}, found method = {self.method}; leave it out"
            )
        if self.method is Method.HEAD_ONLY:
            if self.freeze != BASE:
                raise ValueError(
                    f"method: {Method.HEAD_ONLY} freezes all layers, found freeze = {self.freeze}; leave it out"
                )
            options = self.options
            if not get_spec(self.task).has_head(options):
                head = getattr(options, "head", None)
                with_head = f" with the {head} head" if head else ""
                raise ValueError(
                    f"method: {Method.HEAD_ONLY} trains only a new head, and {self.task}{with_head} has none with "
                    f"parameters; expected one of {', '.join(tasks_with_head())}"
                )
        if self.method in ADAPTERS and find_spec("peft") is None:
            raise ValueError(f"method: {self.method} needs peft: pip install 'telly[peft]'")
        return self

    def resolve(self) -> ResolvedConfig:
        """Fill settings that are None with the model's recommendation, else with the task's preset.

        Raises:
            ModelError: the model's recommendation cannot be read.
        """
        from telly.settings.resolve import resolve

        return resolve(self)

    @property
    def options(self) -> TaskOptions:
        """The task's own options, with its defaults for those that are None."""
        options: TaskOptions = get_spec(self.task).options_of(dict(self))
        return options

    @property
    def k(self) -> int | None:
        """K, the number of frozen layers; None for `base`, which freezes none.

        Raises:
            PlanError: K is `auto`, so it is not chosen yet.
        """
        if self.freeze == AUTO:
            raise PlanError(f"freeze = {AUTO}: K is not chosen yet; `telly advise` chooses it")
        return None if self.freeze == BASE else self.freeze

    @property
    def lora(self) -> Lora | None:
        """Settings of LoRA; None without a rank and alpha, which `resolve` sets if the method is `lora`."""
        if self.lora_rank is None or self.lora_alpha is None:
            return None
        return Lora(self.lora_rank, self.lora_alpha, self.lora_dropout or 0.0, self.lora_targets)

    @property
    def teacher_settings(self) -> TeacherSettings | None:
        """Settings of training towards a teacher, with their defaults; None without a teacher."""
        if self.teacher is None and self.teacher_target != SCORES:
            return None
        settings = TeacherSettings(
            self.teacher,
            self.teacher_target or TeacherSettings.target,
            self.teacher_weight or TeacherSettings.weight,
        )
        if settings.target != SCORES:
            return settings
        options = self.options
        assert isinstance(options, ContrastiveOptions)  # as `_fits_teacher` checks
        return dataclasses.replace(settings, temperature=self.teacher_temperature or options.temperature)

    @property
    def variant(self) -> Variant:
        """K, method and use of the cache, as one value.

        Raises:
            PlanError: K is `auto`, so it is not chosen yet.
        """
        return Variant(self.k, self.method, self.cache)


class ResolvedConfig(TuneConfig):
    """Settings of a run after `TuneConfig.resolve`: every value that a run needs is set."""

    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    warmup: Ratio
    metric: str
    cache_dir: Path
    output: Path

    def resolve(self) -> ResolvedConfig:
        """Return the settings unchanged."""
        return self
