"""The files of each task from mined functions, in the layout that `telly tune` reads."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from telly.data.formats import FUNCTIONS, PAIRS
from telly.errors import DataError
from telly.mining.copies import content_key
from telly.mining.repository.collect import Spool, SpoolEntry, shown
from telly.mining.repository.secrets import mask
from telly.mining.repository.splits import SPLITS

CONTEXT_CHARACTERS = 1500
CUTS = 2
"""Lines to complete that one function gives at most."""
CLONE_FUNCTIONS = 10_000
"""Comparing all functions with all others grows with the square of their number."""


@dataclass(frozen=True)
class MiningJob:
    """Sources of a task's files.

    Args:
        spool: the functions.
        numbers: those of each split.
        folder: where the files go.
        seed: decides what is drawn.
        workers: how many processes may work.
        left_out: counts what is left out.
    """

    spool: Spool
    numbers: Mapping[str, list[int]]
    folder: Path
    seed: int
    workers: int
    left_out: Counter[str]

    def entries(self, split: str) -> Iterator[SpoolEntry]:
        """The functions of a split."""
        return map(self.spool.entry, self.numbers[split])


@dataclass(frozen=True)
class Target:
    """How a task's data is mined and written.

    Args:
        write: writes the files and gives the rows of each split.
        documented: whether functions need a description.
        cuts: whether lines to complete are needed.
        languages: the only ones that there is data for; () for all.
        most: functions that are taken at most, unless another limit is asked for.
    """

    write: Callable[[MiningJob], dict[str, int]]
    documented: bool = True
    cuts: bool = False
    languages: tuple[str, ...] = ()
    most: int | None = None


def _origin(entry: SpoolEntry) -> dict[str, object]:
    function = entry.function
    return {"language": entry.language, "path": shown(entry.path), "name": function.name, "starts": function.line}


def _described(column: str) -> Callable[[MiningJob], dict[str, int]]:
    """Rows of a description under the task's name for it, and the code."""

    def write(job: MiningJob) -> dict[str, int]:
        def found(split: str) -> Iterator[dict[str, object]]:
            for entry in job.entries(split):
                yield {column: entry.function.description, "code": entry.function.code, **_origin(entry)}

        return {split: _write_rows(job.folder / f"{split}.jsonl", found(split)) for split in SPLITS}

    return write


def write_complete(job: MiningJob) -> dict[str, int]:
    """Functions cut before a line of their body. A context comes once; what is in two splits stays in the first."""
    seen: set[str] = set()

    def found(split: str) -> Iterator[dict[str, object]]:
        for entry in job.entries(split):
            function = entry.function
            rng = random.Random(f"{job.seed} {entry.path} {function.name} {function.line}")
            lines = function.code.split("\n")
            for at in sorted(rng.sample(function.cuts, min(CUTS, len(function.cuts)))):
                row = cut(lines, at)
                key = "".join(row["context"].split())
                if key in seen:
                    job.left_out["same context as another"] += 1
                else:
                    seen.add(key)
                    yield {**row, **_origin(entry)}

    return {split: _write_rows(job.folder / f"{split}.jsonl", found(split)) for split in SPLITS}


def cut(lines: list[str], at: int) -> dict[str, str]:
    """Context and line of a cut before `lines[at]`; context + line is what stands in the file.

    The context begins at a line and has at most `CONTEXT_CHARACTERS`.
    """
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    start = at
    length = len(indent)
    while start and length + len(lines[start - 1]) + 1 <= CONTEXT_CHARACTERS:
        start -= 1
        length += len(lines[start]) + 1
    return {"context": "".join(f"{line}\n" for line in lines[start:at]) + indent, "line": lines[at].strip()}


def write_clone(job: MiningJob) -> dict[str, int]:
    """Pairs in BigCloneBench's layout.

    Raises:
        DataError: there are no two functions that can be rewritten.
    """
    from telly.mining.repository.pairs import families, pairs

    counts: dict[str, int] = {}
    texts: set[str] = set()
    size = 0
    with (job.folder / FUNCTIONS).open("w", encoding="utf-8", newline="\n") as out:
        for split in SPLITS:
            chosen = []
            for family in families(job.entries(split), job.seed, job.workers):
                members = {content_key(text) for text in (*family.texts, family.mutant)}
                if not members & texts:
                    texts |= members
                    chosen.append(family)
            job.left_out["cannot be rewritten"] += len(job.numbers[split]) - len(chosen)
            for family in chosen:
                kinds = ("original", "variant", "variant", "mutant")
                for kind, text in zip(kinds, (*family.texts, family.mutant), strict=True):
                    # a variant joins what stood in pieces, such as a key in two texts side by side
                    row = {"idx": str(size), "func": mask(text)[0], "kind": kind, **_origin(family.entry)}
                    out.write(_line(row))
                    size += 1
            start = size - 4 * len(chosen)
            rng = random.Random(f"{job.seed} {split}")
            lines = [f"{start + a}\t{start + b}\t{label}\n" for a, b, label in pairs(chosen, rng)]
            counts[split] = len(lines)
            if lines:
                (job.folder / f"{split}{PAIRS}").write_text("".join(lines), encoding="utf-8", newline="\n")
    if not size:
        raise DataError("no Python function that is left can be rewritten in two ways; clones need larger functions")
    return counts


def _write_rows(file: Path, rows: Iterator[dict[str, object]]) -> int:
    """Write JSON lines, and no file for none; how many there are."""
    count = 0
    with file.open("w", encoding="utf-8", newline="\n") as out:
        for row in rows:
            out.write(_line(row))
            count += 1
    if not count:
        file.unlink()
    return count


def _line(row: dict[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False).encode(errors="replace").decode() + "\n"


TARGETS: dict[str, Target] = {
    "search": Target(_described("query")),
    "summarize": Target(_described("summary")),
    "generate": Target(_described("description")),
    "complete": Target(write_complete, documented=False, cuts=True),
    "clone": Target(write_clone, documented=False, languages=("python",), most=CLONE_FUNCTIONS),
}
"""The tasks that a repository gives data for."""
