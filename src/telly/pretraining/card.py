"""The model card: what the model was trained on, for how long, how the losses fell, what it can do untuned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from telly.errors import ConfigError

CURVE_FILE = "loss.svg"


def write_card(run: Path, folder: Path) -> None:
    """Write `README.md` and the loss curve beside an exported model.

    Args:
        run: the pre-training run's folder.
        folder: the exported model.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    summary = json.loads((folder / "pretraining.json").read_text())
    packages = json.loads((run / "corpus" / "packages.json").read_text())
    settings = json.loads((run / "settings.json").read_text())
    _draw_curve(summary["stages"], folder / CURVE_FILE)
    (folder / "README.md").write_text(_card(summary, packages, settings), encoding="utf-8")


def _card(summary: dict[str, Any], packages: list[dict[str, Any]], settings: dict[str, Any]) -> str:
    functions = sum(package["functions"] for package in packages)
    columns = ("layers", "steps", "batch_size", "learning_rate", "masked_weight", "contrast_weight")
    rows = [
        [str(number), *(f"{stage[c]:g}" for c in columns), f"{stage['masked_accuracy']:.3f}", f"{stage['mrr']:.3f}"]
        for number, stage in enumerate(summary["stages"], start=1)
    ]
    stages = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    sources = "\n".join(
        f"| {p['name']} | {p['version'] or '-'} | {p['license'] or '-'} | {p['functions']:,} |" for p in packages
    )
    return f"""# telly-mini

A small encoder for Python code and its descriptions: RoBERTa shape, {summary["stages"][-1]["layers"]} layers of width
{settings["hidden_size"]}, {settings["attention_heads"]} heads, byte-level BPE of {settings["vocab_size"]:,} tokens,
{summary["parameters"]:,} parameters, stored in half precision. It has UniXcoder's three mode tokens;
only `<encoder-only>` was trained. It is meant for trying telly offline, and no match for a model of 125M parameters.

## Data

{functions:,} documented Python functions, mined from the packages below without running them. A function counts once,
also by its docstring. The standard library is the evaluation data, so its functions are left out wherever they stand.

| package | version | licence as stated by it | functions |
|---|---|---|---|
{sources}

## Training

Masked tokens ({100 * settings["masked_share"]:.0f} %), then the contrast of docstring and code with in-batch negatives
joins. The model grows by stacking. Code is cut at {settings["code_tokens"]} tokens, docstrings at
{settings["docstring_tokens"]}. AdamW, cosine schedule, bf16 autocast, on two CPU cores. Accuracy of masked tokens and
MRR are measured untuned at the end of each stage, on {settings["held_out_pairs"]} pairs kept back of the same packages.

| stage | layers | steps | pairs a step | learning rate | masked weight | contrast weight | masked accuracy | MRR |
|---|---|---|---|---|---|---|---|---|
{stages}

![Training loss]({CURVE_FILE})

The loss is the weighted sum, so it rises where the contrast joins.
"""


def _draw_curve(stages: list[dict[str, Any]], file: Path) -> None:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("the loss curve needs matplotlib: pip install 'telly[plots]'") from None
    mpl.rcParams["svg.hashsalt"] = "telly"  # the same picture for the same numbers
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    start = 0
    for number, stage in enumerate(stages, start=1):
        steps = [start + point["step"] for point in stage["losses"]]
        axes.plot(steps, [point["loss"] for point in stage["losses"]], label=f"{number}: {stage['layers']} layers")
        start += stage["steps"]
        axes.axvline(start, color="0.85", linewidth=1, zorder=0)
    axes.set_xlabel("step")
    axes.set_ylabel("training loss")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(title="stage", frameon=False)
    figure.savefig(file, metadata={"Date": None})
