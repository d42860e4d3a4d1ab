"""Groups of functions that do the same, across and within the files of a source tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from telly.errors import CodeIndexError, ConfigError
from telly.inference.tuned_model import TunedModel
from telly.mining.duplicates import signature
from telly.mining.repository.collect import CollectOptions
from telly.using.choice import choose
from telly.using.dense import Dense, Vectors
from telly.using.index import CodeLocation, default_folder, open_index
from telly.using.search import Say
from telly.using.update import update_index

TASK = "clone"
TASKS = (TASK, "clone-retrieval", "search")
"""Tasks whose models have vectors to compare; the first is the default's."""
MIN_SIMILARITY = 0.95
"""Cosine from which functions are clones where no run has chosen a threshold (docs/using.md)."""
MIN_LINES = 5
NEIGHBOURS = 50
"""Of every function; more copies of one function are linked through each other."""
QUERIES = 512
"""Functions whose neighbours are looked for at a time."""
NEAR_DUPLICATE = 0.8
"""Share of shingles of five tokens, as MinHash estimates it, from which texts are near-duplicates."""

Kind = Literal["copy", "near-duplicate", "similar"]
KINDS: tuple[Kind, ...] = ("copy", "near-duplicate", "similar")
"""How alike two functions are: copies (`telly.mining.copies`), nearly equal texts, or alike only by the model."""


@dataclass(frozen=True)
class ClonePair:
    """Two functions of a group, by their numbers within it."""

    left: int
    right: int
    similarity: float
    kind: Kind


@dataclass(frozen=True)
class CloneGroup:
    """Functions that are clones of each other, some of them perhaps through others.

    Attributes:
        places: the functions in the order of the tree.
        pairs: which of them are how alike, the most alike first.
    """

    places: tuple[CodeLocation, ...]
    pairs: tuple[ClonePair, ...] = field(repr=False)

    @property
    def kind(self) -> Kind:
        """The loosest kind that is needed to link all of them."""
        return next(kind for at, kind in enumerate(KINDS) if self._linked(KINDS[: at + 1]))

    @property
    def similarity(self) -> tuple[float, float]:
        """The least and the greatest of the pairs."""
        found = [pair.similarity for pair in self.pairs]
        return min(found), max(found)

    @property
    def repeated_lines(self) -> int:
        """Lines that would be gone if one function, the longest, stood for all."""
        lines = [place.function.last - place.function.line + 1 for place in self.places]
        return sum(lines) - max(lines)

    def _linked(self, kinds: tuple[Kind, ...]) -> bool:
        links = [(pair.left, pair.right) for pair in self.pairs if pair.kind in kinds]
        return len(components(links)) == 1 and len(components(links)[0]) == len(self.places)


@dataclass(frozen=True)
class Clones:
    """The clones of a tree.

    Attributes:
        root: the tree.
        model: what compared the functions.
        min_similarity: from which cosine on.
        min_lines: shorter functions were left out.
        functions: how many were compared.
        groups: those with the most repeated lines first.
    """

    root: Path
    model: str
    min_similarity: float
    min_lines: int
    functions: int
    groups: tuple[CloneGroup, ...]

    def groups_with(self, kind: Kind) -> list[CloneGroup]:
        """The groups with at least one pair of a kind, or of one that is more alike."""
        kinds = KINDS[: KINDS.index(kind) + 1]
        return [group for group in self.groups if any(pair.kind in kinds for pair in group.pairs)]


def find_clones(
    path: Path | str = ".",
    *,
    min_similarity: float | None = None,
    min_lines: int = MIN_LINES,
    model: str | None = None,
    index: Path | None = None,
    what: CollectOptions | None = None,
    workers: int | None = None,
    say: Say = lambda _line: None,
) -> Clones:
    """Find the clones of a source tree.

    The vectors are kept in an index, as search's are, so that the next call encodes only what has changed.

    Args:
        path: the tree.
        min_similarity: cosine from which on two functions are clones. [default: what the run chose on its validation
            data, else `MIN_SIMILARITY`]
        min_lines: leave out shorter functions: accessors and the like are all alike.
        model: a run of clone with the cosine head, of clone-retrieval or of search. [default: the newest run of clone]
        index: the index's folder. [default: in the user's cache folder]
        what: which functions, as `telly.using.reading.wanted` makes it. [default: as before, or all without tests]
        workers: processes that read. [default: one a processor]
        say: told what a person should know.

    Raises:
        TellyError: as `telly.using.update.update_index`.
        ConfigError: the similarity is no cosine, or the model's vectors cannot be compared.
    """
    if min_similarity is not None and not 0 < min_similarity <= 1:
        raise ConfigError(f"--min-similarity: expected a cosine above 0 and at most 1, found {min_similarity:g}")
    choice = choose(TASK, model)
    say(choice.line)
    tuned = TunedModel.load(choice.model, TASKS)
    return clones_by(
        tuned, path, min_similarity=min_similarity, min_lines=min_lines, index=index, what=what, workers=workers
    )


