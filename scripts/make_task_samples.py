"""Make the samples of line completion, clone detection, clone retrieval and classification that the package ships.

Run it with the interpreter that `make_sample.py` was run with:

    python scripts/make_task_samples.py [FOLDER]

The same CPython release gives the same bytes. Everything comes from the functions of the sample for code search (for
classification also from functions without docstrings) and stays in the split of its module: no module is in two splits.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import platform
import random
import re
import sysconfig
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import telly.data
from make_sample import library_functions, module_of
from telly.mining.repository.rows import cut
from telly.mining.scopes import identifiers
from telly.mining.variants import parse_function, variants_of
from telly.tasks import get_spec

Row = dict[str, Any]
MAX_BYTES = 1_100_000
COMPLETE = {"train": 1500, "valid": 150, "test": 300}  # rows
CLONE = {"train": 200, "valid": 34, "test": 67}  # functions, six pairs each
RETRIEVAL = {"train": 250, "valid": 40, "test": 80}  # labels
CLASSIFY = {"train": 1000, "valid": 150, "test": 300}  # rows at most
CUTS = 2
MIN_TOKENS = 3
CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Make the sample data of further tasks from the sample and the library."
    )
    default = Path(telly.data.__file__).parent / "sample"
    parser.add_argument("folder", nargs="?", type=Path, default=default, help="where to write (default: the package)")
    folder: Path = parser.parse_args().folder
    rows = {split: _read(file) for split, file in get_spec("search").sample.files().items()}
    aside = _read(
        get_spec("search").sample.files()["test"].with_name("seen.jsonl")
    )  # functions of test modules like any other here
    rows["test"] = sorted([*rows["test"], *aside], key=lambda row: (row["path"], row["line"]))
    makers: dict[str, Callable[[dict[str, list[Row]], Path], str]] = {
        "complete": make_complete,
        "clone": make_clone,
        "clone-retrieval": make_retrieval,
        "classify": make_classify,
    }
    for task, make in makers.items():
        own = folder / task
        own.mkdir(parents=True, exist_ok=True)
        readme = make(rows, own).format(version=platform.python_version(), licence=LICENCE)
        (own / "README.md").write_text(readme, encoding="utf-8", newline="\n")
        size = sum(file.stat().st_size for file in own.iterdir())
        print(f"{task}: {size:,} bytes")
        if size > MAX_BYTES:
            raise SystemExit(f"{task} has {size:,} bytes, expected at most {MAX_BYTES:,}; take shorter functions")


def make_complete(rows: dict[str, list[Row]], folder: Path) -> str:
    """Functions cut before a line in their body."""
    counts, seen = [], set[str]()
    for split, wanted in COMPLETE.items():
        found: list[Row] = []
        for row in _shuffled(rows[split], "complete", range(0, 2000)):
            lines = row["code"].split("\n")
            places = _inner_lines(row["code"])
            rng = random.Random(_digest("complete", row))
            for at in sorted(rng.sample(places, min(CUTS, len(places)))):
                row_of_cut = {**cut(lines, at), "path": row["path"], "name": row["name"]}
                key = _squeezed(row_of_cut["context"])
                if len(found) < wanted and key not in seen:
                    seen.add(key)
                    found.append(row_of_cut)
        counts.append(_write(folder / f"{split}.jsonl", found))
    return _with_counts(COMPLETE_README, counts)


def _inner_lines(code: str) -> list[int]:
    """Lines of a function's body that hold enough code, none of them within a string of several lines."""
    function = parse_function(code)
    if function is None:
        return []
    tokens: Counter[int] = Counter()
    quoted: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type in {tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP}:
            tokens[token.start[0]] += 1
            quoted |= set(range(token.start[0], token.end[0] + 1)) if token.end[0] > token.start[0] else set()
    first = function.body[0].lineno
    return [line - 1 for line, count in tokens.items() if line >= first and count >= MIN_TOKENS and line not in quoted]


@dataclass
class Family:
    """A function and its variants, all named f."""

    row: Row
    texts: list[str]
    words: set[str]


def families(rows: list[Row], task: str, sizes: range, variants: int, seen: set[str]) -> Iterator[Family]:
    """Functions that give enough variants, none of whose texts has come before."""
    for row in _shuffled(rows, task, sizes):
        code = re.sub(r"\bdef\s+\w+", "def f", row["code"], count=1)
        function = parse_function(code)
        if function is None:
            continue
        texts = [code, *variants_of(code, variants, random.Random(_digest(task, row)))]
        keys = {_squeezed(text) for text in texts}
        if len(texts) == variants + 1 and not keys & seen:
            seen |= keys
            yield Family(row, texts, identifiers(function) - {"f", "self"})


