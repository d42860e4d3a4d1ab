"""Answers as JSON, the same from the command line and over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from telly.mining.repository.collect import shown

if TYPE_CHECKING:  # some need torch, which searching for words alone does not wait for
    from telly.using.classify import ClassifiedFunction
    from telly.using.clones import CloneGroup, Clones
    from telly.using.index import CodeLocation
    from telly.using.search import SearchHit
    from telly.using.writing import Completion, Summary

Answer = dict[str, Any]


def place_answer(place: CodeLocation) -> Answer:
    """A function and where it is."""
    function = place.function
    return {
        "path": shown(place.path),
        "line": function.line,
        "last_line": function.last,
        "name": function.name,
        "signature": function.signature,
        "language": place.language,
        "description": function.description,
    }


def search_answer(query: str, by: str, model: str, hits: list[SearchHit], lines: int) -> Answer:
    """What a search found, with the first lines of every function."""
    return {"query": query, "by": by, "model": model, "hits": [_hit(hit, lines) for hit in hits]}


def _hit(hit: SearchHit, lines: int) -> Answer:
    scores = {"score": round(hit.score, 6), "cosine": hit.cosine, "bm25": hit.bm25}
    return {**place_answer(hit.place), **scores, "snippet": "\n".join(snippet(hit.place, lines))}


def snippet(place: CodeLocation, lines: int) -> list[str]:
    """The first lines of a function's code."""
    return place.function.code.split("\n")[:lines]


def summaries_answer(found: list[Summary]) -> Answer:
    """Functions and their summaries."""
    return {"summaries": [{**place_answer(one.place), "summary": one.text} for one in found]}


def completion_answer(found: Completion) -> Answer:
    """A line that was written."""
    return asdict(found)


def generation_answer(description: str, code: str) -> Answer:
    """Code that was written for a description."""
    return {"description": description, "code": code}


def classes_answer(found: list[ClassifiedFunction]) -> Answer:
    """Functions with their classes and the probabilities of all."""
    return {"functions": [{**place_answer(one.place), "label": one.label, "probabilities": _shares(one)}
                          for one in found]}  # fmt: skip


def _shares(one: ClassifiedFunction) -> dict[str, float]:
    return {name: round(share, 6) for name, share in one.probabilities.items()}


def clones_answer(found: Clones) -> Answer:
    """Groups of clones with all their pairs."""
    return {
        "model": found.model,
        "min_similarity": found.min_similarity,
        "min_lines": found.min_lines,
        "functions": found.functions,
        "groups": [_group(group) for group in found.groups],
    }


def _group(group: CloneGroup) -> Answer:
    pairs = [{"left": p.left, "right": p.right, "similarity": round(p.similarity, 6), "kind": p.kind}
             for p in group.pairs]  # fmt: skip
    return {
        "kind": group.kind,
        "repeated_lines": group.repeated_lines,
        "functions": [place_answer(place) for place in group.places],
        "pairs": pairs,
    }
