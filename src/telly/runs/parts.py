"""Parts of a run record: settings, model, data, freeze plan, activation caches, epochs and sessions. Needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter

from telly.freezing.variants import Method
from telly.metrics.interval import Statistic, paired_bootstrap
from telly.metrics.significance import Verdict, verdict_of
from telly.metrics.table import METRICS
from telly.models.pooling_mode import PoolingMode
from telly.models.similarity import Similarity

if TYPE_CHECKING:
    from telly.freezing.plan import FreezePlan
    from telly.models.embedding import EmbeddingHead
    from telly.settings.config import ResolvedConfig


@dataclass(frozen=True)
class RecordedConfig:
    """Resolved settings of a run, as read from its record.

    Unlike the settings of a new run they are not validated: another version of telly may have had other settings, and
    a package that the run needed may not be installed here.

    Attributes:
        task: the task's name.
        model: model folder, hub id or name of the embedded model.
        data: training data; None means the task's sample.
        valid: validation data.
        test: test data.
        method: tuning method of the layers that were not frozen.
        cache_dtype: precision of cached states.
        max_tokens: length limit by column.
        head: name of the head, for tasks with a choice.
        seed: the run's seed.
        output: the run's folder, as given by the user.
        values: all settings by name, as JSON values.
    """

    task: str
    model: str
    data: str | None = None
    valid: str | None = None
    test: str | None = None
    method: Method = Method.FULL
    cache_dtype: str | None = None
    max_tokens: dict[str, int] = field(default_factory=dict)
    head: str | None = None
    seed: int = 0
    output: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, config: ResolvedConfig) -> RecordedConfig:
        """The settings of a run that starts."""
        return cls.from_values(config.model_dump(mode="json"))

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> RecordedConfig:
        """Settings from their JSON values; those that are missing have their defaults.

        Raises:
            pydantic.ValidationError: `task` or `model` is missing, or a setting has another type.
        """
        names = {item.name for item in fields(cls)} - {"values"}
        known = {name: value for name, value in values.items() if name in names}
        return TypeAdapter(cls).validate_python(known | {"values": dict(values)})

    def source(self, split: str) -> str | None:
        """The data that a split (`train`, `valid` or `test`) was read from; None means the task's sample."""
        return None if self.data is None else {"train": self.data, "valid": self.valid, "test": self.test}[split]


@dataclass(frozen=True)
class ModelInfo:
    """The model that a run started from.

    Attributes:
        name: model folder, hub id or name of the embedded model.
        fingerprint: digest of all weights.
        parameters: number of parameters.
        layers_fingerprint: digest of embeddings and layers alone, which unlike `fingerprint` does not change with the
            seed of a new pooler; None in records of older versions.
    """

    name: str
    fingerprint: str
    parameters: int
    layers_fingerprint: str | None = None


@dataclass(frozen=True)
class EmbeddingInfo:
    """How a model embeds texts, and where that is declared.

    Attributes:
        pooling: pooling modes, joined by hyphens.
        layers: modules after the pooling, in words.
        similarity: similarity by which embeddings are compared.
        prompts: prompts that are not empty, by column.
        include_prompt: whether pooling includes the prompts' tokens.
        source: file of the model's folder that declares this, or the reason for the default.
        overridden: what settings replace: `pooling`, `query_prompt` or `document_prompt`.
        fingerprint: digest of everything that embeddings depend on besides the encoder and the prompts.
    """

    pooling: str
    layers: tuple[str, ...]
    similarity: str
    prompts: dict[str, str]
    include_prompt: bool
    source: str
    overridden: tuple[str, ...]
    fingerprint: str

    @classmethod
    def of(cls, modules: EmbeddingHead, prompts: Mapping[str, str]) -> EmbeddingInfo:
        """The embeddings that modules give after an encoder.

        Args:
            modules: the pooling and the modules after it.
            prompts: prompts by column.
        """
        from telly.freezing.fingerprint import module_digest  # imports torch

        config = modules.config
        layers = tuple(map(str, config.layers))
        if config.truncate_dim is not None:
            layers = (*layers, f"first {config.truncate_dim} components")
        values = (config.pooling_name, layers, config.similarity, config.include_prompt, module_digest(modules))
        return cls(
            config.pooling_name,
            layers,
            config.similarity,
            {column: prompt for column, prompt in prompts.items() if prompt},
            config.include_prompt,
            config.source,
            config.overridden,
            hashlib.blake2b(repr(values).encode(), digest_size=12).hexdigest(),
        )

    def description(self, *, compared: bool = True) -> str:
        """The embeddings in sentences.

        Args:
            compared: whether embeddings are compared with each other; a task's head reads them before they are scaled.
        """
        pooled = " and ".join(_POOLED[mode] for mode in self.pooling.split("-"))
        without = " and without those of the prompt" if self.prompts and not self.include_prompt else ""
        layers = [layer for layer in self.layers if compared or layer != "Normalize"]
        sentence = f"The embedding of a text is {pooled}, without padding{without}"
        sentence += "".join(f", then {_WORDS.get(layer, layer)}" for layer in layers)
        if compared:
            sentence += f", and two embeddings are compared by {_SIMILARITIES[self.similarity]}"
        prompts = " and ".join(f"`{prompt!r}` before every {column}" for column, prompt in self.prompts.items())
        return f"{sentence}." + (f" The prompts are {prompts}." if prompts else " There are no prompts.")

    @property
    def summary(self) -> str:
        """The embeddings in a few words, for one line of output."""
        prompts = [f"{column} {prompt!r}" for column, prompt in self.prompts.items()]
        excluded = [] if self.include_prompt or not prompts else ["prompts not pooled"]
        return ", ".join([self.pooling, *self.layers, self.similarity, *prompts, *excluded])

    @property
    def origin(self) -> str:
        """File or setting that declares the embeddings."""
        return self.source + "".join(f"; {name} by the settings" for name in self.overridden)


