"""Figures by matplotlib: the same picture, to the byte, for the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from telly.errors import ConfigError


def new_figure(width: float, height: float) -> Any:
    """An empty figure that lays itself out; sizes in inches.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("figures need matplotlib: pip install 'telly[plots]'") from None
    mpl.rcParams["svg.hashsalt"] = "telly"  # else the names within an SVG are drawn at random
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, *files: Path) -> list[Path]:
    """Write a figure as SVG or PNG, as the files' names say, and return the files."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        dated = {"Date": None} if file.suffix == ".svg" else {"Software": None}
        figure.savefig(file, dpi=150, metadata=dated)
    return list(files)


def open_axes(axes: Any) -> None:
    """Take the upper and right line from around a plot."""
    axes.spines[["top", "right"]].set_visible(False)
