"""What the settings of the contrastive loss do: quality on the sample, and memory of a large batch in chunks.

`python benchmarks/losses.py` measures, writes `benchmarks/results/losses.json` and renews the tables of
docs/tasks/search.md; `--table` only renews them. All runs are of telly-mini at K=9 from the activation cache. Times are
not measured: memory and scores do not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.child import say, telly  # noqa: E402
from benchmarks.table import made_now, publish, told  # noqa: E402
from telly.data.formats import raw_rows  # noqa: E402
from telly.data.schema import DataRow  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.metrics.interval import paired_bootstrap  # noqa: E402
from telly.metrics.per_example import read_per_example  # noqa: E402
from telly.models.folder import EMBEDDED  # noqa: E402
from telly.tasks import get_spec  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "losses.json"
PAIRS, QUERIES, EPOCHS, BATCH, NEGATIVES = 1024, 500, 3, 64, 3
PLAIN = "in-batch negatives"
HARD = f"{NEGATIVES} hard negatives per query"
QUALITY: dict[str, tuple[str, ...]] = {
    PLAIN: (),
    "symmetric": ("--symmetric",),
    "false-negative margin 0.1": ("--false-negative-margin", "0.1"),
    HARD: (),
    f"{HARD}, margin 0.1": ("--false-negative-margin", "0.1"),
}
"""Options by title; titles that begin with `HARD` are trained on data with hard negatives."""
LARGE, CHUNKS = 512, (512, 128, 32)
"""Pairs per step, and texts per chunk; the first is the batch as one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="measure nothing; renew the page")
    options = parser.parse_args()
    if not options.table:
        with tempfile.TemporaryDirectory() as folder:
            write_json(RESULT, measure(Path(folder)))
    publish(RESULT, ROOT / "docs" / "tasks" / "search.md", {"losses": render_quality, "chunks": render_chunks})


def measure(folder: Path) -> dict[str, Any]:
    sample = get_spec("search").sample.files()
    rows = [row.values for row in raw_rows(sample["train"]) if isinstance(row, DataRow)][:PAIRS]
    pairs, hard = folder / "pairs.jsonl", folder / "hard.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    telly("data", "negatives", pairs, "--output", hard, "--model", EMBEDDED, "--count", NEGATIVES, "--freeze", 9,
          "--cache-dir", folder / "cache")  # fmt: skip
    common = ("--valid", sample["valid"], "--test", sample["test"], "--eval-limit", QUERIES, "--freeze", 9,
              "--cache-always", "--cache-dir", folder / "cache")  # fmt: skip
    quality, runs = {}, {}
    for title, settings in QUALITY.items():
        data = hard if title.startswith(HARD) else pairs
        runs[title] = folder / f"run-{len(runs)}"
        say(title)
        telly("tune", "search", "--data", data, *common, "--epochs", EPOCHS, "--batch-size", BATCH, *settings,
              "--output", runs[title])  # fmt: skip
        scores, plain = (read_per_example(runs[name] / "scores.npz")["mrr"] for name in (title, PLAIN))
        compared = paired_bootstrap({"mrr": scores}, {"mrr": plain})["mrr"]
        quality[title] = {
            "mrr": scores.value,
            "difference": compared.difference,
            "interval": [compared.interval.low, compared.interval.high],
        }
    untuned = record_of(runs[PLAIN])["baselines"]["untuned"]["mrr"]
    chunks = {}
    for size in CHUNKS:
        say(f"chunks of {size}")
        telly("tune", "search", "--data", pairs, *common, "--epochs", 1, "--batch-size", LARGE, "--chunk-size", size,
              "--output", folder / f"chunk-{size}")  # fmt: skip
        record = record_of(folder / f"chunk-{size}")
        chunks[str(size)] = {
            "peak_memory_train_bytes": record["peak_memory_train_bytes"],
            "train_loss": record["epochs"][0]["train_loss"],
        }
    return {
        **made_now("python benchmarks/losses.py"),
        "pairs": PAIRS, "queries": QUERIES, "epochs": EPOCHS, "batch": BATCH, "large_batch": LARGE,
        "untuned": untuned, "quality": quality, "chunks": chunks,
    }  # fmt: skip


def record_of(run: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((run / "record.json").read_text(encoding="utf-8"))
    return record


def render_quality(result: dict[str, Any]) -> str:
    lines = ["| telly-mini, K=9 cached | mrr | against in-batch negatives |", "|---|---:|---:|"]
    lines.append(f"| untuned | {result['untuned']:.4f} | |")
    for title, row in result["quality"].items():
        low, high = row["interval"]
        difference = "" if title == PLAIN else f"{row['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
        lines.append(f"| {title} | {row['mrr']:.4f} | {difference} |")
    text = (
        f"{result['pairs']:,} pairs of the sample, {result['epochs']} epochs, batches of {result['batch']}, "
        f"{result['queries']} queries, one seed; brackets: 95% paired bootstrap intervals over queries."
    )
    return told(lines, text, result)


def render_chunks(result: dict[str, Any]) -> str:
    whole = result["chunks"][str(CHUNKS[0])]["peak_memory_train_bytes"]
    lines = ["| `--chunk-size` | peak MB of training | ratio |", "|---|---:|---:|"]
    for size, row in result["chunks"].items():
        peak = row["peak_memory_train_bytes"]
        name = "none (one pass)" if int(size) == CHUNKS[0] else size
        lines.append(f"| {name} | {peak / 1e6:,.0f} | {peak / whole:.2f} |")
    return told(lines, f"telly-mini, K=9 cached, batches of {result['large_batch']} pairs, fp32.", result)


if __name__ == "__main__":
    main()
