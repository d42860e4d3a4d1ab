"""Write the tables of the docs that follow from the code: columns in docs/data.md, settings in docs/tasks.md.

python scripts/make_docs.py
"""

from __future__ import annotations

from pathlib import Path

from telly.data.schema import SCHEMAS, Column
from telly.tasks import TASKS

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8", newline="\n")


def pages() -> dict[Path, str]:
    """The pages that have tables, as they should be."""
    tables = {"data.md": ("columns", columns()), "tasks.md": ("presets", presets())}
    return {DOCS / name: _with_table(DOCS / name, block, table) for name, (block, table) in tables.items()}


def _with_table(page: Path, block: str, table: str) -> str:
    begin, end = f"<!-- {block}:begin -->\n", f"<!-- {block}:end -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}{table}{end}{after}"


def columns() -> str:
    """One row a column of a task, with the names it is read from in the order of preference."""
    lines = ["| task: column | names that are read, the first one preferred |", "|---|---|"]
    for task, schema in SCHEMAS.items():
        for column in schema.columns:
            names = ", ".join(f"`{name}`" for name in column.source_names)
            lines.append(f"| `{task}`: `{column.name}`{_values(column)} | {names} |")
    return "\n".join(lines) + "\n"


def _values(column: Column) -> str:
    return f" ({' or '.join(column.values)})" if column.values else ""


def presets() -> str:
    """One row a task, with its settings and its metrics, the one that chooses the best epoch first."""
    lines = ["| task | tokens, at most | batch | rate | epochs | beam | head | best by, and other metrics |",
             "|---|---|---:|---:|---:|---:|---|---|"]  # fmt: skip
    for name, task in TASKS.items():
        preset = task.preset
        limits = ", ".join(f"{column} {tokens}" for column, tokens in preset.max_tokens.items())
        others = ", ".join(f"`{metric}`" for metric in task.metrics if metric != preset.metric)
        cells = [
            f"[`{name}`](tasks/{name}.md)",
            limits,
            str(preset.batch_size),
            f"{preset.learning_rate:g}",
            str(preset.epochs),
            str(preset.beams or "-"),
            preset.head or "-",
            f"**`{preset.metric}`**" + (f", {others}" if others else ""),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