def make_clone(rows: dict[str, list[Row]], folder: Path) -> str:
    """Pairs in BigCloneBench's layout."""
    functions: list[Row] = []
    counts, seen = [], set[str]()
    for split, wanted in CLONE.items():
        chosen = _first(families(rows[split], "clone", range(250, 1000), 2, seen), wanted, f"clone {split}")
        start = len(functions)
        for family in chosen:
            for number, text in enumerate(family.texts):
                origin = {"path": family.row["path"], "name": family.row["name"], "variant": number}
                functions.append({"idx": str(len(functions)), "func": text, **origin})
        rng = random.Random(f"clone {split}")
        lines = [f"{start + left}\t{start + right}\t{label}\n" for left, right, label in pairs(chosen, rng)]
        (folder / f"{split}.txt").write_text("".join(lines), encoding="utf-8", newline="\n")
        counts.append((f"{split}.txt", len(lines), _modules([family.row for family in chosen])))
    _write(folder / "data.jsonl", functions)
    readme = _with_counts(CLONE_README, counts)
    return readme.replace("@functions", f"{len(functions):,}").replace("@origins", f"{len(functions) // 3:,}")


def pairs(chosen: list[Family], rng: random.Random) -> list[tuple[int, int, int]]:
    """Six pairs a function: its three clones, and as many negatives that join the same kinds of text.

    So whether a text is an original or a variant tells nothing about the label.
    """
    kinds = ((0, 1), (2, 0), (1, 2))
    found = []
    for number, family in enumerate(chosen):
        order = sorted((-_likeness(family, other), at) for at, other in enumerate(chosen) if at != number)
        hard = [at for _, at in order[:2]][: 2 - number % 2]
        rest = [at for at in range(len(chosen)) if at != number and at not in hard]
        others = hard + rng.sample(rest, 3 - len(hard))
        rng.shuffle(others)
        for (left, right), other in zip(kinds, others, strict=True):
            found.append((3 * number + left, 3 * number + right, 1))
            found.append((3 * number + left, 3 * other + right, 0))
    rng.shuffle(found)
    return found


def _likeness(one: Family, other: Family) -> float:
    """Jaccard index of the identifiers."""
    return len(one.words & other.words) / max(1, len(one.words | other.words))


def make_retrieval(rows: dict[str, list[Row]], folder: Path) -> str:
    """Programs in POJ-104's layout: the label is the function that a text is a variant of."""
    counts, seen, label = [], set[str](), 0
    for split, wanted in RETRIEVAL.items():
        chosen = _first(families(rows[split], "retrieval", range(150, 650), 4, seen), wanted, f"retrieval {split}")
        found = []
        for family in chosen:
            for number, text in enumerate(family.texts):
                origin = {"path": family.row["path"], "name": family.row["name"]}
                found.append({"label": str(label), "index": str(number), "code": text, **origin})
            label += 1
        counts.append(_write(folder / f"{split}.jsonl", found))
    return _with_counts(RETRIEVAL_README, counts)


def make_classify(rows: dict[str, list[Row]], folder: Path) -> str:
    """Functions whose name is hidden, and the first word of the name."""
    split_of = {module_of(row["path"]): split for split, part in rows.items() for row in part}
    candidates: dict[str, list[Row]] = {split: [] for split in rows}
    for function in library_functions(Path(sysconfig.get_paths()["stdlib"]), documented=False):
        split, verb = split_of.get(module_of(function.path)), first_word(function.name)
        if split is not None and verb is not None:
            code = re.sub(rf"\b{re.escape(function.name.split('.')[-1])}\b", "f", function.code)
            origin = {"path": function.path, "name": function.name, "line": function.line}
            candidates[split].append({"code": code, "label": verb, **origin})
    classes = {verb for verb, _ in Counter(row["label"] for row in candidates["train"]).most_common(CLASSES)}
    counts, seen = [], set[str]()
    tables: dict[str, Counter[str]] = {}
    for split, wanted in CLASSIFY.items():
        found: list[Row] = []
        for row in _shuffled(candidates[split], "classify", range(60, 1000)):
            key = _squeezed(row["code"])
            if row["label"] in classes and key not in seen and len(found) < wanted:
                seen.add(key)
                found.append(row)
        counts.append(_write(folder / f"{split}.jsonl", found))
        tables[split] = Counter(row["label"] for row in found)
    order = [verb for verb, _ in tables["train"].most_common()]
    shares = ", ".join(f"`{verb}` ({'/'.join(str(tables[split][verb]) for split in CLASSIFY)})" for verb in order)
    return _with_counts(CLASSIFY_README, counts).replace("@classes", shares)


