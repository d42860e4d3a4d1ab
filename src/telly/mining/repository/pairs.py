"""Pairs for clone detection from Python functions: refactorings that keep the behaviour, and others that look alike."""

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
PAIRS_A_FUNCTION = 6
PIECE = 32
_NAME = re.compile(r"\bdef\s+\w+")


@dataclass(frozen=True)
class CloneFamily:
    """A function, its variants, and a mutant of one of them; all are named f."""

    entry: SpoolEntry
    texts: list[str]
    mutant: str


def families(entries: Iterable[SpoolEntry], seed: int, workers: int) -> Iterator[CloneFamily]:
    """The families of the functions that give enough variants and a mutant, in the functions' order."""
    for made in in_order(partial(_families, seed), _pieces(entries), workers):
        yield from made


def _pieces(entries: Iterable[SpoolEntry]) -> Iterator[list[SpoolEntry]]:
    piece: list[SpoolEntry] = []
    for entry in entries:
        piece.append(entry)
        if len(piece) == PIECE:
            yield piece
            piece = []
    if piece:
        yield piece


def _families(seed: int, entries: list[SpoolEntry]) -> list[CloneFamily]:
    return [family for entry in entries if (family := _family(seed, entry)) is not None]


def _family(seed: int, entry: SpoolEntry) -> CloneFamily | None:
    code = _NAME.sub("def f", entry.function.code, count=1)
    rng = random.Random(f"{seed} {entry.path} {entry.function.name} {entry.function.line}")
    texts = [code, *variants_of(code, VARIANTS, rng)]
    if len(texts) <= VARIANTS:
        return None
    mutant = mutant_of(texts[1], rng)
    return None if mutant is None or mutant in texts else CloneFamily(entry, texts, mutant)


def pairs(chosen: list[CloneFamily], rng: random.Random) -> list[tuple[int, int, int]]:
    """Six pairs a function by the places of their texts, four a function: original, two variants, mutant.

    Its three clones; and as negatives its mutant, the nearest other function by BM25, and a random one. Both labels
    join an original with a rewritten text as often, so how a text is written tells nothing about the label.
    """
    size = VARIANTS + 2
    near = bm25_neighbours([family.texts[0] for family in chosen])
    found = []
    for number, neighbour in enumerate(near):
        own = size * number
        found += [(own, own + 1, 1), (own + 2, own, 1), (own + 1, own + 2, 1), (own, own + 3, 0)]
        other = _other(rng, len(chosen), number)
        if neighbour is not None:
            found.append((size * neighbour + 2, own, 0))
        if other is not None and other != neighbour:
            found.append((own + 1, size * other + 2, 0))
    rng.shuffle(found)
    return found


def _other(rng: random.Random, count: int, number: int) -> int | None:
    if count < 2:
        return None
    other = rng.randrange(count - 1)
    return other + (other >= number)
