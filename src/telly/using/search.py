"""Search in an index: by embeddings, by words, or both, fused by rank."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from telly.errors import CodeIndexError, ConfigError, ModelError
from telly.inference.embeddings import LATER_PARTS, Embeddings
from telly.mining.repository.collect import CollectOptions
from telly.using.dense import Indices
from telly.using.index import CodeIndex, CodeLocation, default_folder, open_index

if TYPE_CHECKING:  # both import torch, which a search by words need not wait for
    from telly.inference.tuned_model import TunedModel
    from telly.using.update import Update

logger = logging.getLogger(__name__)

TASK = "search"
By = Literal["fused", "dense", "bm25"]
RANK_OFFSET = 60
"""Constant k of reciprocal rank fusion (Cormack et al. 2009)."""
CANDIDATES = 100
"""Candidates taken from each retriever before rank fusion."""


@dataclass(frozen=True)
class SearchHit:
    """A search result.

    Attributes:
        location: the function and its file.
        score: score of the ranking: the sum of 1 / (60 + rank) if fused, else similarity or BM25.
        similarity: similarity to the query by the model's measure, by default the cosine; None if it is not among the
            nearest, or embeddings were not searched.
        bm25: BM25 of the query's words; None if it is not among the best, or words were not searched.
    """

    location: CodeLocation
    score: float
    similarity: float | None
    bm25: float | None


class Searcher:
    """An index ready for queries.

    Args:
        index: the functions.
        tuned: the model that made the index, which embeds queries; None searches by words alone.

    Raises:
        CodeIndexError: another model made the index.
    """

    def __init__(self, index: CodeIndex, tuned: TunedModel | None = None) -> None:
        if tuned is not None and tuned.key.fingerprint != index.meta.fingerprint:
            raise CodeIndexError(_other_model(index, tuned))
        self.index = index
        self.tuned = tuned

    def search(self, query: str, top: int = 10, by: By = "fused") -> list[SearchHit]:
        """Find the functions that fit a sentence or some words, best first.

        Args:
            query: what the function does.
            top: maximum number of functions.
            by: rank by embeddings (`dense`), by words (`bm25`), or by both (`fused`).

        Raises:
            ConfigError: the query is blank, or the ranking is unknown.
        """
        if not query.strip():
            raise ConfigError('the query is blank; expected words, such as "how do I parse a date"')
        if by not in get_args(By):
            raise ConfigError(f"cannot search by {by!r}; expected one of {', '.join(get_args(By))}")
        count = max(top, CANDIDATES)
        similarities = self._nearest(query, count) if by != "bm25" else {}
        words = self._best_words(query, count) if by != "dense" else {}
        scores = {"fused": fuse([list(similarities), list(words)]), "dense": similarities, "bm25": words}[by]
        best = sorted(scores, key=lambda index: (-scores[index], index))[:top]
        return [SearchHit(self.index.location(n), scores[n], similarities.get(n), words.get(n)) for n in best]

    def _nearest(self, query: str, count: int) -> dict[int, float]:
        if self.tuned is None:
            raise ConfigError("searching by embeddings needs the index's model; give it, or search by bm25")
        [embedding] = self.tuned.embed_to_compare([query], role="query")
        indices, similarities = self.index.dense.nearest(embedding, count)
        return dict(zip(indices.tolist(), similarities.tolist(), strict=True))

    def _best_words(self, query: str, count: int) -> dict[int, float]:
        scores = self.index.words.scores(query)
        return {int(index): float(scores[index]) for index in top_indices(scores, count) if scores[index] > 0}


def fuse(rankings: Sequence[Sequence[int]]) -> dict[int, float]:
    """Reciprocal rank fusion: scores by index, the sum of 1 / (60 + rank) over the rankings that have the index."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, index in enumerate(ranking, start=1):
            scores[index] = scores.get(index, 0.0) + 1 / (RANK_OFFSET + rank)
    return scores


def top_indices(scores: Embeddings, count: int) -> Indices:
    """Indices of the highest scores, [count], best first; of equal scores, the lower index first."""
    if count < len(scores):
        # partitioning is linear; only the scores that can be among the highest are sorted
        threshold = np.partition(scores, -count)[-count]
        candidates = np.flatnonzero(scores >= threshold)
    else:
        candidates = np.arange(len(scores))
    order = np.argsort(-scores[candidates], kind="stable")[:count]
    return candidates[order]


def _other_model(index: CodeIndex, tuned: TunedModel) -> str:
    meta, key = index.meta, asdict(tuned.key)
    different = [name for name, value in key.items() if (LATER_PARTS | meta.key).get(name, value) != value]
    return (
        f"{index.folder.parent}: this index was made with {meta.model}, not with {tuned.name} "
        f"(other {', '.join(name.replace('_', ' ') for name in different)}); their embeddings cannot be compared. "
        f"Encode all again: {_index_command(index, tuned.name)}"
    )


