"""The library's calls over one source tree: every task's model is loaded when it is first asked for, and stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from telly.errors import ConfigError, DataError, TellyError
from telly.inference.tuned_model import TunedModel
from telly.mining.repository.collect import shown
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
from telly.using.places import functions_of_text
from telly.using.search import TASK, By, Say, Searcher, near, open_search
from telly.using.writing import check_description, code_by, completion_by, find_gap, summaries_by

MAX_FUNCTIONS = 50
"""Of a text in one request."""
ANY = ""


class NoModelError(TellyError):
    """A task has no model that can be used."""


def models_by_task(models: Sequence[str]) -> dict[str, str]:
    """Which model serves which task: a run its own, one that was not tuned all that have no run here.

    Raises:
        ConfigError: two are for the same.
    """
    found: dict[str, str] = {}
    for model in models:
        usage = InferenceConfig.read(model)
        task = usage.task if usage else ANY
        if task in found:
            what = f"tuned for {task}" if task else "not tuned"
            raise ConfigError(f"--model: both {found[task]} and {model} are {what}; give one of them")
        found[task] = model
    return found


@dataclass
class Library:
    """What a server answers from; its calls block, and each task's must not be made twice at a time.

    Attributes:
        root: the tree.
        folder: of its index for search.
        searcher: the index and its model.
        models: by task, as `models_by_task` gives them; for others the newest run is taken.
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
        say: Say = lambda _line: None,
    ) -> Library:
        """Open the index of a tree, which is made first if there is none, and load its model.

        Raises:
            TellyError: as `telly.using.search.open_search` and `models_by_task`.
        """
        chosen = models_by_task(models)
        model = chosen.get(TASK, chosen.get(ANY))
        folder = index or default_folder(root, TASK)
        searcher = open_search(root, model=model, index=folder, update=update, say=say)
        return cls(root.resolve(), folder, searcher, chosen)

    def about(self) -> Answer:
        """What is served."""
        meta = self.searcher.index.meta
        return {
            "name": shown(self.root.name or str(self.root)),
            "functions": meta.functions,
            "indexed": meta.made,
            "model": near(meta.model),
        }

    def search(self, query: str, top: int, by: By, lines: int, *, with_marks: bool = False) -> Answer:
        """What `telly search --json` prints, and marked for a page if asked."""
        self._take_new_index()
        hits = self.searcher.search(query, top, by)
        answer = search_answer(query, by, self.searcher.index.meta.model, hits, lines)
        if with_marks:
            for hit, row in zip(hits, answer["hits"], strict=True):
                row["marked"] = marked(query, hit.place, lines)
        return answer

    def clones(self, min_similarity: float | None, min_lines: int, top: int) -> Answer:
        """The clones of the tree, those with the most repeated lines."""
        tuned = self._tuned(*clones.TASKS)
        found = clones.clones_by(tuned, self.root, min_similarity=min_similarity, min_lines=min_lines)
        answer = clones_answer(found)
        return {**answer, "total": len(found.groups), "groups": answer["groups"][:top]}

    def summarize(self, code: str, language: str) -> Answer:
        """What `telly summarize --json` prints for a file with this code."""
        places = _few_functions(code, language)
        return summaries_answer(summaries_by(self._tuned("summarize"), places))

    def complete(self, code: str, line: int | None) -> Answer:
        """What `telly complete --json` prints for a file with this code; without a line the one after the last."""
        lines = code.split("\n")
        number = line or len(lines) + (lines[-1] != "")
        gap = find_gap(code, str(number), "line", "a line")
        return completion_answer(completion_by(self._tuned("complete"), gap))

    def generate(self, description: str) -> Answer:
        """What `telly generate --json` prints."""
        check_description(description)
        return generation_answer(description, code_by(self._tuned("generate"), description))

    def classify(self, code: str, language: str) -> Answer:
        """What `telly classify --json` prints for a file with this code."""
        places = _few_functions(code, language)
        return classes_answer(classes_by(self._tuned("classify"), places))

    def _tuned(self, task: str, *others: str) -> TunedModel:
        """A task's model; of clones also that of a related task."""
        if task not in self._loaded:
            given = next((self.models[name] for name in (task, *others, ANY) if name in self.models), None)
            try:
                model = choose(task, given).model
                self._loaded[task] = TunedModel.load(model, (task, *others))
            except TellyError as error:
                raise NoModelError(str(error)) from None
        return self._loaded[task]

    def _take_new_index(self) -> None:
        """After `telly index` has put a new generation in the place of this one."""
        if self.searcher.index.is_current():
            return
        found = open_index(self.folder)
        if found is None:
            return
        tuned = self.searcher.tuned
        if tuned is not None and tuned.key.fingerprint == found.meta.fingerprint:
            self.searcher = Searcher(found, tuned)
        else:
            self.searcher = open_search(self.root, index=self.folder)


def _few_functions(code: str, language: str) -> list[CodeLocation]:
    places = functions_of_text(code, language)
    if len(places) > MAX_FUNCTIONS:
        raise DataError(f"the code has {len(places)} functions; expected at most {MAX_FUNCTIONS} in a request")
    return places
