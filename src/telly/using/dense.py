"""Nearest neighbours by FAISS (Douze et al. 2024): exhaustive, or by a graph (HNSW, Malkov and Yashunin 2018)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from telly.errors import ConfigError
from telly.inference.embeddings import Embeddings

Indices = npt.NDArray[np.int64]

MAX_COMPARED = 32_000_000
"""Maximum size, functions times hidden, for exhaustive search: about 10 ms per query on one core."""
LINKS, BUILD_WIDTH, SEARCH_WIDTH = 32, 80, 128
"""Neighbours of a node, and candidates kept while building and searching (M, efConstruction, efSearch of HNSW)."""
MAX_DEAD = 0.25
"""Maximum share of graph nodes of deleted functions; above it the graph is built from scratch."""
GRAPH_FILE, FUNCTIONS_FILE = "graph.npy", "places.npy"


class Dense:
    """Embeddings to be searched by cosine; made by `build` or `load`.

    Args:
        index: FAISS's index.
        functions: function of every node of the graph, -1 for one that was deleted, [nodes]; None for exhaustive
            search, where nodes are functions.
    """

    def __init__(self, index: Any, functions: Indices | None) -> None:
        self.index = index
        self.functions = functions

    @classmethod
    def build(cls, embeddings: Embeddings, former: Dense | None = None, moved: Indices | None = None) -> Dense:
        """An index of unit-length embeddings.

        Args:
            embeddings: embeddings of all functions, [functions, hidden].
            former: the index before an update; only new functions are added to its graph.
            moved: new index of every function of `former`, -1 for one that was deleted, [former functions].
        """
        faiss = need_faiss()
        count, hidden = embeddings.shape
        if embeddings.size <= MAX_COMPARED:
            flat = faiss.IndexFlatIP(hidden)
            flat.add(np.ascontiguousarray(embeddings))
            return cls(flat, None)
        if former is not None and former.functions is not None and moved is not None:
            functions = np.where(former.functions >= 0, moved[former.functions], -1)
            alive = functions[functions >= 0]
            # HNSW cannot delete nodes; dead ones stay in the graph and are skipped in results, up to a limit
            if len(alive) >= (1 - MAX_DEAD) * len(functions):
                new = np.setdiff1d(np.arange(count), alive)
                if len(new):
                    former.index.add(np.ascontiguousarray(embeddings[new]))
                return cls(former.index, np.concatenate([functions, new]))
        graph = faiss.IndexHNSWFlat(hidden, LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = BUILD_WIDTH
        graph.add(np.ascontiguousarray(embeddings))
        return cls(graph, np.arange(count))

    def nearest(self, embedding: Embeddings, count: int) -> tuple[Indices, Embeddings]:
        """Indices and cosines of the functions nearest to an embedding, [hidden], best first."""
        if self.functions is None:
            scores, nodes = self.index.search(embedding[None], min(count, self.index.ntotal))
            return nodes[0], scores[0]
        # ask for more neighbours than wanted, since dead nodes among them are dropped
        dead = int((self.functions < 0).sum())
        wider = min(self.index.ntotal, count + min(dead, 4 * count))
        parameters = need_faiss().SearchParametersHNSW(efSearch=max(SEARCH_WIDTH, 2 * wider))
        scores, nodes = self.index.search(embedding[None], wider, params=parameters)
        functions = np.where(nodes[0] >= 0, self.functions[nodes[0]], -1)
        alive = np.flatnonzero(functions >= 0)[:count]
        return functions[alive], scores[0][alive]

    def save(self, folder: Path) -> None:
        """Write a graph into a folder; exhaustive search needs no file of its own."""
        if self.functions is None:
            return
        folder.mkdir(exist_ok=True)
        np.save(folder / GRAPH_FILE, need_faiss().serialize_index(self.index), allow_pickle=False)
        np.save(folder / FUNCTIONS_FILE, self.functions, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, embeddings: Embeddings) -> Dense:
        """Open what `save` wrote; `embeddings` as for `build`."""
        if not (folder / GRAPH_FILE).is_file():
            return cls.build(embeddings)
        graph = need_faiss().deserialize_index(np.load(folder / GRAPH_FILE, allow_pickle=False))
        return cls(graph, np.load(folder / FUNCTIONS_FILE, allow_pickle=False))


def need_faiss() -> Any:
    """The FAISS library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise ConfigError("searching by embeddings needs FAISS: pip install 'telly[search]'") from None
    return faiss
