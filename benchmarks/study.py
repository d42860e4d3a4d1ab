"""What a sweep over K costs as a study, against separate runs without the activation cache.

`python benchmarks/study.py`  code search on the sample, base and K=0..11: once by `telly study`, and then by one
`telly tune --no-cache` a variant, as freezing is used today. Wall time, everything included: start of the processes,
loading, encoding, evaluation, saving. Writes `benchmarks/results/study.json` and the table of docs/study.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.child import telly  # noqa: E402
from benchmarks.shapes import CACHE  # noqa: E402
from benchmarks.table import made_now, publish, told, verdict  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.runs.folder import RECORD_FILE  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "study.json"
RUNS = CACHE / "study"
VARIANTS = ("base", *map(str, range(12)))
SETTINGS = {"limit": 600, "eval_limit": 300, "epochs": 2, "precision": "bf16"}
JOBS = (1, 2)
"""Cells at a time; two share the cores."""
MOST = 0.5
"""Share of the runs one by one that a sweep may take."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="turns")
    parser.add_argument("--jobs", type=int, nargs="+", default=JOBS, help="cells at a time, each number a sweep a turn")
    parser.add_argument(
        "--table", action="store_true", help="measure nothing; renew the page from the committed result"
    )
    options = parser.parse_args()
    if not options.table:
        write_json(RESULT, measure(options.rounds, options.jobs))
    publish(RESULT, ROOT / "docs" / "study.md", {"sweep": render})


def measure(rounds: int, numbers: Sequence[int]) -> dict[str, Any]:
    made = made_now(f"python benchmarks/study.py --rounds {rounds} --jobs {' '.join(map(str, numbers))}")
    sweeps: dict[str, list[float]] = {str(jobs): [] for jobs in numbers}
    alone: list[dict[str, float]] = []
    scores: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for jobs in numbers:
            shutil.rmtree(RUNS, ignore_errors=True)
            RUNS.mkdir(parents=True)
            sweeps[str(jobs)].append(study(jobs))
        scores["study"] = {run["config"]["freeze"]: run["test"]["mrr"] for run in records(RUNS / "study")}
        alone.append({variant: one(variant) for variant in VARIANTS})
        scores["one by one"] = {run["config"]["freeze"]: run["test"]["mrr"] for run in records(RUNS / "alone")}
    return {
        **made,
        "settings": SETTINGS,
        "study_seconds": sweeps,
        "one_by_one_seconds": alone,
        "mrr": scores,
    }


def study(jobs: int) -> float:
    """Seconds of the whole sweep as a study."""
    file = RUNS / "sweep.toml"
    file.write_text(tomli_w.dumps({"variants": list(VARIANTS), "settings": SETTINGS}), encoding="utf-8")
    return telly("study", file, "--output", RUNS / "study", "--jobs", jobs)


def one(variant: str) -> float:
    """Seconds of one run that lets frozen layers run in every epoch."""
    folder = RUNS / "alone" / variant
    options = [part for name, value in SETTINGS.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    return telly("tune", "search", "--freeze", variant, "--no-cache", *options, "--output", folder)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.rglob(RECORD_FILE))]


def render(result: dict[str, Any]) -> str:
    totals = [sum(run.values()) for run in result["one_by_one_seconds"]]
    rows = [("separate runs without the activation cache", totals)]
    rows += [
        (f"`telly study`, {jobs} cell{'s' * (jobs != '1')} at a time", found)
        for jobs, found in result["study_seconds"].items()
    ]
    lines = ["| base and K=0..11 | s | ratio |", "|---|---:|---:|"]
    for name, found in rows:
        median = statistics.median(found)
        spread = f"{median:,.0f} ({min(found):,.0f}-{max(found):,.0f})"
        lines.append(f"| {name} | {spread} | {median / statistics.median(totals):.2f} |")
    mrr = result["mrr"]
    apart = max(abs(score - mrr["one by one"][variant]) for variant, score in mrr["study"].items())
    settings, reached = result["settings"], min(map(statistics.median, result["study_seconds"].values()))
    in_half = verdict(reached <= MOST * statistics.median(totals))
    text = (
        f"Total wall time, median of {len(totals)} (min-max), alternating. {settings['limit']} pairs, "
        f"{settings['epochs']} epochs, {settings['eval_limit']} queries, {settings['precision']}. MRR differs by at "
        f"most {apart:.4f} between the two. Target: at most {MOST:.2f}; {in_half}."
    )
    return told(lines, text, result)


if __name__ == "__main__":
    main()
