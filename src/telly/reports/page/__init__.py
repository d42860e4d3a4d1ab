"""The page of a report: one HTML file that contains its style, script and figures and needs no network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from telly.reports.table import Table, change_text, interval_text, is_good, number_text

WIDE = 560
"""Width in points (1/72 inch) above which a figure takes the page's whole width."""


@dataclass(frozen=True)
class Drawing:
    """A figure as inline SVG, with the files that contain it."""

    title: str
    svg: str
    files: Sequence[Path] = ()

    @property
    def wide(self) -> bool:
        """True if the figure takes the page's whole width."""
        width = re.search(r'viewBox="0 0 ([0-9.]+) ', self.svg)
        return width is not None and float(width[1]) > WIDE


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: id of the HTML element.
        title: heading of the section.
        lead: the main result in a sentence.
        statements: verdict and sentence of every comparison.
        figures: figures, above the tables.
        tables: tables of the section.
        commands: commands that repeat the results.
    """

    anchor: str
    title: str
    lead: str = ""
    statements: Sequence[tuple[str, str]] = ()
    figures: Sequence[Drawing] = ()
    tables: Sequence[Table] = ()
    commands: Sequence[str] = ()


def read_page_file(name: str) -> str:
    """Read a file of the page; other pages share its style and theme."""
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def render(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Render the page as HTML."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    page = read_page_file("report.html.j2")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(page)
    return template.render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        css=Markup(read_page_file("report.css")),
        script=Markup(read_page_file("theme.js") + read_page_file("report.js")),
        number_text=number_text,
        interval_text=interval_text,
        change_text=change_text,
        is_good=is_good,
    )