_POOLED: Mapping[str, str] = {
    PoolingMode.CLS: "the last layer's state of its first token",
    PoolingMode.MEAN: "the mean of the last layer's states over its tokens",
    PoolingMode.MAX: "the maximum of the last layer's states over its tokens",
    PoolingMode.MEAN_SQRT_LEN: (
        "the sum of the last layer's states over its tokens, divided by the square root of their number"
    ),
    PoolingMode.WEIGHTED_MEAN: "the mean of the last layer's states over its tokens, weighted by position",
    PoolingMode.LAST_TOKEN: "the last layer's state of its last token",
}
_WORDS = {"Normalize": "scaled to unit length"}
_SIMILARITIES: Mapping[str, str] = {
    Similarity.COSINE: "their cosine",
    Similarity.DOT: "their dot product",
    Similarity.EUCLIDEAN: "their negative Euclidean distance",
    Similarity.MANHATTAN: "the negative sum of their absolute differences",
}


FORMER_EMBEDDING = EmbeddingInfo("mean", ("Normalize",), "cosine", {}, True, "an earlier version of telly", (), "")
"""How the models of earlier versions embed texts, whose records do not say it."""


@dataclass(frozen=True)
class SplitInfo:
    """Size and identity of one data split.

    Attributes:
        examples: number of examples.
        distinct_sequences: number of token sequences, equal ones counted once.
        tokens: tokens of the distinct sequences.
        fingerprint: digest of the encoded split; a run is resumed only on equal data.
        candidates: number of documents that are ranked for every example, where the data has judgments; else None.
    """

    examples: int
    distinct_sequences: int
    tokens: int
    fingerprint: str
    candidates: int | None = None


@dataclass(frozen=True)
class LayerInfo:
    """One layer of the freeze plan; `parameters` and `trainable` are counts."""

    name: str
    status: Literal["frozen", "trained", "mixed"]
    parameters: int
    trainable: int


@dataclass(frozen=True)
class TeacherInfo:
    """The teacher of a run.

    Attributes:
        fingerprint: digest of everything that its embeddings depend on.
        size: size of its embeddings.
        texts: number of distinct training texts that it embedded.
    """

    fingerprint: str
    size: int
    texts: int


@dataclass(frozen=True)
class PlanInfo:
    """Summary of the run's `telly.freezing.plan.FreezePlan`.

    Attributes:
        variant: `base`, K, or either with the name of a PEFT method.
        k: K, or None if no layer is frozen as a whole.
        trainable: number of trained parameters.
        total: number of all parameters.
        layers: the plan layer by layer, bottom first.
    """

    variant: str
    k: int | None
    trainable: int
    total: int
    layers: tuple[LayerInfo, ...] = ()

    @classmethod
    def of(cls, plan: FreezePlan) -> PlanInfo:
        """The summary of a plan."""
        layers = tuple(LayerInfo(layer.name, layer.status, layer.parameters, layer.trainable) for layer in plan.layers)
        return cls(plan.variant.slug, plan.k, plan.trainable, plan.total, layers)


