"""Make the sample that the package ships: function/docstring pairs of CPython's standard library.

Run it with the interpreter whose library is to be mined:

    python scripts/make_sample.py [FOLDER]

The same CPython release gives the same bytes. Code and queries are distinct over all splits, and no module (a top-level
file or package such as `asyncio`) is in two splits. Test rows whose query the embedded model has seen in pre-training
(`sample_seen.json`, made by `find_seen.py`) are set aside in `seen.jsonl`, so that no score counts them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shutil
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import telly.data
from telly.mining.copies import content_key
from telly.mining.python_sources import MinedFunction, functions_in, source_files

TEST_PAIRS = 1000
VALID_PAIRS = 500
MAX_HELD_OUT_MODULE = 120
MAX_CODE_CHARACTERS = 6000  # far above what a model of 512 tokens sees
MAX_BYTES = 3_600_000
# What is not the library proper: installed packages, tests, demonstrations, tables and what the build wrote.
LEFT_OUT = frozenset({"site-packages", "test", "idle_test", "turtledemo", "lib-dynload", "pydoc_data", "__pycache__"})
SEEN = Path(__file__).with_name("sample_seen.json")
LEFT_OUT_PREFIXES = ("_sysconfigdata", "config-")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the sample data from this interpreter's standard library.")
    default = Path(telly.data.__file__).parent / "sample"
    parser.add_argument("folder", nargs="?", type=Path, default=default, help="where to write (default: the package)")
    folder: Path = parser.parse_args().folder
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    splits = set_aside(split_by_module(distinct(library_functions(stdlib))), seen())
    folder.mkdir(parents=True, exist_ok=True)
    for name, functions in splits.items():
        write(folder / f"{name}.jsonl", functions)
    shutil.copyfile(stdlib / "LICENSE.txt", folder / "LICENSE-CPython.txt")
    (folder / "README.md").write_text(readme(splits), encoding="utf-8", newline="\n")
    size = sum(file.stat().st_size for file in folder.glob("*.jsonl"))
    print(", ".join(f"{name}: {len(functions)} pairs" for name, functions in splits.items()) + f"; {size:,} bytes")
    if size > MAX_BYTES:
        raise SystemExit(f"the sample has {size:,} bytes, expected at most {MAX_BYTES:,}; lower MAX_CODE_CHARACTERS")


def library_functions(stdlib: Path, *, documented: bool = True) -> Iterator[MinedFunction]:
    """The functions of a standard library, module by module in name order; see `functions_in`."""
    for entry in sorted(stdlib.iterdir()):
        if entry.name in LEFT_OUT or entry.name.startswith(LEFT_OUT_PREFIXES):
            continue
        files = source_files(entry) if entry.is_dir() else [entry] if entry.suffix == ".py" else []
        for file in files:
            path = file.relative_to(stdlib)
            if not LEFT_OUT & set(path.parts):
                source = file.read_text(encoding="utf-8")
                functions = functions_in(source, path.as_posix(), documented=documented)
                yield from (function for function in functions if len(function.code) <= MAX_CODE_CHARACTERS)


def distinct(functions: Iterable[MinedFunction]) -> list[MinedFunction]:
    """The functions whose code and docstring have not come before: a repeated query has no single true answer."""
    codes: set[str] = set()
    queries: set[str] = set()
    kept = []
    for function in functions:
        code, query = content_key(function.code), " ".join(function.docstring.lower().split())
        if code not in codes and query not in queries:
            codes.add(code)
            queries.add(query)
            kept.append(function)
    return kept


def module_of(path: str) -> str:
    """The top-level module or package of a file, `asyncio` for `asyncio/tasks.py`."""
    return path.split("/", maxsplit=1)[0].removesuffix(".py")


def split_by_module(functions: list[MinedFunction]) -> dict[str, list[MinedFunction]]:
    """Fill test, then valid, with whole modules in the order of their names' digests; the rest is for training.

    A module that is too large for what is left of a split is passed over, so that the smallest ones fill it exactly.
    """
    modules: dict[str, list[MinedFunction]] = defaultdict(list)
    for function in functions:
        modules[module_of(function.path)].append(function)
    order = sorted(modules, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    splits: dict[str, list[MinedFunction]] = {"train": [], "valid": [], "test": []}
    for split, target in (("test", TEST_PAIRS), ("valid", VALID_PAIRS)):
        for name in list(order):
            if len(modules[name]) <= min(MAX_HELD_OUT_MODULE, target - len(splits[split])):
                splits[split] += modules[name]
                order.remove(name)
        if len(splits[split]) != target:
            raise SystemExit(f"{split}: whole modules give {len(splits[split])} pairs, expected {target}")
    splits["train"] = [function for name in order for function in modules[name]]
    return {name: sorted(part, key=lambda f: (f.path, f.line)) for name, part in splits.items()}


def seen() -> dict[str, dict[str, Any]]:
    """Where queries of the sample stand in the pre-training corpus, by path and name of their function."""
    found: dict[str, dict[str, Any]] = json.loads(SEEN.read_text(encoding="utf-8"))["seen"]
    return found


def set_aside(
    splits: dict[str, list[MinedFunction]], found: dict[str, dict[str, Any]]
) -> dict[str, list[MinedFunction]]:
    """The splits, with the test rows whose query was seen in pre-training in a part of their own."""
    known = [f"{function.path}:{function.name}" in found for function in splits["test"]]
    parts = {wanted: [f for f, is_known in zip(splits["test"], known, strict=True) if is_known is wanted]
             for wanted in (False, True)}  # fmt: skip
    return splits | {"test": parts[False], "seen": parts[True]}


def write(file: Path, functions: list[MinedFunction]) -> None:
    """One JSON object a line, with line feeds on every platform."""
    with file.open("w", encoding="utf-8", newline="\n") as out:
        for f in functions:
            row = {"query": f.docstring, "code": f.code, "path": f.path, "name": f.name, "line": f.line}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def readme(splits: dict[str, list[MinedFunction]]) -> str:
    """The sample's README with its counts."""
    rows = []
    for name, functions in splits.items():
        modules = Counter(module_of(function.path) for function in functions)
        largest = ", ".join(f"`{module}` ({count})" for module, count in modules.most_common(4))
        rows.append(f"| `{name}.jsonl` | {len(functions):,} | {len(modules)} | {largest} |")
    return README.format(
        total=f"{sum(map(len, splits.values())):,}",
        seen=_seen_told(splits["seen"]),
        version=platform.python_version(),
        rows="\n".join(rows),
        characters=MAX_CODE_CHARACTERS,
    )


