"""The page of a report: one HTML file with its style, script and figures in it, which needs no network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from telly.reports.table import Table, change_text, interval_text, is_good, number_text

WIDE = 560
"""Points, at 72 an inch."""


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG for a page, and the files that have it as well."""

    title: str
    svg: str
    files: Sequence[Path] = ()

    @property
    def wide(self) -> bool:
        """Whether it holds so much side by side that it needs a page's whole width."""
        found = re.search(r'viewBox="0 0 ([0-9.]+) ', self.svg)
        return found is not None and float(found[1]) > WIDE


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: its id.
        title: its heading.
        lead: what it comes to, in a sentence.
        statements: verdict and sentence of every comparison.
        figures: drawn above the tables.
        tables: its tables.
        commands: what gives its results again.
    """

    anchor: str
    title: str
    lead: str = ""
    statements: Sequence[tuple[str, str]] = ()
    figures: Sequence[Drawing] = ()
    tables: Sequence[Table] = ()
    commands: Sequence[str] = ()


def read_page_file(name: str) -> str:
    """A file of the page; its style and theme are other pages' as well."""
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def render(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole page."""
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
