"""Model card of the embedded model: data, training, speed, and untuned results."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

from telly.markdown import markdown_table
from telly.plots import new_figure, open_axes, save_figure

CURVE_FILE = "curve.svg"
MEASURES = {
    "masked_accuracy": "accuracy of masked tokens",
    "next_loss": "loss of the next token (nats)",
    "mrr": "docstring-to-code MRR",
}


def write_card(run: Path, folder: Path) -> None:
    """Write `README.md` and the curves beside an exported model.

    Args:
        run: the pre-training run's folder.
        folder: the exported model, with its `pretraining.json`.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    summary = json.loads((folder / "pretraining.json").read_text())
    corpus = json.loads((run / "corpus" / "corpus.json").read_text())
    settings = json.loads((run / "settings.json").read_text())
    _draw_curves(summary["stages"], folder / CURVE_FILE)
    (folder / "README.md").write_text(_card(summary, corpus, settings), encoding="utf-8")


def _card(summary: dict[str, Any], corpus: dict[str, Any], settings: dict[str, Any]) -> str:
    packages = corpus["packages"]
    functions = sum(package["functions"] for package in packages)
    held_out = ", ".join(p["name"] for p in packages if p["held_out"]) or "some functions of all packages"
    left_out = ", ".join(f"{count:,} {why}" for why, count in corpus["left_out"].items() if count) or "none"
    sources = markdown_table(
        ("package", "version", "stated licence", "functions"),
        [(p["name"], p["version"] or "-", p["license"] or "-", f"{p['functions']:,}") for p in packages],
    )
    stages = summary["stages"]
    longest = settings["code_tokens"] + settings["docstring_tokens"] + 6
    similarity = markdown_table(
        ("layers", "CKA"),
        [
            (f"{'embeddings' if i == 0 else i} and {i + 1}", f"{value:.3f}")
            for i, value in enumerate(summary["neighbour_similarity"])
        ],
    )
    return f"""# telly-mini

A small encoder for Python code and its descriptions that also generates text: RoBERTa shape,
{stages[-1]["layers"]} layers of width {settings["hidden_size"]}, {settings["attention_heads"]} heads, byte-level BPE of
{settings["vocab_size"]:,} tokens, {summary["parameters"]:,} parameters, stored in half precision
({summary["bytes"] / 1e6:.1f} MB with tokenizer). It has UniXcoder's three modes: encoder, decoder, and both in one
stack. It is meant for trying telly offline and cannot compete with a model of 125M parameters.

## Use

`AutoModel` and `AutoTokenizer` load it. Inputs have UniXcoder's format, which telly adds: for an embedding `<s>
<encoder-only> </s> tokens </s>`, and the embedding is the mean of the last layer's states over all tokens but padding;
for generation `<s> <encoder-decoder> </s> source </s> <s>` followed by the answer, or `<s> <decoder-only> </s>`
followed by code from left to right. The output layer is tied to the word embeddings. Positions from {longest} on were
never trained.

## Training

The model grows by stacking. Its first stage has no layers at all: mean-pooled embeddings learn the contrast of
docstring and code at hundreds of thousands of tokens per second. The later stages mix all kinds of sequence: masked
tokens (whose pairs also take part in the contrast), code from left to right, code from its docstring and docstring from
its code. While the anchor has a weight, every token's state is pulled towards the first stage's state for it.
Code is cut at {settings["code_tokens"]} tokens, docstrings at {settings["docstring_tokens"]}. AdamW, cosine schedule,
bf16.

{_recipe(stages)}

Results at the end of each stage, without fine-tuning, on {corpus["held_out"]:,} held-out pairs ({held_out}). The rate
is the median over the stage, also given as a percentage of the machine's rate of large bf16 matrix products, measured
after the stage.

{_results(stages)}

![Training curves]({CURVE_FILE})

## Do the layers differ?

Linear CKA of the token states of neighbouring layers on held-out functions (1: equal up to rotation and scale).
Freezing some blocks is meaningful only if blocks that were copied when the model grew have become different.

{similarity}

## Generated examples

Greedy generations without fine-tuning for the first held-out pairs; not selected.

{_examples(summary["examples"])}

## Data

{functions:,} documented Python functions, mined from the packages below without running them; tests, vendored and
generated files are not read. Left out: {left_out}. Repeated docstrings count as copies. The standard library is the
evaluation data, so its functions and their near-duplicates are left out wherever they occur. This does not find copies
that were changed more, or docstrings of the standard library that document another function.

{sources}

## Licence

{_licence(packages)}
"""


