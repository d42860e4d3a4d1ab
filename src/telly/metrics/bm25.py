"""BM25 over code (Robertson and Zaragoza 2009): the baseline that needs no model."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch

from telly.metrics.retrieval import ranks_in_scores

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def words(text: str) -> list[str]:
    """Lower-case words; identifiers are split at underscores, digits and changes of case."""
    return [word.lower() for word in _WORD.findall(text)]


def bm25_nearest(queries: list[str], documents: list[str]) -> list[int]:
    """Index of the best document for every query; of equals, and where no word is shared, the first."""
    scores = _scorer(documents)
    return [int(scores(query).argmax()) for query in queries]


def bm25_neighbours(documents: list[str]) -> list[int | None]:
    """Index of the best other document for every document; None where no other shares a word with it."""
    scores = _scorer(documents)
    found: list[int | None] = []
    for number, document in enumerate(documents):
        others = scores(document)
        others[number] = 0
        best = int(others.argmax())
        found.append(best if others[best] > 0 else None)
    return found


def bm25_ranks(queries: list[str], documents: list[str], targets: torch.Tensor) -> torch.Tensor:
    """Rank of each query's target document among all; ties count against it.

    Args:
        queries: the texts to search for.
        documents: the candidates.
        targets: index of the right document for every query, [queries].

    Returns:
        ranks from 1, [queries].
    """
    scores = _scorer(documents)
    pairs = zip(queries, targets, strict=True)
    return torch.cat([ranks_in_scores(scores(query)[None], target[None]) for query, target in pairs])


def _scorer(documents: list[str]) -> Callable[[str], torch.Tensor]:
    """From a query to the scores of all documents, [documents]; all zero where no word of it is known."""
    import bm25s

    retriever = bm25s.BM25()
    retriever.index([words(document) or [""] for document in documents], show_progress=False)
    known = set(retriever.vocab_dict)

    def scores(query: str) -> torch.Tensor:
        found = [word for word in words(query) if word in known]
        return torch.from_numpy(retriever.get_scores(found)) if found else torch.zeros(len(documents))

    return scores