def first_word(name: str) -> str | None:
    """The first word of a function's own name in lower case, `get` of `Pool._getItem`; None for special methods."""
    own = name.rsplit(".", maxsplit=1)[-1]
    word = re.match(r"_*([A-Z]?[a-z]+)", own)
    return word[1].lower() if word and not own.startswith("__") else None


def _read(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _digest(task: str, row: Row) -> str:
    return hashlib.sha256(f"{task} {row['path']} {row['name']} {row['code']}".encode()).hexdigest()


def _shuffled(rows: list[Row], task: str, sizes: range) -> list[Row]:
    """Rows whose code has one of the sizes in characters, in an order that looks random and is always the same."""
    return sorted((row for row in rows if len(row["code"]) in sizes), key=lambda row: _digest(task, row))


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _first(found: Iterator[Family], wanted: int, what: str) -> list[Family]:
    chosen = [family for family, _ in zip(found, range(wanted), strict=False)]
    if len(chosen) < wanted:
        raise SystemExit(f"{what}: {len(chosen)} functions fit, expected {wanted}; allow longer ones")
    return chosen


Count = tuple[str, int, int]  # file, rows, modules


def _write(file: Path, rows: list[Row]) -> Count:
    """One JSON object a line, with line feeds on every platform."""
    with file.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return file.name, len(rows), _modules(rows)


def _modules(rows: list[Row]) -> int:
    return len({module_of(row["path"]) for row in rows})


def _with_counts(readme: str, counts: list[Count]) -> str:
    return readme.replace(
        "@counts", "\n".join(f"| `{name}` | {rows:,} | {modules} |" for name, rows, modules in counts)
    )


LICENCE = """\
The code is copyright of the Python Software Foundation and others, under the licence in `../LICENSE-CPython.txt`. Made
by `scripts/make_task_samples.py`, which writes the same bytes when it is run again with the same release."""

COMPLETE_README = """\
# Sample for line completion

Functions of CPython {version}'s standard library, cut before a random line of their body. From the functions of `..`,
with its split by modules: no module is in two files, and no context comes twice.

| file | rows | modules |
|---|---|---|
@counts

`context` is the code before the line with its line breaks, up to the line's own indentation, and at most 1,500
characters from the end; `line` is the line without indentation, so that `context` + `line` is what stands in the file.
`path` and `name` say where it is from. A line has at least three tokens and is neither blank nor a comment nor part of
a string that goes over several lines; a function gives at most two rows.

Limits: the code before the line is that of its function alone, without imports and class, and without docstring.

{licence}
"""

CLONE_README = """\
# Sample for clone detection

@origins functions of CPython {version}'s standard library, each with two variants that behave like it
(`telly.mining.variants`: other names of variables, conditions turned round, loops, returns and comprehensions written
in another way, statements in another order, values with a name of their own or without), in BigCloneBench's layout:
`data.jsonl` has the @functions functions (`idx`, `func`, and where they are from), the other files have a pair a line,
`idx1 idx2 label`. Functions are from `..`, with its split by modules: no module and no text is in two splits.

| file | pairs | modules |
|---|---|---|
@counts

Half of the pairs are clones (label 1): a function and a variant, or two variants. Half are not: two functions or
variants of the same kinds, either drawn at random or, as often, the function with the most identifiers in common. All
functions are named `f`, so the name does not tell.

Limits: clones are made by rules, not by people, and share attributes, called functions and texts; a model that scores
well here has learnt to see through these rules and may know nothing about functions written independently.

{licence}
"""

RETRIEVAL_README = """\
# Sample for clone retrieval

Functions of CPython {version}'s standard library with four variants each that behave like them (see
`telly.mining.variants`), in POJ-104's layout: `label` (the same for a function and its variants), `index` (0 is the
original), `code`, and where it is from. Functions are from `..`, with its split by modules: no module, label or text is
in two files.

| file | rows | modules |
|---|---|---|
@counts

Five rows a label. All functions are named `f`.

Limits: variants are made by rules and share attributes, called functions and texts, so they are far easier to find
than programs that different people wrote for one problem.

{licence}
"""

CLASSIFY_README = """\
# Sample for classification: the verb of a function's name

Functions of CPython {version}'s standard library without their docstring, and as `label` the first word of their name,
where it is one of the ten that are most frequent in the training data. The function's own name is `f` wherever it
stands in its code. With functions that have no docstring; the split by modules is that of `..`: no module and no
code is in two files.

| file | rows | modules |
|---|---|---|
@counts

Rows by class (train/valid/test): @classes.

`code`, `label`, and where it is from (`path`, `name`, `line`).

Limits: names are no sure labels (`get`, `find` and `read` overlap), and the classes are unbalanced: compare accuracy
with the share of the most frequent class.

{licence}
"""


if __name__ == "__main__":
    main()
