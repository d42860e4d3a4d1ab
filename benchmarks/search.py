"""How fast `telly search` answers over 100,000 functions, once the index and the model are loaded.

`python benchmarks/search.py` measures, writes `benchmarks/results/search.json` and renews the tables of docs/using.md;
`--table` only renews them.

The functions are those of the embedded sample, drawn again and again with some of their words exchanged, so that the
vocabulary and the lengths are those of code; their embeddings are random unit vectors of the embedded model's size
(192), which are all compared, and of UniXcoder-base's (768), which are searched by the graph. Queries are the sample's
descriptions. Every query is encoded by a model of that size (the embedded one; UniXcoder-base's shape with random
weights), searched among the embeddings and among the words, and fused.
The embeddings are clustered around 500 centres, as those of code are in families; recall of the graph is the ratio of
the ten nearest that it finds.

Wall time is measured, and beside it the time that the processor worked for the query: with one thread they are equal on
a machine that does nothing else. Where something else ran beside it, the table has the processor's time alone.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import torch  # noqa: E402

from benchmarks.shapes import SHAPES, model_folder  # noqa: E402
from benchmarks.table import made_by, made_now, publish, verdict  # noqa: E402
from telly.data.readers import read  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.inference.embeddings import Embeddings  # noqa: E402
from telly.inference.tuned_model import TunedModel  # noqa: E402
from telly.metrics.bm25 import Bm25  # noqa: E402
from telly.models.folder import EMBEDDED  # noqa: E402
from telly.models.load import load_config  # noqa: E402
from telly.tasks import get_spec, get_task  # noqa: E402
from telly.using.dense import Dense  # noqa: E402
from telly.using.search import CANDIDATES, fuse, top_indices  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "search.json"
FUNCTIONS, QUERIES, WARM_UP = 100_000, 200, 20
SIZES = (192, 768)
EXCHANGED = 0.3
"""Share of a function's words that are another's."""
CENTRES = 500
ALONE = "nothing else"
TARGET = 0.050
"""Seconds that a query may take."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=FUNCTIONS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of a vector")
    parser.add_argument("--threads", type=int, default=1, help="of torch, FAISS and the rest")
    parser.add_argument("--beside", default=ALONE, help="what else the machine did, for the record")
    parser.add_argument("--table", action="store_true", help="measure nothing; renew the page")
    options = parser.parse_args()
    if not options.table:
        write_json(RESULT, measure(options.functions, options.sizes, options.threads, options.beside))
    publish(RESULT, ROOT / "docs" / "using.md", {"search": render})


def measure(functions: int, sizes: Sequence[int], threads: int, beside: str) -> dict[str, Any]:
    import faiss

    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    queries, codes = texts(functions)
    models = {size: TunedModel.load(model_of(size), "search") for size in sizes}
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        Bm25.of(codes).save(Path(folder) / "words")
        building = time.process_time() - started
        index = Bm25.load(Path(folder) / "words")
        found = [one_size(models[hidden], queries, index, functions) for hidden in sizes]
    return {
        **made_now(f"python benchmarks/search.py --sizes {' '.join(map(str, sizes))}"),
        "threads": threads,
        "beside": beside,
        "load": list(os.getloadavg()),
        "functions": functions,
        "queries": len(queries) - WARM_UP,
        "bm25_build_seconds": building,
        "sizes": found,
    }


def model_of(hidden: int) -> str:
    """A model whose embeddings have that size."""
    return EMBEDDED if hidden == load_config(EMBEDDED).hidden_size else str(model_folder(SHAPES["unixcoder"]))


def texts(functions: int) -> tuple[list[str], list[str]]:
    """Queries, and functions with some words exchanged."""
    rng = random.Random(0)
    dataset = read(str(get_spec("search").sample.files()["train"]), get_task("search").schema, {}, "train")
    sample = [code.split(" ") for code in dataset["code"]]
    pool = [word for code in sample for word in code]
    drawn = []
    for _ in range(functions):
        code = rng.choice(sample)
        drawn.append(" ".join(rng.choice(pool) if rng.random() < EXCHANGED else word for word in code))
    return rng.sample(list(dataset["query"]), QUERIES + WARM_UP), drawn


def unit(rng: np.random.Generator, count: int, hidden: int) -> Embeddings:
    """Unit vectors around `CENTRES` centres."""
    centres = np.random.default_rng(1).standard_normal((CENTRES, hidden), dtype=np.float32)
    found = rng.standard_normal((count, hidden), dtype=np.float32)
    found = centres[rng.integers(CENTRES, size=count)] + 0.5 * found
    unit_vectors: Embeddings = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit_vectors


