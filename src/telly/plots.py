"""Figures by matplotlib: byte-identical pictures for identical numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from telly.errors import ConfigError

INK, PAPER = "#1f2430", "#ffffff"
PALETTE = ("#0b6fb8", "#d1670a", "#17866b", "#b8487f", "#7656b8", "#8f7a12", "#5b6675", "#a8423f")
"""Colours that can be told apart with the usual colour blindness, with contrast to white."""
_GREYS = {"#4c4c4c": "muted", "#4d4d4d": "muted", "#999999": "faint"}
"""matplotlib's greys 0.3 and 0.6, in which baselines are drawn, and the page's names for them."""
_TIP = "tip:"


@contextmanager
def page_style() -> Iterator[None]:
    """Give figures drawn within the ink, paper and colours that `inline_svg` replaces by a page's theme.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    new_figure(1, 1)  # raises a clear error if matplotlib is missing
    import matplotlib as mpl
    from cycler import cycler

    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style = dict.fromkeys(inked, INK) | {"axes.prop_cycle": cycler(color=PALETTE), "font.size": 9}
    with mpl.rc_context(style):
        yield


def tip(artist: Any, text: str) -> None:
    """Attach a tooltip to a point, line or bar, shown when it is hovered over in a page."""
    artist.set_gid(f"{_TIP}{text}")


def inline_svg(svg: str, prefix: str, title: str) -> str:
    """Rewrite an SVG of `save_figure` as part of an HTML page, with theme colours and focusable tooltips.

    Args:
        svg: the file's text.
        prefix: makes its ids unique in the page.
        title: what it shows, for those who cannot see it.
    """
    svg = svg[svg.index("<svg") :]  # without the XML declaration and doctype, which HTML does not allow inside
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(
        rf'<g id="{_TIP}([^"]*)"', r'<g class="tip" tabindex="0" role="img" aria-label="\1" data-tip="\1"', svg
    )
    # Ids are unique per page, not per figure: prefix them, and both kinds of reference to them.
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    colors = {INK: "currentColor", PAPER: "none"} | {grey: f"var(--{name})" for grey, name in _GREYS.items()}
    colors |= {color: f"var(--series-{i})" for i, color in enumerate(PALETTE, start=1)}
    svg = re.sub("|".join(colors), lambda match: colors[match[0]], svg)
    return svg.replace("<svg ", f'<svg role="group" aria-label="{escape(title)}" ', 1)


def new_figure(width: float, height: float) -> Any:
    """An empty figure with automatic layout; sizes in inches.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("figures need matplotlib: pip install 'telly[plots]'") from None
    mpl.rcParams["svg.hashsalt"] = "telly"  # without it, ids within an SVG are random
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, *files: Path) -> list[Path]:
    """Write a figure as SVG or PNG, by the suffix of each file, and return the files."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        undated = {"Date": None} if file.suffix == ".svg" else {"Software": None}
        figure.savefig(file, dpi=150, metadata=undated)
    return list(files)


def short_name(name: str) -> str:
    """A model's name for a legend: the last two parts of a path."""
    parts = Path(name).parts
    return name if len(parts) < 3 and not name.startswith("/") else "/".join(parts[-2:])


def open_axes(axes: Any) -> None:
    """Remove the upper and right border of a plot."""
    axes.spines[["top", "right"]].set_visible(False)
