"""Pairs for clone detection from Python functions: rewrites that keep the behaviour, and similar-looking negatives."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from telly.metrics.bm25 import bm25_neighbours
from telly.mining.mutations import mutant_of
from telly.mining.parallel import in_order
from telly.mining.repository.collect import SpoolEntry
from telly.mining.variants import variants_of

VARIANTS = 2
PAIRS_PER_FUNCTION = 6
CHUNK = 32
_NAME = re.compile(r"\bdef\s+\w+")


@dataclass(frozen=True)
class CloneFamily:
    """A function, its variants, and a mutant of one of them; all are named f."""

    entry: SpoolEntry
    texts: list[str]
    mutant: str


def families(entries: Iterable[SpoolEntry], seed: int, workers: int) -> Iterator[CloneFamily]:
    """The families of those functions that have enough variants and a mutant, in order."""
    for chunk in in_order(partial(_families, seed), _chunks(entries), workers):
        yield from chunk


def _chunks(entries: Iterable[SpoolEntry]) -> Iterator[list[SpoolEntry]]:
    chunk: list[SpoolEntry] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _families(seed: int, entries: list[SpoolEntry]) -> list[CloneFamily]:
    return [family for entry in entries if (family := _family(seed, entry)) is not None]


def _family(seed: int, entry: SpoolEntry) -> CloneFamily | None:
    # One name for all functions, since the original's would tell which texts belong together.
    code = _NAME.sub("def f", entry.function.code, count=1)
    rng = random.Random(f"{seed} {entry.path} {entry.function.name} {entry.function.line}")
    texts = [code, *variants_of(code, VARIANTS, rng)]
    if len(texts) <= VARIANTS:
        return None
    mutant = mutant_of(texts[1], rng)
    return None if mutant is None or mutant in texts else CloneFamily(entry, texts, mutant)


def pairs(chosen: list[CloneFamily], rng: random.Random) -> list[tuple[int, int, int]]:
    """Six pairs per function, as indices of texts: four per function, the original, two variants and a mutant.

    Three pairs of clones; and as negatives the mutant, the nearest other function by BM25, and a random one. Both
    labels join an original with a rewritten text equally often, so the style of a text says nothing about the label.
    """
    size = VARIANTS + 2
    nearest = bm25_neighbours([family.texts[0] for family in chosen])
    rows = []
    for i, neighbour in enumerate(nearest):
        original = size * i  # variants are the next two texts, the mutant the third
        rows += [
            (original, original + 1, 1),
            (original + 2, original, 1),
            (original + 1, original + 2, 1),
            (original, original + 3, 0),
        ]
        other = _other(rng, len(chosen), i)
        if neighbour is not None:
            rows.append((size * neighbour + 2, original, 0))
        if other is not None and other != neighbour:
            rows.append((original + 1, size * other + 2, 0))
    rng.shuffle(rows)
    return rows


def _other(rng: random.Random, count: int, index: int) -> int | None:
    """A random index below `count` other than `index`; None if there is no other."""
    if count < 2:
        return None
    other = rng.randrange(count - 1)
    return other + (other >= index)  # skips `index` itself
