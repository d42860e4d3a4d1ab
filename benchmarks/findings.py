"""What the layers of the embedded model know, and what tuning changes in them: the paper's findings 1 and 2, here.

`python benchmarks/findings.py`  tunes the embedded model on five samples (base, everything trained), probes it and its
tuned versions, and compares them with it layer by layer. Writes `benchmarks/results/findings.json`, three figures in
`docs/figures` and the tables of docs/analysis.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.child import telly  # noqa: E402
from benchmarks.shapes import CACHE  # noqa: E402
from benchmarks.table import made_now, publish, told  # noqa: E402
from telly.analysis import COMPARE_FILE, PROBING_FILE, published  # noqa: E402
from telly.cli.demo import run_alone  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.models.folder import EMBEDDED  # noqa: E402
from telly.settings.config import TuneConfig  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "findings.json"
FIGURES = ROOT / "docs" / "figures"
RUNS = CACHE / "findings"
TASKS = ("search", "clone", "summarize", "generate", "complete")
EXAMPLES, EPOCHS, TEXTS = 1000, 2, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="run nothing; renew the page from the committed result")
    options = parser.parse_args()
    if not options.table:
        write_json(RESULT, measure())
    publish(RESULT, ROOT / "docs" / "analysis.md", {"probes": render_probes, "similarity": render_similarity})


def measure() -> dict[str, Any]:
    shutil.rmtree(RUNS, ignore_errors=True)
    made = made_now("python benchmarks/findings.py")  # before the figures are drawn anew
    records = {task: run_alone(tuned(task)) for task in TASKS}
    runs = [str(RUNS / task) for task in TASKS]
    models = [option for run in (EMBEDDED, *runs) for option in ("--model", run)]
    probing = results_of("probe", *models, "--limit", str(TEXTS), "--with-paper")
    comparison = results_of("compare", "--model", EMBEDDED, *(o for run in runs for o in ("--with", run)), "--limit",
                       str(TEXTS), "--with-paper")  # fmt: skip
    FIGURES.mkdir(exist_ok=True)
    for folder, name in (("probe", "probes"), ("probe", "contributions"), ("compare", "similarity")):
        shutil.copyfile(RUNS / folder / f"{name}.svg", FIGURES / f"{name}.svg")
    return {
        **made,
        "tuned": {
            task: {"test": record.test, "baselines": record.baselines, "epochs": len(record.epochs)}
            for task, record in records.items()
        },
        "probes": [_without_lists(probe) for probe in probing["probes"]],
        "comparisons": [
            {"task": task, "layers": found["layers"]}
            for task, found in zip(TASKS, comparison["comparisons"], strict=True)
        ],
        "texts": comparison["texts"],
    }


def tuned(task: str) -> TuneConfig:
    """The settings of one tuned version."""
    return TuneConfig(
        task=task,
        limit=EXAMPLES,
        eval_limit=200,
        epochs=EPOCHS,
        beams=1 if task in {"summarize", "generate", "complete"} else None,
        precision="bf16",
        cache_dir=RUNS / "activations",
        output=RUNS / task,
    )


def results_of(command: str, *options: str) -> dict[str, Any]:
    """Run a command of telly and read what it wrote."""
    telly(command, *options, "--output", RUNS / command, "--cache-dir", RUNS / "activations")
    name = {"probe": PROBING_FILE, "compare": COMPARE_FILE}[command]
    found: dict[str, Any] = json.loads((RUNS / command / name).read_text(encoding="utf-8"))
    return found


def _without_lists(probe: dict[str, Any]) -> dict[str, Any]:
    """A probe's result with short names of models and the number of skipped texts."""
    models = [model | {"model": Path(model["model"]).name} for model in probe["models"]]
    return probe | {"models": models, "skipped": len(probe["skipped"])}


def render_probes(result: dict[str, Any]) -> str:
    """Of every probe and model the best layer, and where the mix of layers looks; beside the paper's."""
    lines = ["| probe | model | best layer | score | embeddings | last layer | bag of tokens | centre of the mix |",
             "|---|---|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    for probe in result["probes"]:
        metric = probe["metric"]
        bag = next(b for b in probe["baselines"] if b["layer"] == "bag of tokens")["metrics"][metric]["mean"]
        for model in probe["models"]:
            scores = {layer["layer"]: layer["metrics"][metric] for layer in model["layers"]}
            best = max(scores, key=lambda name: scores[name]["mean"])
            found = scores[best]
            ends = [scores[name]["mean"] for name in (next(iter(scores)), next(reversed(scores)))]
            lines.append(
                f"| {probe['probe']} | {model['model']} | {best} | {found['mean']:.3f} "
                f"[{found['low']:.3f}, {found['high']:.3f}] | {ends[0]:.3f} | {ends[1]:.3f} | {bag:.3f} "
                f"| {centre(model['weights']):.1f} |"
            )
        paper = next(
            r for r in published.probing() if r["probe"] == probe["probe"] and r["weights_of"] == "pre-trained"
        )
        lines.append(
            f"| {probe['probe']} | UniXcoder (paper) | - | - | - | - | - | {centre(paper['layer_weights']):.1f} |"
        )
    text = "Means of three seeds with 95 % intervals; centre of the mix: mean layer (embeddings 0), by its weights."
    return told(lines, text, result)


def centre(weights: list[float]) -> float:
    """The mean layer by its weights."""
    return sum(i * weight for i, weight in enumerate(weights)) / sum(weights)


def render_similarity(result: dict[str, Any]) -> str:
    """RSA of the embedded model and each tuned version, by layer, with the paper's."""
    names = [entry["layer"] for entry in result["comparisons"][0]["layers"]]
    lines = [f"| tuned for | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for comparison in result["comparisons"]:
        values = " | ".join(f"{entry['rsa']['pearson']:.2f}" for entry in comparison["layers"])
        lines.append(f"| {comparison['task']} | {values} |")
    for task, values in published.similarity().items():
        lines.append(f"| {task} (paper, UniXcoder) | {' | '.join(f'{value:.2f}' for value in values)} |")
    text = (
        f"Pearson correlation of the cosine similarities of {result['texts']:,} functions. Tuned: base, {EXAMPLES:,} "
        f"examples of the sample, {EPOCHS} epochs."
    )
    return told(lines, text, result)


if __name__ == "__main__":
    main()
