"""Embeddings of a run: what the model's folder declares, and the settings that replace it."""

from __future__ import annotations

from dataclasses import replace

from telly.models.embedding import EmbeddingConfig
from telly.models.embedding_folder import read_embedding_config
from telly.models.modes import mode_of
from telly.models.pooling_mode import parse_pooling
from telly.tasks import AnySpec
from telly.tasks.options import TaskOptions
from telly.tasks.training.base import NO_PROMPTS, Prompts


def embedding_config(model: str, spec: AnySpec, options: TaskOptions) -> EmbeddingConfig | None:
    """How a task embeds texts with a model; None if it generates text.

    Args:
        model: folder, hub id or the embedded model.
        spec: the task.
        options: the task's own settings, which win over what the folder declares.

    Raises:
        ModelError: the folder declares what telly does not know or apply, contradicts the model, or cannot be read.
    """
    if spec.is_generative:
        return None
    pooling: str | None = getattr(options, "pooling", None)
    config = read_embedding_config(model).with_overrides(
        None if pooling is None else parse_pooling(pooling),
        getattr(options, "query_prompt", None),
        getattr(options, "document_prompt", None),
    )
    similarity = spec.fixed_similarity(options)
    return config if similarity is None else replace(config, similarity=similarity)


def prompts_of(config: EmbeddingConfig | None, spec: AnySpec) -> Prompts:
    """Prompts of a task's text columns: those of queries or of documents."""
    if config is None:
        return NO_PROMPTS
    columns = [column.name for column in spec.schema.columns if column.kind == "text"]
    prompts = {column: config.prompt(spec.role_of(column)) for column in columns}
    return Prompts(prompts, config.include_prompt, mode_of(config))


def declared_lengths(config: EmbeddingConfig | None, spec: AnySpec) -> dict[str, int]:
    """Length limits by column that the model's folder declares; empty where it declares none."""
    if config is None:
        return {}
    limits = {column: config.max_tokens(spec.role_of(column)) for column in spec.preset.max_tokens}
    return {column: limit for column, limit in limits.items() if limit is not None}
