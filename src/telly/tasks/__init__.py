"""The downstream tasks: one module per task, one line here. Imports no torch; `get_task` does, when it is called.

Help, validation, scoring and every other list of tasks are derived from `TASKS`.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, get_type_hints

from telly.errors import ConfigError
from telly.mining.target import MiningTarget
from telly.tasks.classify import Classify
from telly.tasks.clone import Clone
from telly.tasks.clone_retrieval import CloneRetrieval
from telly.tasks.complete import Complete
from telly.tasks.generate import Generate
from telly.tasks.search import Search
from telly.tasks.spec import TaskSpec
from telly.tasks.summarize import Summarize

if TYPE_CHECKING:
    from telly.tasks.training.base import AnyTask

AnySpec = TaskSpec[Any]
TASKS: dict[str, AnySpec] = {
    spec.name: spec
    for spec in (
        Search(),
        Clone(),
        CloneRetrieval(),
        Summarize(),
        Generate(),
        Complete(),
        Classify(),
    )
}


def nearest_task(name: str) -> str | None:
    """The task whose name is most like a misspelt one; None if none is."""
    return next(iter(difflib.get_close_matches(name, TASKS, n=1)), None)


def get_spec(name: str) -> AnySpec:
    """Look up a task.

    Raises:
        ConfigError: there is no such task.
    """
    if name in TASKS:
        return TASKS[name]
    near = nearest_task(name)
    hint = f"did you mean {near!r}?" if near else f"known: {', '.join(TASKS)}"
    raise ConfigError(f"unknown task {name!r}; {hint}")


def get_task(name: str) -> AnyTask:
    """Look up the training part of a task; imports torch.

    Raises:
        ConfigError: there is no such task.
    """
    return get_spec(name).training()


def tasks_with_head() -> list[str]:
    """Tasks whose model has new parameters; with the head, for tasks with a choice of heads."""
    return [text for spec in TASKS.values() for text, options in spec.variants().items() if spec.has_head(options)]


def embedding_tasks() -> list[str]:
    """Tasks whose embeddings are compared by cosine; with the head, for tasks with a choice of heads."""
    return [
        text for spec in TASKS.values() for text, options in spec.variants().items() if spec.embedding_roles(options)
    ]


def option_names() -> list[str]:
    """Names of the options that some task has."""
    return list(dict.fromkeys(name for spec in TASKS.values() for name in spec.option_names))


def option_types() -> dict[str, Any]:
    """Types of the options that some task has, with their declarations and limits, by name.

    Raises:
        TypeError: two tasks declare an option differently; on the command line and in a TOML file it is one setting.
    """
    types: dict[str, Any] = {}
    for spec in TASKS.values():
        for name, kind in get_type_hints(spec.options, include_extras=True).items():
            if types.setdefault(name, kind) != kind:
                raise TypeError(
                    f"{spec.options.__name__}.{name}: another task declares it differently; use its declaration"
                )
    return types


def mining_target(name: str) -> MiningTarget:
    """Look up the mining target of a task.

    Raises:
        ConfigError: nothing is mined for it, or there is no such task.
    """
    target = TASKS[name].mining if name in TASKS else None
    if target is None:
        raise ConfigError(f"unknown task {name!r}; known: {', '.join(mined_tasks())}")
    return target


def mined_tasks() -> list[str]:
    """Names of the tasks that a repository gives data for."""
    return [name for name, spec in TASKS.items() if spec.mining is not None]
