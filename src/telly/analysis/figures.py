"""Figures of comparisons; each is written as SVG and PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from telly.analysis.compare import CompareResult, published
from telly.errors import ConfigError


def draw_comparison(result: CompareResult, folder: Path, *, with_paper: bool = False) -> list[Path]:
    """Similarity by layer of all models in one figure, and a map of all layers with all for each of them.

    Args:
        result: what to draw.
        folder: where to write.
        with_paper: draw the paper's RSA of UniXcoder beside one's own, where the model has 12 layers.

    Returns:
        the files.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    figure_class = _figure_class()
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    if any(comparison.layers for comparison in result.comparisons):
        files += _save(_by_layer(figure_class, result, with_paper), folder / "similarity")
    for number, comparison in enumerate(result.comparisons, start=1):
        figure = figure_class(figsize=(5.2, 4.4), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(comparison.matrix, origin="lower", vmin=0, vmax=1, cmap="viridis", aspect="auto")
        axes.set_xlabel(f"layer of {_short(comparison.other)}")
        axes.set_ylabel(f"layer of {_short(result.model)}")
        axes.set_yticks(range(len(result.names)), result.names)
        columns = len(comparison.matrix[0])
        axes.set_xticks(range(columns), ["emb", *map(str, range(1, columns))])
        figure.colorbar(image, label="CKA")
        files += _save(figure, folder / f"layers-{number}")
    return files


def _by_layer(figure_class: Any, result: CompareResult, with_paper: bool) -> Any:
    figure = figure_class(figsize=(11, 3.6), layout="constrained")
    panels = figure.subplots(1, 3, sharey=False)
    titles = {"RSA (Pearson)": "rsa", "CKA (debiased)": "cka", "Procrustes distance": "procrustes"}
    for axes, (title, field) in zip(panels, titles.items(), strict=True):
        for number, comparison in enumerate(c for c in result.comparisons if c.layers):
            names = [entry.layer for entry in comparison.layers]
            values = [e.rsa.pearson if field == "rsa" else getattr(e, field) for e in comparison.layers]
            (line,) = axes.plot(names, values, marker="osv^D"[number % 5], ms=4, label=_short(comparison.other))
            if field == "rsa" and comparison.layers[0].rsa.low is not None:
                low, high = ([getattr(e.rsa, end) for e in comparison.layers] for end in ("low", "high"))
                axes.fill_between(range(len(names)), low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        if field == "rsa" and with_paper and len(result.names) == 13:
            for task, values in published().items():
                axes.plot(result.names, values, linestyle=":", linewidth=1, label=f"{task} (paper)")
        axes.set_title(f"{title}, {_short(result.model)} against", fontsize=9, loc="left")
        axes.set_xlabel("layer")
        axes.spines[["top", "right"]].set_visible(False)
        if field == "procrustes":
            axes.set_ylim(bottom=0)
        else:
            axes.set_ylim(top=1.02)
    panels[0].legend(frameon=False, fontsize=7)
    return figure


def _short(name: str) -> str:
    """A model's name for a legend: of a path the last two parts."""
    parts = Path(name).parts
    return name if len(parts) < 3 and not name.startswith("/") else "/".join(parts[-2:])


def _figure_class() -> Any:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError(
            "figures need matplotlib: pip install 'telly[plots]', or leave them out: --no-figures"
        ) from None
    mpl.rcParams["svg.hashsalt"] = "telly"  # the same picture for the same numbers
    return Figure


def _save(figure: Any, stem: Path) -> list[Path]:
    files = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    figure.savefig(files[0], metadata={"Date": None})
    figure.savefig(files[1], dpi=150, metadata={"Software": None})
    return files
