"""Length limits of the settings, and the positions that a model has."""

from __future__ import annotations

from telly.errors import ConfigError
from telly.models.generation import architecture_of
from telly.models.stack import LayerStack
from telly.settings.config import ResolvedConfig
from telly.tasks.training.base import AnyTask


def fitting_lengths(config: ResolvedConfig, task: AnyTask, stack: LayerStack) -> dict[str, int]:
    """Reduce the length limits of the settings to the positions that the model has."""
    limit = stack.position_limit
    if limit is None:
        return config.max_tokens
    total = sum(config.max_tokens.values())
    if task.is_generative and architecture_of(stack.model.config).is_single_sequence and total > limit:
        return _in_proportion(config, limit)
    return {column: min(tokens, limit) for column, tokens in config.max_tokens.items()}


def check_lengths(config: ResolvedConfig, task: AnyTask, stack: LayerStack) -> None:
    """Check that no sequence is longer than the model has positions.

    Raises:
        ConfigError: a limit is above the number of positions; the text names the column and the limit.
    """
    limit = stack.position_limit
    if limit is None:
        return
    for column, tokens in config.max_tokens.items():
        if tokens > limit:
            raise ConfigError(
                f"max_tokens: {column} may have {tokens} tokens, and {config.model} has {limit} positions; "
                f"give --max-tokens {column}={limit} or less"
            )
    total = sum(config.max_tokens.values())
    if task.is_generative and architecture_of(stack.model.config).is_single_sequence and total > limit:
        limits = ", ".join(f"{column} {tokens}" for column, tokens in config.max_tokens.items())
        raise ConfigError(
            f"max_tokens: {limits}: prompt and answer are one sequence of up to {total} tokens, and {config.model} has "
            f"{limit} positions; give less with --max-tokens, such as {task_limits(config, limit)}"
        )


def task_limits(config: ResolvedConfig, limit: int) -> str:
    """Length limits that fit together, in the proportion of those in the settings."""
    return ", ".join(f"{column}={tokens}" for column, tokens in _in_proportion(config, limit).items())


def _in_proportion(config: ResolvedConfig, limit: int) -> dict[str, int]:
    total = sum(config.max_tokens.values())
    return {column: max(2, tokens * limit // total) for column, tokens in config.max_tokens.items()}
