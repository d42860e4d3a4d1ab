"""Markdown tables for cards, reports and studies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

DASH = "-"
"""A cell without a value."""


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with one line per row."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
