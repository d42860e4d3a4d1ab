"""BM25 over code (Robertson and Zaragoza 2009): the baseline that needs no model."""

from __future__ import annotations

import re

import torch

from telly.metrics.retrieval import ranks_in_scores

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def words(text: str) -> list[str]:
    """Lower-case words; identifiers are split at underscores, digits and changes of case."""
    return [word.lower() for word in _WORD.findall(text)]


def bm25_nearest(queries: list[str], documents: list[str]) -> list[int]:
    """Index of the best document for every query; of equals, and where no word is shared, the first."""
    import bm25s

    retriever = bm25s.BM25()
    retriever.index([words(document) or [""] for document in documents], show_progress=False)
    known = set(retriever.vocab_dict)
    nearest = []
    for query in queries:
        found = [word for word in words(query) if word in known]
        nearest.append(int(retriever.get_scores(found).argmax()) if found else 0)
    return nearest


def bm25_ranks(queries: list[str], documents: list[str], targets: torch.Tensor) -> torch.Tensor:
    """Rank of each query's target document among all; ties count against it.

    Args:
        queries: the texts to search for.
        documents: the candidates.
        targets: index of the right document for every query, [queries].

    Returns:
        ranks from 1, [queries].
    """
    import bm25s

    tokens = [words(document) or [""] for document in documents]
    retriever = bm25s.BM25()
    retriever.index(tokens, show_progress=False)
    known = set(retriever.vocab_dict)
    ranks = []
    for query, target in zip(queries, targets, strict=True):
        found = [word for word in words(query) if word in known]
        scores = torch.from_numpy(retriever.get_scores(found)) if found else torch.zeros(len(documents))
        ranks.append(ranks_in_scores(scores[None], target[None]))
    return torch.cat(ranks)
