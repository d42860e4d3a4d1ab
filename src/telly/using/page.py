"""Clones as a self-contained HTML page."""

from __future__ import annotations

from importlib import resources

from telly.mining.repository.collect import printable
from telly.reports.page import read_page_file
from telly.using.clones import Clones


def render_clones(clones: Clones) -> str:
    """Render the page; names and code of the tree are escaped, and the page may neither run nor fetch anything."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    css = Markup(read_page_file("report.css"))
    template = resources.files("telly.using").joinpath("clones.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(clones=clones, css=css, shown=printable)