def one_size(tuned: TunedModel, queries: Sequence[str], index: Bm25, functions: int) -> dict[str, Any]:
    """All parts of a query's time over embeddings of a model's size."""
    rng, hidden = np.random.default_rng(0), tuned.embedding_size
    embeddings = unit(rng, functions, hidden)
    started = time.process_time()
    dense = Dense.build(embeddings)
    built = time.process_time() - started
    parts: dict[str, list[tuple[float, float]]] = {name: [] for name in ("encode", "vectors", "words", "fuse")}
    for query in queries:
        clock = _Clock()
        [vector] = tuned.embed([query], role="query")
        encoded = clock()
        numbers, scores = dense.nearest(vector, CANDIDATES)
        cosines = dict(zip(numbers.tolist(), scores.tolist(), strict=True))
        nearest = clock()
        found = index.scores(query)
        best = {int(n): float(found[n]) for n in top_indices(found, CANDIDATES) if found[n] > 0}
        worded = clock()
        fused = fuse([list(cosines), list(best)])
        sorted(fused, key=lambda number, fused=fused: (-fused[number], number))[:10]  # type: ignore[misc]
        for name, taken in zip(parts, (encoded, nearest, worded, clock()), strict=True):
            parts[name].append(taken)
    taken = {name: np.array(values[WARM_UP:]) for name, values in parts.items()}
    taken["all"] = np.sum(list(taken.values()), axis=0)
    return {
        "hidden": hidden,
        "kind": "all compared" if dense.functions is None else "graph",
        "build_seconds": built,
        "recall": None if dense.functions is None else recall(dense, embeddings, unit(rng, 100, hidden)),
        "seconds": {name: spread(values[:, 0]) for name, values in taken.items()},
        "processor_seconds": {name: spread(values[:, 1]) for name, values in taken.items()},
    }


def recall(graph: Dense, embeddings: Embeddings, queries: Embeddings) -> float:
    """Share of the ten nearest that the graph finds."""
    found = [set(graph.nearest(query, CANDIDATES)[0][:10]) for query in queries]
    right = np.argsort(-(queries @ embeddings.T), axis=1)[:, :10]
    return sum(len(ours & set(row)) for ours, row in zip(found, right, strict=True)) / right.size


class _Clock:
    """Seconds, and those that the processor worked, since it was asked last."""

    def __init__(self) -> None:
        self._last = time.perf_counter(), time.process_time()

    def __call__(self) -> tuple[float, float]:
        now = time.perf_counter(), time.process_time()
        taken, self._last = (now[0] - self._last[0], now[1] - self._last[1]), now
        return taken


def spread(seconds: npt.NDArray[np.float64]) -> dict[str, float]:
    return {"median": float(np.median(seconds)), "p95": float(np.percentile(seconds, 95))}


def render(result: dict[str, Any]) -> str:
    lines = [
        "| ms per query, median (95th percentile) | encode | embeddings | words (BM25) | fuse | total "
        "| target: 50 ms |",
        "|---|" + "---:|" * 5 + "---|",
    ]
    clock, title = ("seconds", "wall") if result["beside"] == ALONE else ("processor_seconds", "processor")
    for size in result["sizes"]:
        seconds = size[clock]
        cells = [_ms(seconds.get(name)) for name in ("encode", "vectors", "words", "fuse", "all")]
        met = verdict(seconds["all"]["p95"] <= TARGET if "encode" in seconds else None)
        lines.append(f"| {size['hidden']} dimensions, {size['kind']}: {title} | {' | '.join(cells)} | {met} |")
    notes = [
        f"The graph of {size['hidden']} dimensions is built in {size['build_seconds']:.0f} s of processor time and "
        f"finds {100 * size['recall']:.1f} % of the ten nearest neighbours."
        for size in result["sizes"]
        if size["recall"] is not None
    ]
    if any("encode" not in size["seconds"] for size in result["sizes"]):
        notes.append("Where encoding was not measured, the total excludes it and no target is judged.")
    origin = (
        f"`{result['command']}`: {result['functions']:,} functions, {result['queries']} queries, {result['threads']} "
        "thread, 95th percentile for the target; indexing the words takes "
        f"{result['bm25_build_seconds']:.0f} s. Running beside it: {result['beside']}. {made_by(result)}"
    )
    return "\n".join([*lines, "", *notes, "", origin])


def _ms(found: dict[str, float] | None) -> str:
    return "-" if found is None else f"{1000 * found['median']:.1f} ({1000 * found['p95']:.1f})"


if __name__ == "__main__":
    main()
