"""Write the tables of the docs that follow from the code: columns in docs/data.md, settings in docs/tasks.md.

python scripts/make_docs.py
"""

from __future__ import annotations

from pathlib import Path

from telly.data.schema import Column
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
    lines = ["| task | column | what it holds | read from |", "|---|---|---|---|"]
    for task, schema in ((name, spec.schema) for name, spec in TASKS.items()):
        for number, column in enumerate(schema.columns):
            names = ", ".join(f"`{name}`" for name in column.source_names)
            first = f"`{task}`" if number == 0 else ""
            lines.append(f"| {first} | `{column.name}` | {_content(column)} | {names} |")
    return "\n".join(lines) + "\n"


def _content(column: Column) -> str:
    return f"{column.kind}: {' or '.join(column.values)}" if column.values else column.kind


def presets() -> str:
    """One row a task, with its settings and its metrics, the one that chooses the best epoch first."""
    lines = ["| task | tokens, at most | batch | rate | epochs | beam | head | best by, and other metrics |",
             "|---|---|---:|---:|---:|---:|---|---|"]  # fmt: skip
    for name, task in TASKS.items():
        preset, options = task.preset, task.options()
        limits = ", ".join(f"{column} {tokens}" for column, tokens in preset.max_tokens.items())
        others = ", ".join(f"`{metric}`" for metric in task.metrics if metric != preset.metric)
        cells = [
            f"[`{name}`](tasks/{name}.md)",
            limits,
            str(preset.batch_size),
            f"{preset.learning_rate:g}",
            str(preset.epochs),
            str(getattr(options, "beams", "-")),
            getattr(options, "head", "-"),
            f"**`{preset.metric}`**" + (f", {others}" if others else ""),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