def _licence(packages: list[dict[str, Any]]) -> str:
    """Licences stated by the packages, with the consequences for using or publishing the weights."""
    stated = Counter(package["license"] or "none" for package in packages)
    listed = "; ".join(f"{name} ({count})" for name, count in sorted(stated.items(), key=lambda one: (-one[1], one[0])))
    return f"""Licences stated by the packages, with the number of packages: {listed}.

They were not verified file by file. The weights hold no file of these packages, but a model can reproduce passages of
its training data; such a passage remains under its source's licence and copyright notice. Choose the licence of
published weights in view of this list."""


def _recipe(stages: list[dict[str, Any]]) -> str:
    rows = []
    for number, stage in enumerate(stages, start=1):
        ratios = " / ".join(f"{stage['shares'][kind]:g}" for kind in ("masked", "causal", "code", "docstring"))
        columns = ("layers", "steps", "batch_size", "learning_rate")
        weights = " / ".join(f"{stage[f'{name}_weight']:g}" for name in ("token", "contrast", "anchor"))
        rows.append((str(number), *(f"{stage[c]:g}" for c in columns), ratios, f"{stage['masked_share']:g}", weights))
    header = (
        "stage",
        "layers",
        "steps",
        "pairs per step",
        "learning rate",
        "masked / causal / to code / to docstring",
        "masked tokens",
        "weights: tokens / contrast / anchor",
    )
    return markdown_table(header, rows)


def _results(stages: list[dict[str, Any]]) -> str:
    rows = []
    for number, stage in enumerate(stages, start=1):
        last = stage["evaluations"][-1]
        speeds = [entry for entry in stage["losses"] if "flops" in entry]
        speed = f"{statistics.median(e['tokens_per_second'] for e in speeds):,.0f}" if speeds else "-"
        utilization = (
            f"{statistics.median(e['flops'] for e in speeds) / stage['matrix_product_rate']:.0%}" if speeds else "-"
        )
        rows.append(
            (str(number), str(stage["layers"]), *(f"{last[name]:.3f}" for name in MEASURES), speed, utilization)
        )
    return markdown_table(("stage", "layers", *MEASURES.values(), "tokens/s", "of the matrix-product rate"), rows)


def _examples(examples: list[dict[str, str]]) -> str:
    requests = {"summary": "Summarize", "code": "Write code for", "next line": "Complete"}
    parts = []
    for example in examples:
        fence = "```"
        parts.append(
            f"**{requests[example['kind']]}**\n\n{fence}\n{example['given']}\n{fence}\n\ngenerated:\n\n{fence}\n"
            f"{example['written']}\n{fence}\n\nright:\n\n{fence}\n{example['right']}\n{fence}"
        )
    return "\n\n".join(parts)


def _draw_curves(stages: list[dict[str, Any]], file: Path) -> None:
    """Training loss and the three measures over the steps of all stages."""
    figure = new_figure(9, 6)
    panels = figure.subplots(2, 2, sharex=True).flat
    names = {"loss": "training loss (weighted sum)", **MEASURES}
    for axes, (key, title) in zip(panels, names.items(), strict=True):
        start = 0
        for number, stage in enumerate(stages, start=1):
            points = stage["losses"] if key == "loss" else stage["evaluations"]
            steps = [start + point["step"] for point in points]
            label = f"{number}: {stage['layers']} layers"
            axes.plot(steps, [point[key] for point in points], marker="" if key == "loss" else "o", ms=3, label=label)
            start += stage["steps"]
            axes.axvline(start, color="0.85", linewidth=1, zorder=0)
        axes.set_title(title, fontsize=10, loc="left")
        open_axes(axes)
        if key != "next_loss":
            axes.set_ylim(bottom=0)
    for axes in figure.axes[2:]:
        axes.set_xlabel("step")
    figure.axes[0].legend(title="stage", frameon=False, fontsize=8)
    save_figure(figure, file)
