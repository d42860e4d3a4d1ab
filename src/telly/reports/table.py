"""Tables of a report, written as Markdown, CSV or LaTeX; the page writes the same objects as HTML."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass

from telly.markdown import DASH
from telly.metrics.interval import Interval


@dataclass(frozen=True)
class TableColumn:
    """A column.

    Attributes:
        name: heading of the column.
        digits: decimal places; None for text.
        greater_is_better: true if a rise is an improvement; None if neither direction is.
        code: true if the text is a command or a path.
    """

    name: str
    digits: int | None = None
    greater_is_better: bool | None = None
    code: bool = False


@dataclass(frozen=True)
class TableCell:
    """A value in a table, with interval, change and hint.

    Attributes:
        value: a number, a text, or None for a dash.
        interval: 95 % interval of the number.
        change: relative change from base, 0.1 for 10 %.
        signed: true to write positive numbers with a plus.
        hint: text shown on hovering.
    """

    value: float | str | None
    interval: Interval | None = None
    change: float | None = None
    signed: bool = False
    hint: str = ""

    @property
    def missing(self) -> bool:
        """True if the cell is shown as a dash."""
        return self.value is None or (isinstance(self.value, float) and math.isnan(self.value))


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: stem of its files.
        title: heading of the table.
        columns: the columns; the first one names the row.
        rows: cells in the columns' order.
        hints: text shown on hovering over a row, one per row; or empty.
        notes: sentences below the table.
    """

    name: str
    title: str
    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    hints: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.rows} | {len(self.columns)}
        if len(widths) != 1 or (self.hints and len(self.hints) != len(self.rows)):
            raise ValueError(f"{self.name}: rows of {sorted(widths)} cells, {len(self.hints)} hints")


def number_text(column: TableColumn, cell: TableCell) -> str:
    """The value as printed."""
    if cell.value is None or cell.missing:
        return DASH
    if isinstance(cell.value, str) or column.digits is None:
        return str(cell.value)
    return f"{cell.value:{'+' if cell.signed else ''},.{column.digits}f}"


def interval_text(column: TableColumn, cell: TableCell) -> str:
    """The interval as printed, or nothing."""
    if cell.interval is None or column.digits is None:
        return ""
    ends = (f"{end:{'+' if cell.signed else ''},.{column.digits}f}" for end in (cell.interval.low, cell.interval.high))
    return f"[{', '.join(ends)}]"


def change_text(cell: TableCell) -> str:
    """The change from base in per cent with an arrow, or nothing."""
    if cell.change is None:
        return ""
    percent = f"{abs(100 * cell.change):.1f} %"
    arrow = "=" if percent == "0.0 %" else "↑" if cell.change > 0 else "↓"
    return f"{arrow} {percent}"


def is_good(column: TableColumn, cell: TableCell) -> bool | None:
    """True if a change is an improvement; None without a change or a direction."""
    if column.greater_is_better is None or not change_text(cell) or change_text(cell).startswith("="):
        return None
    assert cell.change is not None
    return (cell.change > 0) == column.greater_is_better


def cell_text(column: TableColumn, cell: TableCell) -> str:
    """Value, interval and change in one line."""
    return " ".join(
        part for part in (number_text(column, cell), interval_text(column, cell), change_text(cell)) if part
    )


def to_markdown(table: Table) -> str:
    """The table as Markdown, with heading and notes."""
    lines = [f"### {table.title}", ""]
    lines.append("| " + " | ".join(_markdown(column.name) for column in table.columns) + " |")
    lines.append("|" + "|".join("---" if column.digits is None else "---:" for column in table.columns) + "|")
    for row in table.rows:
        cells = (_markdown(cell_text(c, cell), code=c.code) for c, cell in zip(table.columns, row, strict=True))
        lines.append("| " + " | ".join(cells) + " |")
    for note in table.notes:
        lines += ["", _markdown(note)]
    return "\n".join(lines) + "\n"


def _markdown(text: str, code: bool = False) -> str:
    text = text.replace("|", "\\|").replace("\n", " ")
    return f"`{text}`" if code and text != DASH else text


def to_csv(table: Table) -> str:
    """The table as CSV with all digits; intervals and changes get columns of their own."""
    suffixes = [_suffixes(table, i) for i in range(len(table.columns))]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([f"{c.name}{part}" for c, parts in zip(table.columns, suffixes, strict=True) for part in parts])
    for row in table.rows:
        fields: list[float | str | None] = []
        for cell, parts in zip(row, suffixes, strict=True):
            low, high = (cell.interval.low, cell.interval.high) if cell.interval else (None, None)
            values = {"": cell.value, " low": low, " high": high, " change": cell.change}
            fields += [values[part] for part in parts]
        writer.writerow(fields)
    return stream.getvalue()


def _suffixes(table: Table, column: int) -> list[str]:
    """Suffixes of the CSV columns that a column becomes: its value, then the bounds and changes that its cells have."""
    cells = [row[column] for row in table.rows]
    bounds = [" low", " high"] if any(cell.interval for cell in cells) else []
    return ["", *bounds, *([" change"] if any(cell.change is not None for cell in cells) else [])]


_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
          "†": r"\textdagger{}", "[": "{[}", "]": "{]}", "<": r"\textless{}", ">": r"\textgreater{}"}  # fmt: skip


def to_latex(table: Table) -> str:
    """The table as LaTeX, a `table` with `booktabs` rules and a line per note."""
    align = "".join("l" if column.digits is None else "r" for column in table.columns)
    lines = ["% needs \\usepackage{booktabs}", r"\begin{table}", r"\centering", rf"\caption{{{_latex(table.title)}}}",
             rf"\label{{tab:{table.name}}}", rf"\begin{{tabular}}{{{align}}}", r"\toprule",
             " & ".join(_latex(column.name) for column in table.columns) + r" \\", r"\midrule"]  # fmt: skip
    for row in table.rows:
        lines.append(" & ".join(_latex(cell_text(c, x)) for c, x in zip(table.columns, row, strict=True)) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {_latex(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