@dataclass(frozen=True)
class CacheBuild:
    """The activation cache of one data split.

    Attributes:
        folder: folder of the cache.
        bytes: size on disk.
        rows: number of distinct sequences.
        cached_rows: number of distinct sequences that are cached.
        source: input of the computation: `tokens`, `layer N` of a shallower cache, or `cache` if it was complete.
        built_shards: number of files that this run wrote.
        seconds: time to build the cache.
    """

    folder: str
    bytes: int
    rows: int
    cached_rows: int
    source: str
    built_shards: int
    seconds: float


@dataclass(frozen=True)
class CacheReport:
    """Use of activation caches by a run, with the reason.

    Attributes:
        used: true if batches came from activation caches.
        reason: reason for using them or not, in a sentence.
        complete: true if all sequences of all splits are cached.
        caches: the caches by split.
        released_bytes: memory of the frozen weights that were released while training from caches; None if they
            stayed in memory.
    """

    used: bool
    reason: str | None = None
    complete: bool = False
    caches: dict[str, CacheBuild] = field(default_factory=dict)
    released_bytes: int | None = None

    @property
    def found_states(self) -> bool:
        """True if a cache, or one that it was derived from, existed before the run."""
        return any(cache.built_shards == 0 or cache.source != "tokens" for cache in self.caches.values())


@dataclass(frozen=True)
class DeviceInfo:
    """Device type (`cpu`, `cuda`), threads per process and number of processes."""

    type: str
    threads: int
    processes: int = 1


@dataclass(frozen=True)
class EpochInfo:
    """Results of one epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        step: optimiser steps since the start of training.
        seconds: training time, without evaluation and saving.
        train_loss: mean training loss; None if no step was made.
        valid: validation metrics.
    """

    epoch: int
    step: int
    seconds: float
    train_loss: float | None
    valid: dict[str, float]


@dataclass(frozen=True)
class UntunedComparison:
    """The tuned model against the untuned one on the same test examples, by the paired bootstrap.

    Attributes:
        verdict: conclusion; better or worse if the 95 % interval of the difference excludes zero.
        against: name of the baseline, such as `untuned`.
        metric: the compared metric.
        tuned: value of the tuned model.
        untuned: value of the untuned model.
        difference: `tuned` minus `untuned`.
        low: lower end of the 95 % interval of the difference.
        high: upper end.
        examples: number of test examples.
        notes: how the two differ besides tuning, and what else qualifies the verdict.
    """

    verdict: Verdict
    against: str
    metric: str
    tuned: float
    untuned: float
    difference: float
    low: float
    high: float
    examples: int
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, metric: str, tuned: Statistic, untuned: Statistic, against: str, notes: tuple[str, ...] = ()
    ) -> UntunedComparison:
        """Compare a metric of both models, with the examples in the same order."""
        compared = paired_bootstrap({metric: tuned}, {metric: untuned})[metric]
        return cls(
            verdict_of(compared, greater_is_better=METRICS[metric].greater_is_better),
            against,
            metric,
            tuned.value,
            untuned.value,
            compared.difference,
            compared.interval.low,
            compared.interval.high,
            len(tuned.rows),
            notes,
        )

    @property
    def sentence(self) -> str:
        """The verdict in one line, with its numbers."""
        digits = METRICS[self.metric].digits
        tuned, untuned = (f"{value:.{digits}f}" for value in (self.tuned, self.untuned))
        difference, low, high = (f"{value:+.{digits}f}" for value in (self.difference, self.low, self.high))
        verdicts = {
            Verdict.BETTER: f"better than {self.against}",
            Verdict.WORSE: f"worse than {self.against}",
            Verdict.OPEN: f"not decided against {self.against}",
        }
        notes = "".join(f"; {note}" for note in self.notes)
        return (
            f"{verdicts[self.verdict]}: {self.metric} {tuned} against {untuned}, difference {difference} "
            f"[{low}, {high}], paired bootstrap over {self.examples:,} examples{notes}"
        )


@dataclass(frozen=True)
class Session:
    """Clocks and wall time, in seconds, of an earlier, interrupted session of the run."""

    clocks: dict[str, float] | None = None
    wall_seconds: float | None = None


@dataclass(frozen=True)
class AdviceInfo:
    """How `freeze = auto` chose K.

    Attributes:
        variant: the advised variant.
        reason: reasons for it, in sentences.
        risk: reasons for doubt, in sentences.
        tolerance: tolerated loss relative to base's score.
        seconds: time that the advice took.
        file: file of the whole advice, relative to the run's folder.
    """

    variant: str
    reason: list[str]
    risk: list[str]
    tolerance: float
    seconds: float
    file: str
