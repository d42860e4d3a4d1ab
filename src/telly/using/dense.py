"""Nearest neighbours by FAISS (Douze et al. 2024): exhaustive, or by a graph (HNSW, Malkov and Yashunin 2018)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from telly.errors import ConfigError
from telly.inference.embeddings import Embeddings
from telly.models.similarity import Similarity

Indices = npt.NDArray[np.int64]

MAX_COMPARED = 32_000_000
"""Maximum size, functions times hidden, for exhaustive search: about 10 ms per query on one core."""
LINKS, BUILD_WIDTH, SEARCH_WIDTH = 32, 80, 128
"""Neighbours of a node, and candidates kept while building and searching (M, efConstruction, efSearch of HNSW)."""
MAX_DELETED_RATIO = 0.25
"""Maximum ratio of graph nodes whose functions were deleted; above it the graph is built from scratch."""
METRICS = {
    Similarity.COSINE: "METRIC_INNER_PRODUCT",
    Similarity.DOT: "METRIC_INNER_PRODUCT",
    Similarity.EUCLIDEAN: "METRIC_L2",
    Similarity.MANHATTAN: "METRIC_L1",
}
"""FAISS's metric by similarity; embeddings that are compared by cosine have unit length."""
GRAPH_FILE, FUNCTIONS_FILE = "graph.npy", "places.npy"


class Dense:
    """Embeddings that can be searched by a similarity; made by `build` or `load`.

    Args:
        index: FAISS's index.
        functions: function of every node of the graph, -1 for one that was deleted, [nodes]; None for exhaustive
            search, where nodes are functions.
        similarity: similarity by which embeddings are compared.
    """

    def __init__(self, index: Any, functions: Indices | None, similarity: Similarity = Similarity.COSINE) -> None:
        self.index = index
        self.functions = functions
        self.similarity = similarity

    @classmethod
    def build(
        cls,
        embeddings: Embeddings,
        former: Dense | None = None,
        moved: Indices | None = None,
        similarity: Similarity = Similarity.COSINE,
    ) -> Dense:
        """Build an index.

        Args:
            embeddings: embeddings of all functions, [functions, size], of unit length for the cosine.
            former: the index before an update; only new functions are added to its graph.
            moved: new index of every function of `former`, -1 for one that was deleted, [former functions].
            similarity: similarity by which embeddings are compared.
        """
        faiss = import_faiss()
        metric = getattr(faiss, METRICS[similarity])
        count, size = embeddings.shape
        if embeddings.size <= MAX_COMPARED:
            flat = faiss.IndexFlat(size, metric)
            flat.add(np.ascontiguousarray(embeddings))
            return cls(flat, None, similarity)
        if former is not None and former.functions is not None and moved is not None:
            functions = np.where(former.functions >= 0, moved[former.functions], -1)
            live = functions[functions >= 0]
            # HNSW cannot delete nodes; those of deleted functions stay and are skipped in results, up to a limit
            if len(live) >= (1 - MAX_DELETED_RATIO) * len(functions):
                new = np.setdiff1d(np.arange(count), live)
                if len(new):
                    former.index.add(np.ascontiguousarray(embeddings[new]))
                return cls(former.index, np.concatenate([functions, new]), similarity)
        graph = faiss.IndexHNSWFlat(size, LINKS, metric)
        graph.hnsw.efConstruction = BUILD_WIDTH
        graph.add(np.ascontiguousarray(embeddings))
        return cls(graph, np.arange(count), similarity)

    def nearest(self, embedding: Embeddings, count: int) -> tuple[Indices, Embeddings]:
        """Indices and similarities of the functions most similar to an embedding, [size], best first."""
        if self.functions is None:
            similarities, indices = self.search(embedding[None], count)
            return indices[0], similarities[0]
        # ask for more neighbours than requested, since nodes of deleted functions among them are dropped
        deleted = int((self.functions < 0).sum())
        candidates = min(self.index.ntotal, count + min(deleted, 4 * count))
        parameters = import_faiss().SearchParametersHNSW(efSearch=max(SEARCH_WIDTH, 2 * candidates))
        distances, nodes = self.index.search(embedding[None], candidates, params=parameters)
        scores = self._similarities(distances)
        functions = np.where(nodes[0] >= 0, self.functions[nodes[0]], -1)
        live = np.flatnonzero(functions >= 0)[:count]
        return functions[live], scores[0][live]

    def search(self, embeddings: Embeddings, count: int) -> tuple[Embeddings, Indices]:
        """Similarities and nodes of the nearest nodes to embeddings, [embeddings, count] each, best first."""
        distances, nodes = self.index.search(np.ascontiguousarray(embeddings), min(count, self.index.ntotal))
        return self._similarities(distances), nodes

    def _similarities(self, distances: Embeddings) -> Embeddings:
        """Similarities, higher for more similar embeddings, from what FAISS calls distances."""
        if self.similarity is Similarity.EUCLIDEAN:  # FAISS leaves out the square root
            return -np.sqrt(np.maximum(distances, 0))
        return -distances if self.similarity is Similarity.MANHATTAN else distances

    def save(self, folder: Path) -> None:
        """Write a graph into a folder; exhaustive search needs no file of its own."""
        if self.functions is None:
            return
        folder.mkdir(exist_ok=True)
        np.save(folder / GRAPH_FILE, import_faiss().serialize_index(self.index), allow_pickle=False)
        np.save(folder / FUNCTIONS_FILE, self.functions, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, embeddings: Embeddings, similarity: Similarity = Similarity.COSINE) -> Dense:
        """Open what `save` wrote; `embeddings` and `similarity` as for `build`."""
        if not (folder / GRAPH_FILE).is_file():
            return cls.build(embeddings, similarity=similarity)
        graph = import_faiss().deserialize_index(np.load(folder / GRAPH_FILE, allow_pickle=False))
        return cls(graph, np.load(folder / FUNCTIONS_FILE, allow_pickle=False), similarity)


def import_faiss() -> Any:
    """Import the FAISS library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise ConfigError("searching by embeddings needs FAISS: pip install 'telly[search]'") from None
    return faiss
