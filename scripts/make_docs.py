"""Write what follows from the code in the docs: tables of data.md, models.md and tasks.md, and api.md and settings.md.

python scripts/make_docs.py
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import telly
from telly.data.schema import Column
from telly.declare import Affects, Declared, Group
from telly.models.unsupported import REASONS
from telly.settings.lists import SETTINGS
from telly.tasks import TASKS

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8", newline="\n")


def pages() -> dict[Path, str]:
    """The pages that follow from the code, as they should be."""
    tables = {
        "data.md": {"columns": columns()},
        "models.md": {"families": families(), "refused": refused()},
        "tasks.md": {"presets": presets()},
    }
    found = {DOCS / name: _with_tables(DOCS / name, blocks) for name, blocks in tables.items()}
    return found | {DOCS / "api.md": api(), DOCS / "settings.md": settings()}


def _with_tables(page: Path, blocks: dict[str, str]) -> str:
    text = page.read_text(encoding="utf-8")
    for block, table in blocks.items():
        begin, end = f"<!-- {block}:begin -->\n", f"<!-- {block}:end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}{table}{end}{after}"
    return text


def families() -> str:
    """One row per model family that the tests freeze, by architecture."""
    script = importlib.util.spec_from_file_location("tiny_families", DOCS.parent / "tests" / "tiny_families.py")
    assert script is not None and script.loader is not None
    tests = sys.modules["tiny_families"] = importlib.util.module_from_spec(script)
    script.loader.exec_module(tests)
    text = ""
    for title, group in tests.GROUPS.items():
        text += f"\n### {title}\n\n| type | models |\n|---|---|\n"
        for name, family in group.items():
            mark = "" if family.generates else " \\*"
            text += f"| `{name}`{mark} | {family.models} |\n"
    return text + "\n"


def refused() -> str:
    """One item per reason for which models are refused by their type."""
    types: dict[str, list[str]] = {}
    for name, reason in sorted(REASONS.items()):
        types.setdefault(reason, []).append(f"`{name}`")
    return "".join(f"- {', '.join(names)}: {reason}.\n" for reason, names in types.items())


def columns() -> str:
    """One item per column, with the names it is read from; tasks whose column is read alike share an item."""
    rows: dict[tuple[str, str], list[str]] = {}
    for task, spec in TASKS.items():
        for column in spec.schema.for_training().columns:
            names = ", ".join(f"`{name}`" for name in column.source_names)
            rows.setdefault((f"`{column.name}`{_values(column)}", names), []).append(f"`{task}`")
    return "".join(f"- {column} ({', '.join(tasks)}): {names}\n" for (column, names), tasks in rows.items())


def _values(column: Column) -> str:
    return f", {' or '.join(column.values)}" if column.values else ""


def presets() -> str:
    """One row per task, with its settings and its metrics, the one that chooses the best epoch first."""
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


SETTINGS_HEAD = """# Settings of `telly tune`

