"""Memory of a batch of 512 pairs in one pass and in chunks with gradient caching, as `telly tune` records it.

`python benchmarks/chunks.py` measures, writes `benchmarks/results/chunks.json` and renews the table of
docs/tasks/search.md; `--table` only renews it. Every run is a process of its own, of telly-mini at K=9 from the
activation cache, on two batches of the sample. Times are not measured.
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
from telly.disk import write_json  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "chunks.json"
BATCH, CHUNKS = 512, (512, 128, 32)
"""Pairs per step, and texts per chunk; the first size is the batch as one."""
OPTIONS = (
    *("--freeze", "9", "--cache-always", "--batch-size", str(BATCH), "--limit", str(2 * BATCH)),
    *("--epochs", "1", "--eval-limit", "20"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="measure nothing; renew the page")
    if not parser.parse_args().table:
        with tempfile.TemporaryDirectory() as folder:
            write_json(RESULT, measure(Path(folder)))
    publish(RESULT, ROOT / "docs" / "tasks" / "search.md", {"chunks": render})


def measure(folder: Path) -> dict[str, Any]:
    peaks = {}
    # The first run builds the cache, before the memory of training is measured.
    for size in CHUNKS:
        say(f"chunks of {size}")
        output = folder / f"chunk-{size}"
        telly("tune", "search", *OPTIONS, "--chunk-size", size, "--cache-dir", folder / "cache", "--output", output)
        record = json.loads((output / "record.json").read_text(encoding="utf-8"))
        peaks[str(size)] = record["peak_memory_train_bytes"]
    return {**made_now("python benchmarks/chunks.py"), "batch": BATCH, "peak_memory_train_bytes": peaks}


def render(result: dict[str, Any]) -> str:
    peaks = result["peak_memory_train_bytes"]
    whole = peaks[str(result["batch"])]
    lines = ["| `--chunk-size` | peak MB of training | ratio |", "|---|---:|---:|"]
    for size, peak in peaks.items():
        name = "none" if int(size) == result["batch"] else size
        lines.append(f"| {name} | {peak / 1e6:,.0f} | {peak / whole:.2f} |")
    return told(lines, f"telly-mini, K=9 cached, batches of {result['batch']} pairs, fp32.", result)


if __name__ == "__main__":
    main()
