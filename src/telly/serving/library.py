"""The calls of the API on one source tree; a task's model is loaded at its first request, and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from telly.errors import ConfigError, DataError, TellyError
from telly.inference.tuned_model import TunedModel
from telly.mining.repository.collect import printable
from telly.runs.inference_config import InferenceConfig
from telly.serving.highlight import marked
from telly.using import clones
from telly.using.answers import (
    Answer,
    classes_answer,
    clones_answer,
    completion_answer,
    generation_answer,
    search_answer,
    summaries_answer,
)
from telly.using.choice import choose
from telly.using.classify import classes_by
from telly.using.index import CodeLocation, default_folder, open_index
from telly.using.locations import functions_of_text
from telly.using.search import TASK, By, Searcher, open_search, relative_path
from telly.using.writing import check_description, code_by, completion_by, completion_point, summaries_by

MAX_FUNCTIONS = 50
"""Maximum number of functions of a text in one request."""
ANY = ""
"""Key of the untuned model, which serves all tasks without a run."""


class NoModelError(TellyError):
    """There is no usable model for a task."""


def models_by_task(models: Sequence[str]) -> dict[str, str]:
    """Assign models to tasks: a run to its own, an untuned model (key `ANY`) to all tasks without a run.

    Raises:
        ConfigError: two models are for the same task, or both are untuned.
    """
    by_task: dict[str, str] = {}
    for model in models:
        config = InferenceConfig.read(model)
        task = config.task if config else ANY
        if task in by_task:
            what = f"tuned for {task}" if task else "not tuned"
            raise ConfigError(f"--model: both {by_task[task]} and {model} are {what}; give one of them")
        by_task[task] = model
    return by_task


@dataclass
class Library:
    """Index and models of a server. Calls block, and calls for one task must not overlap.

    Attributes:
        root: the tree.
        folder: folder of its index for search.
        searcher: the index and its model.
        models: models by task, from `models_by_task`; other tasks use their newest run.
    """

    root: Path
    folder: Path
    searcher: Searcher
    models: Mapping[str, str] = field(default_factory=dict)
    _loaded: dict[str, TunedModel] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def open(
        cls,
        root: Path,
        models: Sequence[str] = (),
        index: Path | None = None,
        *,
        update: bool = False,
    ) -> Library:
        """Open the index of a tree, which is made first if there is none, and load its model.

        Raises:
            TellyError: as `telly.using.search.open_search` and `models_by_task`.
        """
        by_task = models_by_task(models)
        model = by_task.get(TASK, by_task.get(ANY))
        folder = index or default_folder(root, TASK)
        searcher = open_search(root, model=model, index=folder, update=update)
        return cls(root.resolve(), folder, searcher, by_task)

    def about(self) -> Answer:
        """Name, size, time and model of the index."""
        meta = self.searcher.index.meta
        return {
            "name": printable(self.root.name or str(self.root)),
            "functions": meta.functions,
            "indexed": meta.made,
            "model": relative_path(meta.model),
        }

    def search(self, query: str, top: int, by: By, lines: int, *, with_marks: bool = False) -> Answer:
        """Results as `telly search --json` prints them, optionally with chunks for a page."""
        self._reload_index()
        hits = self.searcher.search(query, top, by)
        answer = search_answer(query, by, self.searcher.index.meta.model, hits, lines)
        if with_marks:
            for hit, row in zip(hits, answer["hits"], strict=True):
                row["marked"] = marked(query, hit.location, lines)
        return answer

    def clones(self, min_similarity: float | None, min_lines: int, top: int) -> Answer:
        """Clones of the tree, most repeated lines first."""
        tuned = self._tuned(*clones.tasks())
        answer = clones_answer(clones.clones_by(tuned, self.root, min_similarity=min_similarity, min_lines=min_lines))
        groups = answer["groups"]
        return {**answer, "total": len(groups), "groups": groups[:top]}

    def summarize(self, code: str, language: str) -> Answer:
        """Summaries as `telly summarize --json` prints them for a file with this code."""
        locations = _functions_within_limit(code, language)
        return summaries_answer(summaries_by(self._tuned("summarize"), locations))

    def complete(self, code: str, line: int | None) -> Answer:
        """A line as `telly complete --json` prints it for a file with this code. [default: the line after the last]"""
        lines = code.split("\n")
        number = line or len(lines) + (lines[-1] != "")
        point = completion_point(code, str(number), "line", "a line")
        return completion_answer(completion_by(self._tuned("complete"), point))

    def generate(self, description: str) -> Answer:
        """Code as `telly generate --json` prints it."""
        check_description(description)
        return generation_answer(description, code_by(self._tuned("generate"), description))

    def classify(self, code: str, language: str) -> Answer:
        """Classes as `telly classify --json` prints them for a file with this code."""
        locations = _functions_within_limit(code, language)
        return classes_answer(classes_by(self._tuned("classify"), locations))

    def _tuned(self, task: str, *alternatives: str) -> TunedModel:
        """The model for a task, loaded once; clones also accept that of another task that embeds."""
        if task not in self._loaded:
            tasks = (task, *alternatives)
            model = next((self.models[name] for name in (*tasks, ANY) if name in self.models), None)
            try:
                self._loaded[task] = TunedModel.load(choose(task, model).model, tasks)
            except TellyError as error:
                raise NoModelError(str(error)) from None
        return self._loaded[task]

    def _reload_index(self) -> None:
        """Open the current generation of the index if `telly index` has written a new one."""
        if self.searcher.index.is_current():
            return
        index = open_index(self.folder)
        if index is None:  # the folder was removed, but the generation that is open can still be read
            return
        tuned = self.searcher.tuned
        if tuned is not None and tuned.key.fingerprint == index.meta.fingerprint:
            self.searcher = Searcher(index, tuned)
        else:  # it was made with another model, which is loaded, too
            self.searcher = open_search(self.root, index=self.folder)


def _functions_within_limit(code: str, language: str) -> list[CodeLocation]:
    locations = functions_of_text(code, language)
    if len(locations) > MAX_FUNCTIONS:
        raise DataError(f"the code has {len(locations)} functions; expected at most {MAX_FUNCTIONS} in a request")
    return locations
