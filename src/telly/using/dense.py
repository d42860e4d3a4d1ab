"""Nearest vectors by FAISS (Douze et al. 2024): all of them compared, or a graph (HNSW, Malkov and Yashunin 2018)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from telly.errors import ConfigError

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

MAX_COMPARED = 32_000_000
"""Numbers of all vectors together up to which a query is compared with each: about 10 ms on one core."""
LINKS, BUILD_WIDTH, SEARCH_WIDTH = 32, 80, 128
"""Of the graph: neighbours of a vector, and candidates that are kept while it is built and searched."""
MAX_DEAD = 0.25
"""Share of the graph's vectors that may belong to functions that are gone, before it is built anew."""
GRAPH_FILE, PLACES_FILE = "graph.npy", "places.npy"


class Dense:
    """Vectors to be searched by cosine; made by `build` or `load`.

    Args:
        index: FAISS's index.
        places: by number of the index the number of the function, -1 for one that is gone; None where they are equal.
    """

    def __init__(self, index: Any, places: Numbers | None) -> None:
        self.index = index
        self.places = places

    @classmethod
    def build(cls, vectors: Vectors, former: Dense | None = None, moved: Numbers | None = None) -> Dense:
        """An index of unit vectors, [functions, hidden].

        Args:
            vectors: of all functions, in their order.
            former: the index before; where it is a graph, only what is new is added to it.
            moved: by former number of a function its number now, -1 where it is gone.
        """
        faiss = need_faiss()
        count, hidden = vectors.shape
        if vectors.size <= MAX_COMPARED:
            flat = faiss.IndexFlatIP(hidden)
            flat.add(np.ascontiguousarray(vectors))
            return cls(flat, None)
        if former is not None and former.places is not None and moved is not None:
            places = np.where(former.places >= 0, moved[former.places], -1)
            alive = places[places >= 0]
            if len(alive) >= (1 - MAX_DEAD) * len(places):
                new = np.setdiff1d(np.arange(count), alive)
                if len(new):
                    former.index.add(np.ascontiguousarray(vectors[new]))
                return cls(former.index, np.concatenate([places, new]))
        graph = faiss.IndexHNSWFlat(hidden, LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = BUILD_WIDTH
        graph.add(np.ascontiguousarray(vectors))
        return cls(graph, np.arange(count))

    def nearest(self, vector: Vectors, count: int) -> tuple[Numbers, Vectors]:
        """Numbers and cosines of the functions nearest to a vector, [hidden], best first."""
        if self.places is None:
            scores, found = self.index.search(vector[None], min(count, self.index.ntotal))
            return found[0], scores[0]
        dead = int((self.places < 0).sum())
        wider = min(self.index.ntotal, count + min(dead, 4 * count))
        parameters = need_faiss().SearchParametersHNSW(efSearch=max(SEARCH_WIDTH, 2 * wider))
        scores, found = self.index.search(vector[None], wider, params=parameters)
        numbers = np.where(found[0] >= 0, self.places[found[0]], -1)
        kept = np.flatnonzero(numbers >= 0)[:count]
        return numbers[kept], scores[0][kept]

    def save(self, folder: Path) -> None:
        """Write a graph into a folder; vectors that are all compared need no file of their own."""
        if self.places is None:
            return
        folder.mkdir(exist_ok=True)
        np.save(folder / GRAPH_FILE, need_faiss().serialize_index(self.index), allow_pickle=False)
        np.save(folder / PLACES_FILE, self.places, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, vectors: Vectors) -> Dense:
        """Open what `save` wrote; `vectors` as for `build`."""
        if not (folder / GRAPH_FILE).is_file():
            return cls.build(vectors)
        graph = need_faiss().deserialize_index(np.load(folder / GRAPH_FILE, allow_pickle=False))
        return cls(graph, np.load(folder / PLACES_FILE, allow_pickle=False))


def need_faiss() -> Any:
    """The library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise ConfigError("searching by vectors needs FAISS: pip install 'telly[search]'") from None
    return faiss
