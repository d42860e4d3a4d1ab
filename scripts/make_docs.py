"""Write the table of tasks and columns in docs/data.md from `SCHEMAS`.

python scripts/make_docs.py
"""

from __future__ import annotations

from pathlib import Path

from telly.data.schema import SCHEMAS, Column

PAGE = Path(__file__).resolve().parents[1] / "docs" / "data.md"
BEGIN, END = "<!-- columns:begin -->\n", "<!-- columns:end -->"


def main() -> None:
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


def with_table(page: str) -> str:
    """The page with the table as it should be."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def table() -> str:
    """One row a column of a task, with the names it is read from in the order of preference."""
    lines = ["| task | column | what it holds | read from |", "|---|---|---|---|"]
    for task, schema in SCHEMAS.items():
        for number, column in enumerate(schema.columns):
            names = ", ".join(f"`{name}`" for name in column.source_names)
            first = f"`{task}`" if number == 0 else ""
            lines.append(f"| {first} | `{column.name}` | {_content(column)} | {names} |")
    return "\n".join(lines) + "\n"


def _content(column: Column) -> str:
    return f"{column.kind}: {' or '.join(column.values)}" if column.values else column.kind


if __name__ == "__main__":
    main()
