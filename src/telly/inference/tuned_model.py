"""A loaded model that turns texts into embeddings, texts or classes, as in its run's evaluation."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from telly.data.sequences import Rows, SequenceTable
from telly.errors import ConfigError
from telly.freezing.fingerprint import module_digest, prefix_digests
from telly.freezing.source import RowSource
from telly.inference.embeddings import EmbeddingKey, Embeddings
from telly.inference.encoder import PlainEncoder
from telly.models.embedding import EmbeddingConfig, EmbeddingHead, NormalizeLayer, Role, embedding_size
from telly.models.embedding_folder import embedding_warnings, load_embedding_head, load_embedding_tokenizer
from telly.models.load import load_stack
from telly.models.similarity import Similarity
from telly.models.stack import LayerStack, find_stack
from telly.runs.folder import RunFolder
from telly.runs.inference_config import InferenceConfig, load_head
from telly.runs.record import RunRecord
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.settings.embeddings import declared_lengths, embedding_config, prompts_of
from telly.settings.lengths import check_lengths, fitting_lengths
from telly.tasks import TASKS, AnySpec, embedding_tasks, get_spec, get_task
from telly.tasks.options import TaskOptions
from telly.tasks.spec import EmbeddingRoles
from telly.tasks.training.base import NO_PROMPTS, AnyTask, Prompts, TaskModel
from telly.tasks.training.embeddings import distinct_sequences, embed_rows

logger = logging.getLogger(__name__)

Ability = Literal["embed", "generate", "classify"]

DEFAULT_TASK = "search"
"""Task of a model that telly did not tune, unless another one is given."""


@dataclass(frozen=True)
class ClassPrediction:
    """The class of a text.

    Attributes:
        label: the most probable class.
        probability: probability of that class.
        probabilities: probabilities of all classes, by name.
    """

    label: str
    probability: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class TunedModel:
    """A model ready for use on texts; made by `telly.load`.

    Its abilities depend on its task: models of search, clone-retrieval and clone (with the cosine head) embed, models
    of summarize, generate and complete generate, models of classify classify. Any other use is a `ConfigError`.

    Attributes:
        name: the run's folder, model folder, hub id or name of the embedded model that was loaded.
        task: the task that it is used for.
        config: length limits, head, beam, classes and precision, all resolved.
        is_tuned: whether telly tuned it.
        module: the task's model with its head, in eval mode.
        encoder: the transformers model without the task's head.
        tokenizer: the model's tokenizer.
    """

    name: str
    task: AnyTask
    config: InferenceConfig
    is_tuned: bool
    module: TaskModel
    encoder: Any
    tokenizer: Any

    @classmethod
    def load(
        cls,
        model: str | Path,
        tasks: str | Sequence[str] = (),
        *,
        needs: Ability | None = None,
        device: str | None = None,
        precision: str | None = None,
        truncate_dim: int | None = None,
    ) -> TunedModel:
        """Load a model.

        Texts for an untuned model are cut to the length that its folder declares, else to the task's preset, and to its
        number of positions.

        Args:
            model: a run's folder, a model folder, a hub id or the embedded model.
            tasks: tasks that it may have been tuned for; an untuned model is used for the first. [default: any;
                an untuned model: search]
            needs: required ability, checked before the weights are read. [default: any]
            device: torch device. [default: cuda if available, else cpu]
            precision: `fp32` or `bf16`. [default: that of the run's evaluation]
            truncate_dim: dimensions to keep of every embedding, as sentence-transformers calls it. [default: all]

        Raises:
            ConfigError: it was tuned for another task, or was not tuned and has no head for the task; or its embeddings
                cannot be truncated so.
            ModelError: it cannot be loaded.
        """
        name = str(model)
        allowed = (tasks,) if isinstance(tasks, str) else tuple(tasks)
        saved = InferenceConfig.read(name)
        settings = _settings(name, saved, _task_name(name, saved, allowed))
        task = get_task(settings.task)
        if needs is not None:
            _check_can(name, task.spec, settings.options, needs)
        embedding = embedding_config(name, task.spec, settings.options)
        for warning in [] if embedding is None else embedding_warnings(name, embedding):
            logger.warning("warning: %s", warning)
        tokenizer = load_embedding_tokenizer(name, embedding)
        stack = load_stack(name, is_generative=task.is_generative)
        encoder = stack.model
        if saved is None:  # a run's limits were checked when it was tuned, and must be kept to repeat its evaluation
            settings = _fitted(settings, declared_lengths(embedding, task.spec), task, stack)
        check_lengths(settings, task, stack)
        config = replace(
            saved or InferenceConfig(task.name, {}),
            max_tokens=settings.max_tokens,
            options=settings.options,
            precision=precision or settings.precision,
        )
        modules = None
        if truncate_dim is not None:
            embedding = _truncated(name, embedding, truncate_dim, PlainEncoder(encoder).hidden_size)
        if embedding is not None:
            modules = load_embedding_head(name, embedding, PlainEncoder(encoder).hidden_size)
        loaded = cls.of(encoder, tokenizer, config, name=name, is_tuned=saved is not None, embedding=modules)
        loaded.module.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        return loaded

    @classmethod
    def of(
        cls,
        encoder: nn.Module,
        tokenizer: Any,
        config: InferenceConfig,
        *,
        name: str,
        is_tuned: bool = False,
        embedding: EmbeddingHead | None = None,
    ) -> TunedModel:
        """Assemble a model from its parts; the head of a tuned one is read from the folder `name`.

        Raises:
            ModelError: the folder has no head, or one of another shape.
        """
        task, classes = get_task(config.task), len(config.classes)
        module: TaskModel = task.build(PlainEncoder(encoder), classes, config.task_options, embedding).eval()
        if is_tuned and module.head is not None:
            load_head(name, module.head)
        return cls(name, task, config, is_tuned, module, encoder, tokenizer)

    @torch.no_grad()
    def embed(self, texts: Sequence[str], role: Role = "document") -> Embeddings:
        """Embed texts as the model's folder declares it; the embeddings are those of sentence-transformers.

        Pooling, prompts and length limits are the folder's. Unless it declares otherwise, embeddings have unit length,
        so that dot products are cosines. Equal texts are encoded once.

        Args:
            texts: functions, or sentences to look for.
            role: `query` for texts to search with, `document` for texts to search in; it decides the prompt and the
                length limit.

        Returns:
            embeddings, [texts, embedding size].

        Raises:
            ConfigError: the model was not tuned to embed, there is no such role, or a prompt leaves no room for text.
        """
        self.check_can("embed")
        self._column(role)  # refuses an unknown role, also without texts
        if not texts:
            return np.zeros((0, self.embedding_size), dtype=np.float32)
        table, rows = self.sequences(texts, role)
        source = RowSource(table, self.tokenizer.pad_token_id)
        with self.autocast:
            distinct = embed_rows(self.embed_batch, source, np.arange(len(table)), self.device)
        embeddings: Embeddings = distinct.cpu().numpy()[rows]
        return embeddings

    def embed_to_compare(self, texts: Sequence[str], role: Role = "document") -> Embeddings:
        """Embed texts as `embed` does, scaled to unit length if the model's similarity is the cosine."""
        embeddings = self.embed(texts, role)
        if not self.similarity.normalizes or self.embedding.has_unit_length:
            return embeddings
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        scaled: Embeddings = embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)
        return scaled

    def embed_batch(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Embed a batch of `input_ids` and `attention_mask`, [batch, tokens] each; returns [batch, embedding size]."""
        self.check_can("embed")
        return self.module.declared_embeddings(batch)

    @torch.no_grad()
    def generate(self, texts: Sequence[str]) -> list[str]:
        """Generate a text for each source text, with the beam search of the run's test evaluation.

        Args:
            texts: functions (summarize), descriptions (generate) or the lines before the one to generate (complete).

        Raises:
            ConfigError: the model was not tuned to generate.
        """
        self.check_can("generate")
        if not texts:
            return []
        config = self.config
        generated: list[str] = self.task.generate_texts(
            self.module, texts, self.tokenizer, config.max_tokens, self.autocast
        )
        return generated

    def classify(self, texts: Sequence[str]) -> list[ClassPrediction]:
        """Predict the class of each text, with the probabilities of all classes.

        Raises:
            ConfigError: the model was not tuned to classify.
        """
        self.check_can("classify")
        if not texts:
            return []
        names = self.config.classes
        probabilities = self.task.classify_texts(
            self.module, texts, self.tokenizer, self.config.max_tokens, self.autocast, self.prompts
        )
        return [
            ClassPrediction(names[int(row.argmax())], float(row.max()), dict(zip(names, row.tolist(), strict=True)))
            for row in probabilities
        ]

    @property
    def abilities(self) -> tuple[Ability, ...]:
        """Names of the methods that the model supports."""
        return _abilities(self.task.spec, self.config.task_options)

    def check_can(self, ability: Ability) -> None:
        """Refuse a use that the model was not tuned for.

        Raises:
            ConfigError: it was not tuned for that; names its task, its abilities, and the tasks that have this one.
        """
        _check_can(self.name, self.task.spec, self.config.task_options, ability)

    @property
    def embedding(self) -> EmbeddingConfig:
        """How the model embeds texts, and where that is declared."""
        return self.module.embedding.config

    @property
    def embedding_size(self) -> int:
        """Number of components of an embedding."""
        return self.module.embedding.embedding_size

    @property
    def similarity(self) -> Similarity:
        """Similarity by which embeddings are compared."""
        return self.module.similarity

    @property
    def prompts(self) -> Prompts:
        """Texts that are put before those of a column."""
        return NO_PROMPTS if self.task.is_generative else prompts_of(self.embedding, self.task.spec)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.module.parameters()).device

    @property
    def autocast(self) -> torch.autocast:
        """Context of the configured precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    @property
    def roles(self) -> EmbeddingRoles | None:
        """Columns of queries and documents; None if embeddings are not to be compared by cosine."""
        return self.task.spec.embedding_roles(self.config.task_options)

    def role_tokens(self, role: Role) -> int:
        """Length limit of queries or documents, special tokens and prompt included.

        Raises:
            ConfigError: there is no such role, or the model has none.
        """
        return self.config.max_tokens[self._column(role)]

    def role_prompt(self, role: Role) -> str:
        """Text that is put before queries or documents; empty if there is none.

        Raises:
            ConfigError: as `role_tokens`.
        """
        return self.prompts.of(self._column(role))

    def _column(self, role: Role) -> str:
        if role not in ("query", "document"):
            raise ConfigError(f"role: expected query or document, found {role!r}")
        roles = self.roles
        if roles is None:
            raise ConfigError(f"{self.name}: a model of {self.task.name} has no queries and documents")
        return roles.query if role == "query" else roles.document

    def sequences(self, texts: Sequence[str], role: Role) -> tuple[SequenceTable, Rows]:
        """Tokenize texts as the task does; returns the distinct sequences, and each text's row, [texts].

        Raises:
            ConfigError: as `embed`.
        """
        column = self._column(role)
        return distinct_sequences(texts, self.tokenizer, self.config.max_tokens[column], self.prompts, column)

    @property
    def settings(self) -> ResolvedConfig:
        """Settings by which the engine prepares this model on data."""
        return _settings(self.name, self.config, self.task.name)

    @cached_property
    def key(self) -> EmbeddingKey:
        """Key of the model's embeddings of functions; an index with another key cannot be searched with it."""
        return self.key_of("document")

    def key_of(self, role: Role) -> EmbeddingKey:
        """Key of the model's embeddings of queries or documents."""
        config = self.embedding
        pooling = ", ".join(
            [
                config.pooling_name,
                *([] if config.include_prompt or not self.role_prompt(role) else ["without the prompt"]),
                *(str(layer) for layer in config.layers if layer != NormalizeLayer()),
                *([] if config.truncate_dim is None else [f"first {config.truncate_dim}"]),
                "unit length" if config.has_unit_length else "as they are",
            ]
        )
        return EmbeddingKey(
            self._weights_digest,
            hashlib.blake2b(_tokenizer_text(self.tokenizer).encode(), digest_size=12).hexdigest(),
            self.role_tokens(role),
            self.config.precision,
            pooling,
            prompt=self.role_prompt(role),
            modules=module_digest(self.module.embedding),
            similarity=self.similarity,
        )

    @cached_property
    def _weights_digest(self) -> str:
        return prefix_digests(find_stack(self.encoder))[-1]

    @cached_property
    def record(self) -> RunRecord | None:
        """The run's record; None for a model that is not a run's folder.

        Raises:
            DataError: the record cannot be read.
        """
        return read_record(self.name)


def _tokenizer_text(tokenizer: Any) -> str:
    """Everything that a tokenizer's output depends on, as text."""
    if not tokenizer.is_fast:
        return repr(tokenizer)
    # A copy: truncation and padding are state, which every call sets anew.
    backend = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    return str(backend.to_str())


def _truncated(name: str, embedding: EmbeddingConfig | None, dimensions: int, hidden_size: int) -> EmbeddingConfig:
    """The configuration with truncated embeddings.

    Raises:
        ConfigError: the model does not embed, or has no more dimensions than are to be kept.
    """
    if embedding is None:
        raise ConfigError(f"truncate_dim: {name} gives no embeddings; leave it out")
    size = embedding_size(embedding, hidden_size)
    if not 0 < dimensions <= size:
        raise ConfigError(
            f"truncate_dim: expected 1 to {size}, the number of dimensions that {name} has; found {dimensions}"
        )
    return embedding.truncated(dimensions)


def load(model: str | Path, task: str | None = None, *, truncate_dim: int | None = None) -> TunedModel:
    """Load a model for use on texts.

    Example:
        >>> import telly
        >>> model = telly.load("runs/search-telly-mini-k9-s0")
        >>> query = model.embed(["parse a date"], role="query")  # [1, hidden], L2-normalised
        >>> functions = model.embed(["def add(a, b): ...", "def parse_date(text): ..."])  # [2, hidden]
        >>> (query @ functions.T).argmax()

    Args:
        model: a run's folder, a model folder, a hub id or the embedded model (`telly-mini`).
        task: task that it must have been tuned for; an untuned model is used for it. [default: any; an untuned model:
            search]
        truncate_dim: dimensions to keep of every embedding, for a model that was tuned with `--matryoshka`; embeddings
            then have no unit length. [default: all]

    Raises:
        ConfigError: it was tuned for another task, or was not tuned and has no head for the task; or its embeddings
            have fewer dimensions.
        ModelError: it cannot be loaded.
    """
    return TunedModel.load(model, task or (), truncate_dim=truncate_dim)


def read_record(model: str) -> RunRecord | None:
    """Read the record of a run's folder; None if there is none.

    Raises:
        DataError: the record cannot be read.
    """
    file = RunFolder(Path(model).expanduser()).record
    return RunRecord.read(file) if file.is_file() else None


def _abilities(task: AnySpec, options: TaskOptions) -> tuple[Ability, ...]:
    if task.is_generative:
        return ("generate",)
    if task.embedding_roles(options) is not None:
        return ("embed",)
    return ("classify",) if task.is_classifier else ()


def _tasks_with(ability: Ability) -> str:
    """Tasks whose runs have an ability, as text."""
    names = {
        "embed": embedding_tasks(),
        "generate": [name for name, task in TASKS.items() if task.is_generative],
        "classify": [name for name, task in TASKS.items() if task.is_classifier],
    }[ability]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _check_can(model: str, task: AnySpec, options: TaskOptions, ability: Ability) -> None:
    abilities = _abilities(task, options)
    if ability in abilities:
        return
    reason = f"which cannot {ability}"
    if ability == "embed":
        reason = "whose embeddings were not trained to be compared by cosine"
    can = f"; it can {' and '.join(abilities)}" if abilities else ""
    raise ConfigError(
        f"{model}: is a model of {task.title(options)}, {reason}{can}; expected a run of {_tasks_with(ability)}"
    )


def _task_name(model: str, saved: InferenceConfig | None, allowed: tuple[str, ...]) -> str:
    """Find the task that a model is used for among those allowed.

    Raises:
        ConfigError: it was tuned for another task, or must be tuned for this one first.
    """
    if saved is not None:
        if allowed and saved.task not in allowed:
            raise ConfigError(f"{model}: was tuned for {saved.task}; expected a run of {' or '.join(allowed)}")
        return saved.task
    task = allowed[0] if allowed else DEFAULT_TASK
    if get_spec(task).is_classifier:  # without tuning its head is random
        raise ConfigError(
            f"{model}: was not tuned for {task}, so it has no classes to choose from; first run "
            f"`telly tune {task}`, or give the folder of such a run: --model RUN"
        )
    return task


def _settings(model: str, saved: InferenceConfig | None, task: str) -> ResolvedConfig:
    """Settings of the run; for an untuned model, its recommendation or the task's preset."""
    if saved is None:
        return TuneConfig(task=task, model=model).resolve()
    values = {"task": task, "model": model, "max_tokens": saved.max_tokens, "precision": saved.precision}
    return TuneConfig.parse(values | asdict(saved.task_options)).resolve()


def _fitted(settings: ResolvedConfig, declared: dict[str, int], task: AnyTask, stack: LayerStack) -> ResolvedConfig:
    """Length limits of an untuned model: those that its folder declares, else the preset, within its positions.

    A preset's lengths only bound the cost, so they may be cut.
    """
    settings = settings.model_copy(update={"max_tokens": settings.max_tokens | declared})
    limits = fitting_lengths(settings, task, stack)
    changes = ", ".join(
        f"{column} {limits[column]} (preset {tokens})"
        for column, tokens in settings.max_tokens.items()
        if limits[column] != tokens and column not in declared
    )
    if changes:
        logger.warning(
            "warning: %s has few positions, so texts are cut after fewer tokens: %s", settings.model, changes
        )
    return settings.model_copy(update={"max_tokens": limits})
