"""One table as Markdown, CSV and LaTeX: the same cells, escaped as each needs it."""

from __future__ import annotations

import csv
import io

import pytest

from telly.metrics.interval import Interval
from telly.reports.table import Table, TableCell, TableColumn, change_text, is_good, to_csv, to_latex, to_markdown

SCORE = TableColumn("mrr", 4, True)
TABLE = Table(
    "results-1",
    "Results: 100 % of a_b",
    (TableColumn("run"), TableColumn("trained", 0, False), SCORE),
    (
        (TableCell("base|x"), TableCell(1000), TableCell(0.5)),
        (TableCell("K=9"), TableCell(250, change=-0.75), TableCell(0.45, Interval(0.4, 0.5), -0.1)),
        (TableCell("bm25"), TableCell(None), TableCell(float("nan"))),
    ),
    notes=("A note & more.",),
)


def test_markdown():
    assert to_markdown(TABLE) == (
        "### Results: 100 % of a_b\n\n"
        "| run | trained | mrr |\n|---|---:|---:|\n"
        "| base\\|x | 1,000 | 0.5000 |\n"
        "| K=9 | 250 ↓ 75.0 % | 0.4500 [0.4000, 0.5000] ↓ 10.0 % |\n"
        "| bm25 | - | - |\n\n"
        "A note & more.\n"
    )


def test_csv_has_all_digits_and_columns_for_intervals_and_changes():
    rows = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    assert rows[1] == {"run": "K=9", "trained": "250", "trained change": "-0.75", "mrr": "0.45", "mrr low": "0.4",
                       "mrr high": "0.5", "mrr change": "-0.1"}  # fmt: skip
    assert rows[2]["trained"] == ""


def test_latex():
    text = to_latex(TABLE)
    assert r"\caption{Results: 100 \% of a\_b}" in text and r"\begin{tabular}{lrr}" in text
    assert r"K=9 & 250 $\downarrow$ 75.0 \% & 0.4500 {[}0.4000, 0.5000{]} $\downarrow$ 10.0 \% \\" in text
    assert r"A note \& more." in text
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize(("change", "text", "good"), [
    (0.051, "↑ 5.1 %", True),
    (-0.051, "↓ 5.1 %", False),
    (0.0004, "= 0.0 %", None),  # what rounds to nothing is no change
    (None, "", None),
])  # fmt: skip
def test_arrows(change: float | None, text: str, good: bool | None):
    assert change_text(TableCell(1.0, change=change)) == text
    assert is_good(SCORE, TableCell(1.0, change=change)) is good
    if good is not None:
        assert is_good(TableColumn("s/epoch", 1, False), TableCell(1.0, change=change)) is not good


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"rows of \[1, 2\] cells"):
        Table("x", "x", (TableColumn("a"), TableColumn("b")), ((TableCell("one"),),))