def _index_command(index: CodeIndex, model: str | None = None) -> str:
    """The shell command that brings this index up to date."""
    root, folder = Path(index.meta.root), index.folder.parent
    words = ["telly", "index", relative_path(str(root)), *(["--model", model] if model else [])]
    if folder.resolve() != default_folder(root, TASK).resolve():
        words += ["--index", str(folder)]
    return shlex.join(words)


def build_index(
    path: Path | str,
    *,
    model: str | None = None,
    index: Path | None = None,
    options: CollectOptions | None = None,
    workers: int | None = None,
) -> Update:
    """Make the index of a source tree for search, or bring it up to date.

    Args:
        path: the tree.
        model: a run's folder or another model. [default: the newest run of search, else the embedded model]
        index: the index's folder. [default: in the user's cache folder]
        options: functions to read, from `telly.using.reading.collect_options`. [default: as before, or all without
            tests]
        workers: processes that read files. [default: one per processor]

    Raises:
        TellyError: as `telly.using.update.update_index`.
    """
    from telly.inference.tuned_model import TunedModel
    from telly.using.choice import choose
    from telly.using.update import update_index

    choice = choose(TASK, model)
    logger.info(choice.message)
    root = Path(path)
    tuned = TunedModel.load(choice.model, TASK)
    return update_index(root, index or default_folder(root, TASK), tuned, options, workers)


def open_search(
    path: Path | str = ".",
    *,
    model: str | None = None,
    index: Path | None = None,
    by: By = "fused",
    update: bool = False,
) -> Searcher:
    """Open the index of a source tree for many queries; without an index, it is made first.

    Args:
        path: the tree.
        model: model of queries, which must be the one that made the index. [default: that one]
        index: the index's folder. [default: in the user's cache folder]
        by: ranking that will be used; `bm25` needs no model.
        update: bring the index up to date first.

    Raises:
        CodeIndexError: the index is damaged, or another model's.
        TellyError: as `build_index`, where it is made or updated.
    """
    root = Path(path)
    folder = index or default_folder(root, TASK)
    code_index = open_index(folder, earlier=update)
    if code_index is None or update:
        if code_index is None:
            logger.info("no index of %s yet: making it in %s", root, folder)
        build_index(root, model=model or (code_index.meta.model if code_index else None), index=folder)
        code_index = open_index(folder)
        assert code_index is not None
    tuned = None if by == "bm25" else _model_of(code_index, model)
    model_text = f"; model: {relative_path(tuned.name)}" if tuned else ""
    logger.info("index of %s, %s functions%s", code_index.meta.made, f"{len(code_index):,}", model_text)
    return Searcher(code_index, tuned)


def _model_of(index: CodeIndex, model: str | None) -> TunedModel:
    from telly.inference.tuned_model import TunedModel
    from telly.models.folder import EMBEDDED
    from telly.using.choice import newest_usable_run

    newest = newest_usable_run(TASK)
    if model is None and newest is not None and str(newest.resolve()) != index.meta.model:
        used = relative_path(index.meta.model)
        logger.info("the index was made with %s; %s is newer: `%s` takes it", used, newest, _index_command(index))
    try:
        return TunedModel.load(model or index.meta.model, TASK)
    except ModelError as error:
        raise CodeIndexError(
            f"{index.folder.parent}: the model that made this index cannot be loaded ({error}). Encode all with "
            f"another one, such as: {_index_command(index, EMBEDDED)}; or search for words alone: --by bm25"
        ) from None


def relative_path(path: str) -> str:
    """The path relative to the working folder if it lies below it, else the path itself."""
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path


def search(
    query: str,
    path: Path | str = ".",
    *,
    top: int = 10,
    by: By = "fused",
    model: str | None = None,
    index: Path | None = None,
) -> list[SearchHit]:
    """Search a source tree for the functions that a sentence describes, best first.

    `open_search` loads index and model once for many queries.

    Example:
        >>> import telly
        >>> for hit in telly.code.search("parse a date", "src", top=3):
        ...     print(hit.location.path, hit.location.function.line, hit.score)

    Args:
        query: what the function does, in words.
        path: the tree; without an index, it is made first.
        top: maximum number of functions.
        by: rank by embeddings (`dense`), by words (`bm25`), or by both (`fused`).
        model: model of queries, which must be the one that made the index. [default: that one]
        index: the index's folder. [default: in the user's cache folder]

    Raises:
        TellyError: as `open_search` and `Searcher.search`.
    """
    return open_search(path, model=model, index=index, by=by).search(query, top, by)
