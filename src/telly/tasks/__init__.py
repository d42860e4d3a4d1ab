"""The downstream tasks: one file a task, one line here. Help texts and tests are derived from this table."""

from __future__ import annotations

from telly.errors import ConfigError
from telly.tasks.base import Task
from telly.tasks.classify import ClassifyTask
from telly.tasks.clone import CloneTask
from telly.tasks.clone_retrieval import CloneRetrievalTask
from telly.tasks.complete import CompleteTask
from telly.tasks.generate import GenerateTask
from telly.tasks.search import SearchTask
from telly.tasks.summarize import SummarizeTask

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        SearchTask(),
        CloneTask(),
        CloneRetrievalTask(),
        SummarizeTask(),
        GenerateTask(),
        CompleteTask(),
        ClassifyTask(),
    )
}


def get_task(name: str) -> Task:
    """The task of a name.

    Raises:
        ConfigError: there is no such task; names those there are.
    """
    if name not in TASKS:
        raise ConfigError(f"unknown task {name!r}; known: {', '.join(TASKS)}")
    return TASKS[name]
