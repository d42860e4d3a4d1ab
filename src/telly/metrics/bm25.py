"""BM25 over code (Robertson and Zaragoza 2009): the model-free baseline, and the word part of `telly search`.

bm25s with its defaults (Lucene's variant, k1 = 1.5, b = .75) and its list of English stop words, which it leaves out of
documents and queries by default. Its tokenizer is replaced by `telly.metrics.words`, which splits identifiers.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from telly.metrics.judgments import Judgments
from telly.metrics.words import words


@cache
def stop_words() -> frozenset[str]:
    """The English stop words of bm25s."""
    from bm25s.stopwords import STOPWORDS_EN

    return frozenset(STOPWORDS_EN)


def terms(text: str, *, characters: bool = False) -> list[str]:
    """Terms of a text for BM25: its words without stop words; `characters` as for `words`.

    A change here changes what saved indexes mean: raise `telly.using.index.FORMAT` with it.
    """
    return [word for word in words(text, characters=characters) if word not in stop_words()]


def bm25_nearest(queries: list[str], documents: list[str]) -> list[int]:
    """Index of the best document per query; the first among ties, and if no word is shared."""
    index = Bm25.of(documents)
    return [int(index.scores(query).argmax()) for query in queries]


def bm25_neighbours(documents: list[str]) -> list[int | None]:
    """Index of the best other document per document; None if no other shares a word with it."""
    index = Bm25.of(documents)
    neighbours: list[int | None] = []
    for i, document in enumerate(documents):
        scores = index.scores(document)
        scores[i] = 0  # a document must not find itself
        best = int(scores.argmax())
        neighbours.append(best if scores[best] > 0 else None)
    return neighbours


def bm25_ranks(queries: list[str], documents: list[str], judgments: Judgments) -> npt.NDArray[np.int64]:
    """Rank of each query's relevant documents among all; ties count against it.

    Args:
        queries: the texts to search for.
        documents: the candidates.
        judgments: relevant documents of every query.

    Returns:
        ranks from 1, in the order of the judgments' documents, [pairs].
    """
    import torch  # here: a search by words alone should not wait for it

    from telly.metrics.retrieval import ranks_in_scores

    index = Bm25.of(documents)
    ranks = [
        ranks_in_scores(torch.from_numpy(index.scores(query))[None], judgments.select([i]))
        for i, query in enumerate(queries)
    ]
    return np.concatenate(ranks)


class Bm25:
    """An index of documents to score for queries; created by `of` or `load`."""

    def __init__(self, retriever: Any, documents: int) -> None:
        self._retriever = retriever
        self._documents = documents

    @classmethod
    def of(cls, documents: list[str]) -> Bm25:
        """Index documents; at least one."""
        import bm25s

        retriever = bm25s.BM25()
        retriever.index([terms(document, characters=True) or [""] for document in documents], show_progress=False)
        return cls(retriever, len(documents))

    def scores(self, query: str) -> npt.NDArray[np.float32]:
        """Scores of all documents, [documents]; all zero if no term of the query is known."""
        vocabulary = self._retriever.vocab_dict
        known = [word for word in terms(query) if word in vocabulary]  # bm25s fails on others
        if not known:
            return np.zeros(self._documents, dtype=np.float32)
        scores: npt.NDArray[np.float32] = self._retriever.get_scores(known)
        return scores

    def save(self, folder: Path) -> None:
        """Write the index into a folder, as arrays and JSON."""
        self._retriever.save(folder, show_progress=False)

    @classmethod
    def load(cls, folder: Path) -> Bm25:
        """Open a saved index; its arrays stay on disk, memory-mapped."""
        import bm25s

        retriever = bm25s.BM25.load(folder, mmap=True, load_corpus=False)
        return cls(retriever, int(retriever.scores["num_docs"]))
