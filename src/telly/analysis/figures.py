"""Figures of comparisons and probes; each is written as SVG and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from telly.analysis import published
from telly.analysis.compare import CompareResult
from telly.analysis.layers import layer_names
from telly.analysis.probing import RANDOM_WEIGHTS, ProbeResult
from telly.plots import new_figure, open_axes, save_figure, short_name

MIXES = 2
"""Maximum number of models whose layer weights are drawn beside random weights; more bars would be illegible."""


def draw_comparison(result: CompareResult, folder: Path, *, with_paper: bool = False) -> list[Path]:
    """Draw similarity by layer of all models in one figure, and for each model a map of all layers against all.

    Args:
        result: the comparison.
        folder: folder to write to.
        with_paper: draw the paper's RSA of UniXcoder as well, if the model has 12 layers.

    Returns:
        the files.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    files = []
    if any(comparison.layers for comparison in result.comparisons):
        files += _save(_by_layer(result, with_paper), folder / "similarity")
    for index, comparison in enumerate(result.comparisons, start=1):
        figure = new_figure(5.2, 4.4)
        axes = figure.subplots()
        image = axes.imshow(comparison.matrix, origin="lower", vmin=0, vmax=1, cmap="viridis", aspect="auto")
        axes.set_xlabel(f"layer of {short_name(comparison.other)}")
        axes.set_ylabel(f"layer of {short_name(result.model)}")
        axes.set_yticks(range(len(result.names)), result.names)
        columns = len(comparison.matrix[0])
        axes.set_xticks(range(columns), layer_names(columns - 1))
        figure.colorbar(image, label="CKA")
        files += _save(figure, folder / f"layers-{index}")
    return files


def _by_layer(result: CompareResult, with_paper: bool) -> Any:
    figure = new_figure(11, 3.6)
    panels = figure.subplots(1, 3, sharey=False)
    titles = {"RSA (Pearson)": "rsa", "CKA (debiased)": "cka", "Procrustes distance": "procrustes"}
    for axes, (title, field) in zip(panels, titles.items(), strict=True):
        for index, comparison in enumerate(c for c in result.comparisons if c.layers):
            names = [entry.layer for entry in comparison.layers]
            values = [e.rsa.pearson if field == "rsa" else getattr(e, field) for e in comparison.layers]
            (line,) = axes.plot(names, values, marker="osv^D"[index % 5], ms=4, label=short_name(comparison.other))
            if field == "rsa" and comparison.layers[0].rsa.low is not None:
                low, high = ([getattr(e.rsa, end) for e in comparison.layers] for end in ("low", "high"))
                axes.fill_between(range(len(names)), low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        if field == "rsa" and with_paper and len(result.names) == 13:
            for task, values in published.similarity().items():
                axes.plot(result.names, values, linestyle=":", linewidth=1, label=f"{task} (paper)")
        axes.set_title(f"{title}, {short_name(result.model)} against", fontsize=9, loc="left")
        axes.set_xlabel("layer")
        open_axes(axes)
        if field == "procrustes":
            axes.set_ylim(bottom=0)
        else:
            axes.set_ylim(top=1.02)
    panels[0].legend(frameon=False, fontsize=7)
    return figure


def _save(figure: Any, stem: Path) -> list[Path]:
    return save_figure(figure, stem.with_suffix(".svg"), stem.with_suffix(".png"))


def draw_probes(results: Sequence[ProbeResult], folder: Path, *, with_paper: bool = False) -> list[Path]:
    """Draw scores by layer with baselines, and the layer weights of the first models; one panel per probe.

    Args:
        results: the probes' results.
        folder: folder to write to.
        with_paper: draw the paper's layer weights of UniXcoder as well, if the model has 12 layers.

    Returns:
        the files.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    columns = min(2, len(results))
    lines = -(-len(results) // columns)
    by_layer = new_figure(5.4 * columns, 3.4 * lines)
    for axes, result in zip(by_layer.subplots(lines, columns, squeeze=False).flat, results, strict=False):
        _draw_layers(axes, result)
    contributions = new_figure(5.4 * columns, 3.0 * lines)
    for axes, result in zip(contributions.subplots(lines, columns, squeeze=False).flat, results, strict=False):
        _draw_weights(axes, result, with_paper)
    return [*_save(by_layer, folder / "probes"), *_save(contributions, folder / "contributions")]


def _draw_layers(axes: Any, result: ProbeResult) -> None:
    for index, model in enumerate(result.models):
        random = model.model == RANDOM_WEIGHTS
        names = [layer.layer for layer in model.layers]
        scores = [layer.metrics[result.metric] for layer in model.layers]
        color = "0.6" if random else f"C{index}"
        axes.plot(names, [s.mean for s in scores], marker="" if random else "osv^D"[index % 5], ms=4, color=color,
                  label=short_name(model.model))  # fmt: skip
        axes.fill_between(range(len(names)), [s.low for s in scores], [s.high for s in scores], color=color, alpha=0.15,
                          linewidth=0)  # fmt: skip
        if index == 0:
            control = [layer.control.mean for layer in model.layers if layer.control is not None]
            axes.plot(names, control, ":", linewidth=1, color=color, label="its control task")
    for baseline, style in zip(result.baselines, ("-.", "--"), strict=False):
        axes.axhline(
            baseline.metrics[result.metric].mean, linestyle=style, linewidth=1, color="0.3", label=baseline.layer
        )
    axes.set_title(f"{result.probe}: {result.metric.replace('_', ' ')}", fontsize=10, loc="left")
    axes.set_xlabel("layer")
    axes.set_ylim(bottom=0)
    open_axes(axes)
    axes.legend(frameon=False, fontsize=7)


def _draw_weights(axes: Any, result: ProbeResult, with_paper: bool) -> None:
    names = [layer.layer for layer in result.models[0].layers]
    shown = [*result.models[:-1][:MIXES], result.models[-1]]  # random weights are last
    bars = {short_name(m.model): m.weights for m in shown if len(m.weights) == len(names)}
    if with_paper and len(names) == 13:
        bars |= {f"UniXcoder, {row['weights_of']} (paper)": tuple(row["layer_weights"])
                 for row in published.probing() if row["probe"] == result.probe and "layer_weights" in row
                 and row["weights_of"] != "random init"}  # fmt: skip
    width = 0.8 / len(bars)
    for index, (label, weights) in enumerate(bars.items()):
        positions = [i + (index - (len(bars) - 1) / 2) * width for i in range(len(names))]
        axes.bar(positions, weights, width, label=label)
    axes.set_xticks(range(len(names)), names)
    axes.set_title(f"{result.probe}: weight of each layer in the mix", fontsize=10, loc="left")
    axes.set_xlabel("layer")
    open_axes(axes)
    axes.legend(frameon=False, fontsize=7)