def _seen_told(functions: list[MinedFunction]) -> str:
    known = json.loads(SEEN.read_text(encoding="utf-8"))
    likeness = [known["seen"][f"{function.path}:{function.name}"]["similarity"] for function in functions]
    return SEEN_TOLD.format(
        count=len(functions),
        copies=sum(value >= LIKE for value in likeness),
        others=sum(found["split"] != "test" for found in known["seen"].values()),
        packages=len(known["searched"]),
        share=f"{known['share_of_functions']:.0%}",
    )


LIKE = 0.3
"""Similarity of the code (estimated Jaccard index of shingles of five tokens) from which a function is a copy."""
SEEN_TOLD = """\
`seen.jsonl` is no split. It holds {count} rows that belong to the test modules, but whose query stands word for word in
the corpus that telly-mini was pre-trained on: in {copies} of them the code is a modified copy as well, the others share
the sentence alone. (Functions that equal one of the standard library, or nearly, were left out of that corpus; these
are what its rules let through.) No evaluation reads them. {others} queries of `train.jsonl` and `valid.jsonl` stand
there, too; the model may be tuned on them. `scripts/find_seen.py` found them in {packages} of the corpus's 239
packages, which hold {share} of its functions; a few more may stand in the others. `scripts/sample_seen.json` lists all
with their package, function and similarity."""
README = """\
# Sample: functions of CPython's standard library with their docstrings

{total} distinct function/docstring pairs for code search, mined from the standard library of CPython {version}. Made by
`scripts/make_sample.py`, which writes the same bytes when it is run again with the same release.

| file | pairs | modules | largest modules |
|---|---|---|---|
{rows}

One JSON object a line: `query` (the docstring's first paragraph on one line), `code` (the function without its
docstring and without blank lines), `path` (file in the library), `name` (with its class), `line` (of `def`).

{seen}

- No code and no query comes twice, over all files (code is compared without the function's name, comments and
  layout, queries without case).
- A module is a top-level file or package. No module is in two splits.
- Left out: tests, `turtledemo`, installed packages; functions of fewer than three lines or more than {characters:,}
  characters; docstrings of fewer than three words or with other than ASCII characters.

The code is copyright of the Python Software Foundation and others, under the licence in `LICENSE-CPython.txt`. The
docstrings were taken out of the functions; nothing else was changed but blank lines and indentation.
"""


if __name__ == "__main__":
    main()
