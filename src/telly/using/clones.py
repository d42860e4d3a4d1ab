"""Groups of functions that do the same thing, across and within the files of a source tree."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from telly.errors import CodeIndexError, ConfigError
from telly.inference.embeddings import Embeddings
from telly.inference.tuned_model import TunedModel
from telly.mining.duplicates import signature
from telly.mining.repository.collect import CollectOptions
from telly.models.similarity import Similarity
from telly.tasks import TASKS, get_spec
from telly.using.choice import choose
from telly.using.dense import Dense
from telly.using.index import CodeLocation, default_folder, open_index
from telly.using.update import update_index

logger = logging.getLogger(__name__)

TASK = "clone"
"""Task whose newest run is used by default."""
MIN_SIMILARITY = 0.95
"""Minimum cosine of clones if no run has chosen a threshold (docs/using.md)."""
MIN_LINES = 5
NEIGHBOURS = 50
"""Neighbours per function; more copies of one function are linked through each other."""
QUERIES = 512
"""Number of functions per FAISS call; it bounds the memory of the results."""
NEAR_DUPLICATE = 0.8
"""Minimum Jaccard similarity of near-duplicates over shingles of five tokens, as estimated by MinHash."""

Kind = Literal["copy", "near-duplicate", "similar"]
KINDS: tuple[Kind, ...] = ("copy", "near-duplicate", "similar")
"""Kinds of clones, most similar first: copies (`telly.mining.copies`), near-duplicate texts, similar by the model."""


@dataclass(frozen=True)
class ClonePair:
    """Two functions of a group, by their indices within it."""

    left: int
    right: int
    similarity: float
    kind: Kind


@dataclass(frozen=True)
class CloneGroup:
    """Functions that are clones of each other, some of them perhaps through others.

    Attributes:
        locations: the functions in the order of the tree.
        pairs: the linked pairs, most similar first.
    """

    locations: tuple[CodeLocation, ...]
    pairs: tuple[ClonePair, ...] = field(repr=False)

    @property
    def kind(self) -> Kind:
        """The most similar kind of pairs that, with more similar ones, links all functions."""
        return next(kind for i, kind in enumerate(KINDS) if self._is_connected(KINDS[: i + 1]))

    @property
    def similarity(self) -> tuple[float, float]:
        """Lowest and highest similarity of the pairs."""
        similarities = [pair.similarity for pair in self.pairs]
        return min(similarities), max(similarities)

    @property
    def repeated_lines(self) -> int:
        """Number of lines saved if the longest function replaced all of them."""
        lines = [location.function.last - location.function.line + 1 for location in self.locations]
        return sum(lines) - max(lines)

    def _is_connected(self, kinds: tuple[Kind, ...]) -> bool:
        links = [(pair.left, pair.right) for pair in self.pairs if pair.kind in kinds]
        parts = components(links)
        return len(parts) == 1 and len(parts[0]) == len(self.locations)


@dataclass(frozen=True)
class Clones:
    """The clones of a tree.

    Attributes:
        root: the tree.
        model: name of the model.
        min_similarity: minimum similarity of clones, by the model's measure.
        min_lines: minimum length of a function.
        functions: number of functions compared.
        groups: the groups, most repeated lines first.
    """

    root: Path
    model: str
    min_similarity: float
    min_lines: int
    functions: int
    groups: tuple[CloneGroup, ...]

    def groups_with(self, kind: Kind) -> list[CloneGroup]:
        """Groups with at least one pair of a kind, or of a more similar one."""
        kinds = KINDS[: KINDS.index(kind) + 1]
        return [group for group in self.groups if any(pair.kind in kinds for pair in group.pairs)]


def tasks() -> tuple[str, ...]:
    """Tasks whose models can embed functions; a model that was not tuned is used for the first."""
    embedding = [name for name, spec in TASKS.items() if any(map(spec.embedding_roles, spec.variants().values()))]
    return (TASK, *(name for name in embedding if name != TASK))


def find_clones(
    path: Path | str = ".",
    *,
    min_similarity: float | None = None,
    min_lines: int = MIN_LINES,
    model: str | None = None,
    index: Path | None = None,
    options: CollectOptions | None = None,
    workers: int | None = None,
) -> Clones:
    """Find the clones of a source tree.

    Embeddings are kept in an index, as those of search are, so that the next call encodes only what has changed.

    Args:
        path: the tree.
        min_similarity: minimum similarity of clones, by the model's measure. [default: the threshold that the run
            chose on its validation data, else `MIN_SIMILARITY`, which is a cosine]
        min_lines: minimum length of a function; accessors and the like are all similar.
        model: a run of clone with the cosine head, of clone-retrieval or of search. [default: the newest run of clone]
        index: the index's folder. [default: in the user's cache folder]
        options: functions to read, from `telly.using.reading.collect_options`. [default: as before, or all without
            tests]
        workers: processes that read files. [default: one per processor]

    Raises:
        TellyError: as `telly.using.update.update_index`.
        ConfigError: the similarity is none that the model's measure gives, or the model does not embed.
    """
    choice = choose(TASK, model)
    logger.info(choice.message)
    tuned = TunedModel.load(choice.model, tasks())
    return clones_by(
        tuned, path, min_similarity=min_similarity, min_lines=min_lines, index=index, options=options, workers=workers
    )


def clones_by(
    tuned: TunedModel,
    path: Path | str,
    *,
    min_similarity: float | None = None,
    min_lines: int = MIN_LINES,
    index: Path | None = None,
    options: CollectOptions | None = None,
    workers: int | None = None,
) -> Clones:
    """Find clones as `find_clones` does, with a loaded model.

    Raises:
        TellyError: as `telly.using.update.update_index`.
    """
    threshold = _threshold(tuned, min_similarity)
    root = Path(path)
    folder = index or default_folder(root, TASK)
    update_index(root, folder, tuned, options, workers)
    code_index = open_index(folder)
    if code_index is None:
        raise CodeIndexError(f"{folder}: the index was removed while it was read; run the command again")
    locations = list(code_index.locations())
    compared = [i for i, one in enumerate(locations) if one.function.last - one.function.line + 1 >= min_lines]
    embeddings = np.asarray(code_index.embeddings)[compared]
    groups = groups_of([locations[i] for i in compared], embeddings, threshold, code_index.meta.similarity)
    return Clones(root, tuned.name, threshold, min_lines, len(compared), groups)


def _threshold(tuned: TunedModel, given: float | None) -> float:
    """Minimum similarity of clones: the user's, else the run's, else that for the cosine.

    Raises:
        ConfigError: the user's is not one, or the model compares by another measure and has none of its own.
    """
    is_cosine = tuned.similarity is Similarity.COSINE
    if given is not None:
        if not math.isfinite(given) or (is_cosine and not 0 < given <= 1):
            expected = "a cosine above 0 and at most 1" if is_cosine else "a number"
            raise ConfigError(f"--min-similarity: expected {expected}, found {given:g}")
        return given
    config = tuned.config
    fitted = config.threshold if get_spec(config.task).has_threshold else None
    if fitted is None and not is_cosine:
        raise ConfigError(
            f"{tuned.name}: compares by the similarity {tuned.similarity}, for which there is no usual threshold of "
            "clones; give --min-similarity"
        )
    return MIN_SIMILARITY if fitted is None else fitted


def groups_of(
    locations: list[CodeLocation],
    embeddings: Embeddings,
    min_similarity: float,
    similarity: Similarity = Similarity.COSINE,
) -> tuple[CloneGroup, ...]:
    """Groups of functions linked by pairs whose similarity is at least `min_similarity`, or that are copies.

    Args:
        locations: the functions.
        embeddings: their embeddings, [functions, size], of unit length for the cosine.
        min_similarity: minimum similarity.
        similarity: similarity by which embeddings are compared.
    """
    keys = [location.function.key for location in locations]
    links = {(a, b): score for a, b, score in _links(embeddings, min_similarity, similarity)}
    copies: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        if key:
            copies.setdefault(key, []).append(index)
    # copies are linked in a chain, whatever the model says and even if there are more of them than `NEIGHBOURS`
    for indices in copies.values():
        links |= {(a, b): _similarity(embeddings[a], embeddings[b], similarity) for a, b in pairwise(indices)}
    # one pass hands each link to the component of its functions, so many groups do not cost a scan of all links each
    parts = components(list(links))
    part_of = {index: part for part, indices in enumerate(parts) for index in indices}
    part_links: list[dict[tuple[int, int], float]] = [{} for _ in parts]
    for (a, b), score in links.items():
        part_links[part_of[a]][a, b] = score
    groups = [_group(locations, keys, indices, pairs) for indices, pairs in zip(parts, part_links, strict=True)]
    return tuple(sorted(groups, key=lambda group: -group.repeated_lines))


def _similarity(left: Embeddings, right: Embeddings, similarity: Similarity) -> float:
    """Similarity of two embeddings, [size] each."""
    (score,), _ = Dense.build(right[None], similarity=similarity).search(left[None], 1)
    return _rounded(float(score[0]), similarity)


def _rounded(score: float, similarity: Similarity) -> float:
    """A similarity without the rounding by which a cosine can exceed 1."""
    return min(1.0, score) if similarity is Similarity.COSINE else score


def _links(embeddings: Embeddings, min_similarity: float, similarity: Similarity) -> Iterator[tuple[int, int, float]]:
    """Pairs of similar functions with their similarities, the lower index first; a pair may come twice."""
    if len(embeddings) < 2:
        return
    dense = Dense.build(embeddings, similarity=similarity)
    with tqdm(total=len(embeddings), desc="comparing", unit="function", disable=None) as bar:
        for start in range(0, len(embeddings), QUERIES):
            queries = embeddings[start : start + QUERIES]
            # one neighbour more than needed, since a function is also its own
            scores, neighbours = dense.search(queries, NEIGHBOURS + 1)
            for row, column in np.argwhere((scores >= min_similarity) & (neighbours >= 0)):
                a, b = start + int(row), int(neighbours[row, column])
                if a != b:
                    yield min(a, b), max(a, b), _rounded(float(scores[row, column]), similarity)
            bar.update(len(queries))


def components(links: list[tuple[int, int]]) -> list[list[int]]:
    """Connected components of links, each sorted."""
    import networkx

    return sorted(sorted(part) for part in networkx.connected_components(networkx.Graph(links)))


def _group(
    locations: list[CodeLocation], keys: list[str], indices: list[int], links: dict[tuple[int, int], float]
) -> CloneGroup:
    position = {index: i for i, index in enumerate(indices)}
    signatures = {index: signature(locations[index].function.code, locations[index].language) for index in indices}
    pairs = []
    for (a, b), score in links.items():
        # the ratio of equal MinHash values estimates the Jaccard similarity
        is_near = float(np.mean(signatures[a] == signatures[b])) >= NEAR_DUPLICATE
        kind: Kind = "copy" if keys[a] and keys[a] == keys[b] else "near-duplicate" if is_near else "similar"
        pairs.append(ClonePair(position[a], position[b], score, kind))
    pairs.sort(key=lambda pair: (-pair.similarity, pair.left, pair.right))
    return CloneGroup(tuple(locations[index] for index in indices), tuple(pairs))
