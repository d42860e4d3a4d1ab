"""The downstream tasks: one file a task, one line here. Help texts and tests are derived from this table."""

from __future__ import annotations

from telly.errors import ConfigError
from telly.tasks.base import Task
from telly.tasks.search import SearchTask

TASKS: dict[str, Task] = {task.name: task for task in (SearchTask(),)}


def get_task(name: str) -> Task:
    """The task of a name.

    Raises:
        ConfigError: there is no such task; names those there are.
    """
    if name not in TASKS:
        raise ConfigError(f"unknown task {name!r}; known: {', '.join(TASKS)}")
    return TASKS[name]
