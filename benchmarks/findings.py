"""Probes of the embedded model's layers, and what tuning changes in them: the paper's findings 1 and 2.

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
from telly.cli.demo import run_in_process  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.models.folder import EMBEDDED  # noqa: E402
from telly.settings.config import TuneConfig  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "findings.json"
FIGURES = ROOT / "docs" / "figures"
RUNS = CACHE / "findings"
TASKS = ("search", "clone", "summarize", "generate", "complete")
EXAMPLES, EPOCHS, TEXTS = 1000, 2, 1000
SHOWN_LAYERS = ("3", "6", "9", "11", "12")
"""Layers of the similarity table; the figure has all."""


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
    records = {task: run_in_process(tuned(task)) for task in TASKS}
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
    """One row per probe: scores of the untuned model, its baselines and the tuned models, and where the mix looks."""
    lines = [f"| probe | {EMBEDDED}, best layer | random weights | bag of tokens | embeddings | last layer "
             "| last layer, tuned | centre of the mix / UniXcoder's |", "|---|" + "---:|" * 7]  # fmt: skip
    for probe in result["probes"]:
        metric, models = probe["metric"], {model["model"]: model for model in probe["models"]}
        layer, best = _best(models[EMBEDDED], metric)
        bag = next(b for b in probe["baselines"] if b["layer"] == "bag of tokens")["metrics"][metric]["mean"]
        first, last = _ends(models[EMBEDDED], metric)
        tuned_last = [_ends(models[task], metric)[1] for task in TASKS]
        paper = next(
            r for r in published.probing() if r["probe"] == probe["probe"] and r["weights_of"] == "pre-trained"
        )
        lines.append(
            f"| {probe['probe']} | {layer}: {best} | {_best(models['random weights'], metric)[1]} | {bag:.3f} "
            f"| {first:.3f} | {last:.3f} | {min(tuned_last):.3f}-{max(tuned_last):.3f} "
            f"| {centre(models[EMBEDDED]['weights']):.1f} / {centre(paper['layer_weights']):.1f} |"
        )
    text = (
        "Means of three seeds with 95% intervals. Tuned: range over five tasks. Centre of the mix: mean layer, "
        "weighted by the mix."
    )
    return told(lines, text, result)


def _best(model: dict[str, Any], metric: str) -> tuple[str, str]:
    """The layer with the highest mean score, and this score with its interval."""
    layer = max(model["layers"], key=lambda layer: layer["metrics"][metric]["mean"])
    found = layer["metrics"][metric]
    return layer["layer"], f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _ends(model: dict[str, Any], metric: str) -> tuple[float, float]:
    """The mean scores of the embeddings and of the last layer."""
    layers = model["layers"]
    return layers[0]["metrics"][metric]["mean"], layers[-1]["metrics"][metric]["mean"]


def centre(weights: list[float]) -> float:
    """The mean layer by its weights."""
    return sum(i * weight for i, weight in enumerate(weights)) / sum(weights)


def render_similarity(result: dict[str, Any]) -> str:
    """RSA of the untuned model and each tuned version in some layers."""
    lines = [f"| tuned for | {' | '.join(SHOWN_LAYERS)} |", "|---|" + "---:|" * len(SHOWN_LAYERS)]
    for comparison in result["comparisons"]:
        values = {entry["layer"]: entry["rsa"]["pearson"] for entry in comparison["layers"]}
        lines.append(f"| {comparison['task']} | {' | '.join(f'{values[layer]:.2f}' for layer in SHOWN_LAYERS)} |")
    text = (
        f"RSA (Pearson, {result['texts']:,} functions) before and after tuning all layers ({EXAMPLES:,} examples, "
        f"{EPOCHS} epochs), by layer. The figure also shows the paper's UniXcoder."
    )
    return told(lines, text, result)


if __name__ == "__main__":
    main()