Generated from the declarations in `telly.settings` by `scripts/make_docs.py`. A setting is a key of the TOML file for
`--config` and of a [study](study.md), a field of `telly.TuneConfig`, and an option: `--key` with hyphens, unless
another one is shown (`task` is the subcommand). `telly advise` has all of them except `freeze` and `output`. In
italics: what a setting can change. *Evaluation* is the scores of given weights; *speed* is time, memory and disk;
*location* is where files are. Cells of a study that differ only in speed or location share a folder. Defaults that
depend on the task are in [tasks](tasks.md#settings).
"""


def settings() -> str:
    """The page of all settings: a list per heading of the help."""
    parts = [SETTINGS_HEAD]
    for group in Group:
        items = [_setting(declared) for declared in SETTINGS.values() if declared.setting.group is group]
        parts.append("\n".join([f"## {group}\n", *items]) + "\n")
    return "\n".join(parts)


def _setting(declared: Declared) -> str:
    setting = declared.setting
    options = [declared.option, setting.off] if setting.off else [setting.option]
    shown = ", ".join(f"`{option}`" for option in options if option)
    choices = ", ".join(f"`{choice}`" for choice in declared.choices)
    affects = ", ".join(kind for kind in Affects if kind in setting.affects)
    text = [
        f"- `{declared.name}`" + (f" ({shown}):" if shown else ":"),
        setting.help.removesuffix(".") + (f" ({choices})." if choices else "."),
        f"Default: {declared.shown_default}." if declared.shown_default else "",
        f"*{affects.capitalize()}*",
    ]
    return " ".join(part for part in text if part)


API_HEAD = """# API reference

Generated from the docstrings by `scripts/make_docs.py`. `import telly` is instant: names are imported on first use.
Errors that a user can correct are `telly.TellyError`; progress is logged under the logger `telly`.
"""


def api() -> str:
    """The reference page of the public names: functions in full, everything else in one line."""
    functions = ["tune", "advise", "study", "report", "score", "probe", "compare", "export", "load"]
    methods = [telly.TunedModel.embed, telly.TunedModel.generate, telly.TunedModel.classify]
    entries = {f"telly.{name}": getattr(telly, name) for name in functions}
    entries |= {f"TunedModel.{method.__name__}": inspect.unwrap(method) for method in methods}
    described: dict[str, str] = {}
    parts = [API_HEAD, *(_entry(name, function, described) for name, function in entries.items())]
    parts.append("## Source code: `telly.code`\n")
    parts.append(_list({f"telly.code.{name}": getattr(telly.code, name) for name in dir(telly.code)}))
    rest = [name for name in dir(telly) if name not in {*functions, "TunedModel", "code", "errors", "__version__"}]
    parts.append("## Building blocks of training loops\n")
    parts.append(_list({f"telly.{name}": getattr(telly, name) for name in rest if name != "TellyError"}))
    errors = {name: value for name, value in vars(telly.errors).items() if inspect.isclass(value)}
    parts.append("## Errors: `telly.errors`\n")
    parts.append(_list(errors))
    return "\n".join(parts)


def _entry(name: str, function: Any, described: dict[str, str]) -> str:
    """Signature and docstring of a function as a section.

    `described` maps arguments with their descriptions to the section that has them; new ones are added.
    """
    sections = _sections(inspect.getdoc(function) or "")
    parts = [f"## `{name}`\n", f"`{_signature(name, function)}`\n", sections[""] + "\n"]
    if "Example" in sections:
        lines = sections["Example"].replace(">>> import telly\n", "").splitlines()
        code = "\n".join(re.sub(r"^(>>>|\.\.\.) ", "", line) if line[:3] in (">>>", "...") else f"# {line}"
                         for line in lines)  # fmt: skip
        parts.append(f"```python\n{code}\n```\n")
    if "Args" in sections:
        parts.append("\n".join(_arguments(name, sections["Args"], described)) + "\n")
    if "Returns" in sections:
        parts.append(f"Returns {_joined(sections['Returns'])}\n")
    return "\n".join(parts)


def _sections(doc: str) -> dict[str, str]:
    """The parts of a docstring by their headings; the text before the first one under a blank name."""
    found = re.split(r"^(Example|Args|Returns|Raises|Attributes):\n", doc, flags=re.MULTILINE)
    paragraphs = "\n\n".join(_joined(text) for text in found[0].strip().split("\n\n"))
    named = zip(found[1::2], found[2::2], strict=True)
    return {"": paragraphs} | {name: textwrap.dedent(text).strip() for name, text in named}


def _arguments(entry: str, text: str, described: dict[str, str]) -> list[str]:
    """An item per argument; those that an earlier section describes in the same words refer to it."""
    items, repeated = [], {}
    for argument in re.split(r"\n(?=\S)", text):
        name, _, about = argument.partition(": ")
        item = f"- `{name}`: {_joined(about)}"
        if item in described:
            repeated.setdefault(described[item], []).append(f"`{name}`")
        else:
            items.append(item)
            described[item] = entry
    anchors = {section: section.replace(".", "").lower() for section in repeated}
    return items + [f"- {', '.join(names)}: see [`{section}`](#{anchors[section]})."
                    for section, names in repeated.items()]  # fmt: skip


def _joined(text: str) -> str:
    return " ".join(text.split())


def _signature(name: str, function: Any) -> str:
    """A call with its defaults; the types are in the stubs and in the code."""
    signature = inspect.signature(function)
    parameters = [one.replace(annotation=one.empty) for one in signature.parameters.values() if one.name != "self"]
    returned = str(signature.return_annotation).strip("'")
    text = f"{name}{signature.replace(parameters=parameters, return_annotation=signature.empty)} -> {returned}"
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _list(names: dict[str, Any]) -> str:
    """An item per name with the first sentence of its docstring."""
    about = {name: re.split(r"(?<=\.)\s", inspect.getdoc(value) or "")[0] for name, value in names.items()}
    return "".join(f"- `{name}`: {_joined(text)}\n" for name, text in about.items())


if __name__ == "__main__":
    main()
