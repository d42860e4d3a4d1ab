"""Results as JSON, the same for the command line and over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from telly.mining.repository.collect import printable

if TYPE_CHECKING:  # some need torch, which a search by words must not load
    from telly.using.classify import ClassifiedFunction
    from telly.using.clones import CloneGroup, Clones
    from telly.using.index import CodeLocation
    from telly.using.search import SearchHit
    from telly.using.writing import Completion, Summary

Answer = dict[str, Any]


def location_answer(location: CodeLocation) -> Answer:
    """A function and its location."""
    function = location.function
    return {
        "path": printable(location.path),
        "line": function.line,
        "last_line": function.last,
        "name": function.name,
        "signature": function.signature,
        "language": location.language,
        "description": function.description,
    }


def search_answer(query: str, by: str, model: str, hits: list[SearchHit], lines: int) -> Answer:
    """Results of a search, with the first lines of every function."""
    return {"query": query, "by": by, "model": model, "hits": [_hit(hit, lines) for hit in hits]}


def _hit(hit: SearchHit, lines: int) -> Answer:
    scores = {"score": round(hit.score, 6), "similarity": hit.similarity, "bm25": hit.bm25}
    return {**location_answer(hit.location), **scores, "snippet": "\n".join(snippet(hit.location, lines))}


def snippet(location: CodeLocation, lines: int) -> list[str]:
    """The first lines of a function's code."""
    return location.function.code.split("\n")[:lines]


def summaries_answer(summaries: list[Summary]) -> Answer:
    """Functions and their summaries."""
    return {"summaries": [{**location_answer(summary.location), "summary": summary.text} for summary in summaries]}


def completion_answer(completion: Completion) -> Answer:
    """A generated line."""
    return asdict(completion)


def generation_answer(description: str, code: str) -> Answer:
    """Code generated from a description."""
    return {"description": description, "code": code}


def classes_answer(functions: list[ClassifiedFunction]) -> Answer:
    """Functions with their labels and the probabilities of all classes."""
    return {"functions": [_classified(function) for function in functions]}


def _classified(function: ClassifiedFunction) -> Answer:
    probabilities = {name: round(value, 6) for name, value in function.probabilities.items()}
    return {**location_answer(function.location), "label": function.label, "probabilities": probabilities}


def clones_answer(clones: Clones) -> Answer:
    """Groups of clones with all their pairs."""
    return {
        "model": clones.model,
        "min_similarity": clones.min_similarity,
        "min_lines": clones.min_lines,
        "functions": clones.functions,
        "groups": [_group(group) for group in clones.groups],
    }


def _group(group: CloneGroup) -> Answer:
    pairs = [asdict(pair) | {"similarity": round(pair.similarity, 6)} for pair in group.pairs]
    return {
        "kind": group.kind,
        "repeated_lines": group.repeated_lines,
        "functions": [location_answer(location) for location in group.locations],
        "pairs": pairs,
    }