def clones_by(
    tuned: TunedModel,
    path: Path | str,
    *,
    min_similarity: float | None = None,
    min_lines: int = MIN_LINES,
    index: Path | None = None,
    what: CollectOptions | None = None,
    workers: int | None = None,
) -> Clones:
    """As `find_clones`, by a model that is loaded.

    Raises:
        TellyError: as `telly.using.update.update_index`.
    """
    root = Path(path)
    folder = index or default_folder(root, TASK)
    update_index(root, folder, tuned, what, workers)
    found = open_index(folder)
    if found is None:
        raise CodeIndexError(f"{folder}: the index was removed while it was read; run the command again")
    least = min_similarity if min_similarity is not None else _threshold(tuned)
    places = list(found.places())
    kept = [n for n, place in enumerate(places) if place.function.last - place.function.line + 1 >= min_lines]
    groups = groups_of([places[n] for n in kept], np.asarray(found.vectors)[kept], least)
    return Clones(root, tuned.name, least, min_lines, len(kept), groups)


def _threshold(tuned: TunedModel) -> float:
    chosen = tuned.config.threshold if tuned.config.task == TASK else None
    return MIN_SIMILARITY if chosen is None else chosen


def groups_of(places: list[CodeLocation], vectors: Vectors, min_similarity: float) -> tuple[CloneGroup, ...]:
    """Groups of functions linked by pairs whose cosine is at least `min_similarity`, or that are copies.

    Args:
        places: the functions.
        vectors: their unit vectors, [functions, hidden].
        min_similarity: the least cosine.
    """
    keys = [place.function.key for place in places]
    links = {(a, b): cosine for a, b, cosine in _links(vectors, min_similarity)}
    same: dict[str, list[int]] = {}
    for number, key in enumerate(keys):
        if key:
            same.setdefault(key, []).append(number)
    for numbers in same.values():  # whatever the model says, and also where there are more than neighbours
        links |= {(a, b): min(1.0, float(vectors[a] @ vectors[b])) for a, b in pairwise(numbers)}
    of: dict[int, int] = {}
    members = components(list(links))
    for number, group in enumerate(members):
        of.update(dict.fromkeys(group, number))
    within: list[dict[tuple[int, int], float]] = [{} for _ in members]
    for (a, b), cosine in links.items():
        within[of[a]][a, b] = cosine
    found = [_group(places, keys, group, pairs) for group, pairs in zip(members, within, strict=True)]
    return tuple(sorted(found, key=lambda group: -group.repeated_lines))


def _links(vectors: Vectors, least: float) -> Iterator[tuple[int, int, float]]:
    """Pairs of functions that are near enough, the lower number first; some come twice."""
    if len(vectors) < 2:
        return
    dense = Dense.build(vectors)
    with tqdm(total=len(vectors), desc="comparing", unit="function", disable=None) as bar:
        for at in range(0, len(vectors), QUERIES):
            part = np.ascontiguousarray(vectors[at : at + QUERIES])
            scores, found = dense.index.search(part, min(NEIGHBOURS + 1, len(vectors)))
            for row, place in np.argwhere((scores >= least) & (found >= 0)):
                a, b = at + int(row), int(found[row, place])
                if a != b:
                    yield min(a, b), max(a, b), min(1.0, float(scores[row, place]))
            bar.update(len(part))


def components(links: list[tuple[int, int]]) -> list[list[int]]:
    """Numbers that are linked, directly or through others, each part in order."""
    import networkx

    return sorted(sorted(part) for part in networkx.connected_components(networkx.Graph(links)))


def _group(
    places: list[CodeLocation], keys: list[str], numbers: list[int], links: dict[tuple[int, int], float]
) -> CloneGroup:
    within = {number: at for at, number in enumerate(numbers)}
    signatures = {number: signature(places[number].function.code, places[number].language) for number in numbers}
    pairs = []
    for (a, b), cosine in links.items():
        near = float(np.mean(signatures[a] == signatures[b])) >= NEAR_DUPLICATE
        kind: Kind = "copy" if keys[a] and keys[a] == keys[b] else "near-duplicate" if near else "similar"
        pairs.append(ClonePair(within[a], within[b], cosine, kind))
    pairs.sort(key=lambda pair: (-pair.similarity, pair.left, pair.right))
    return CloneGroup(tuple(places[number] for number in numbers), tuple(pairs))
