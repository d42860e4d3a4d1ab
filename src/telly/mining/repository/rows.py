"""The files of each task from mined functions, in the layout that `telly tune` reads."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from telly.data.formats import FUNCTIONS, PAIRS
from telly.errors import DataError
from telly.mining.copies import content_key
from telly.mining.repository.collect import Spool, SpoolEntry, printable
from telly.mining.repository.secrets import mask
from telly.mining.repository.splits import SPLITS
from telly.mining.target import MinedRows, MiningTarget

CONTEXT_CHARACTERS = 1500
CUTS = 2
"""Lines to complete that one function gives at most."""


@dataclass(frozen=True)
class MiningJob:
    """Sources of a task's files.

    Args:
        spool: functions that were collected.
        indices: indices of the functions of each split.
        folder: folder of the files to write.
        seed: seed of all random choices.
        workers: number of processes.
        left_out: counter of what is left out, by reason.
    """

    spool: Spool
    indices: Mapping[str, list[int]]
    folder: Path
    seed: int
    workers: int
    left_out: Counter[str]

    def entries(self, split: str) -> Iterator[SpoolEntry]:
        """The functions of a split."""
        return map(self.spool.entry, self.indices[split])


def write_rows(target: MiningTarget, job: MiningJob) -> dict[str, int]:
    """Write the files that a target declares.

    Returns:
        rows by split.

    Raises:
        DataError: as `write_clone`.
    """
    if target.rows is MinedRows.LINES:
        return write_complete(job)
    if target.rows is MinedRows.PAIRS:
        return write_clone(job)
    return _write_described(job, target.description)


def _origin(entry: SpoolEntry) -> dict[str, object]:
    function = entry.function
    return {"language": entry.language, "path": printable(entry.path), "name": function.name, "starts": function.line}


def _write_described(job: MiningJob, column: str) -> dict[str, int]:
    """Write rows of a description, under the task's name for it, and the code."""

    def rows(split: str) -> Iterator[dict[str, object]]:
        for entry in job.entries(split):
            yield {column: entry.function.description, "code": entry.function.code, **_origin(entry)}

    return {split: _write_rows(job.folder / f"{split}.jsonl", rows(split)) for split in SPLITS}


def write_complete(job: MiningJob) -> dict[str, int]:
    """Write functions cut before a line of their body; a context occurs once, in the first split that has it."""
    seen: set[str] = set()

    def rows(split: str) -> Iterator[dict[str, object]]:
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

    return {split: _write_rows(job.folder / f"{split}.jsonl", rows(split)) for split in SPLITS}


def cut(lines: list[str], at: int) -> dict[str, str]:
    """Context and line of a cut before `lines[at]`; context + line is the text of the file.

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
    """Write pairs in BigCloneBench's layout.

    Raises:
        DataError: there are no two functions that can be rewritten.
    """
    from telly.mining.repository.pairs import families, pairs

    counts: dict[str, int] = {}
    seen: set[str] = set()
    text_count = 0
    with (job.folder / FUNCTIONS).open("w", encoding="utf-8", newline="\n") as out:
        for split in SPLITS:
            chosen = []
            for family in families(job.entries(split), job.seed, job.workers):
                keys = {content_key(text) for text in (*family.texts, family.mutant)}
                # A text of two families would leak between splits, or make copies negatives of each other.
                if not keys & seen:
                    seen |= keys
                    chosen.append(family)
            job.left_out["cannot be rewritten"] += len(job.indices[split]) - len(chosen)
            for family in chosen:
                kinds = ("original", "variant", "variant", "mutant")
                for kind, text in zip(kinds, (*family.texts, family.mutant), strict=True):
                    # a variant may join the pieces of a secret, such as two adjacent literals, so it is masked again
                    row = {"idx": str(text_count), "func": mask(text)[0], "kind": kind, **_origin(family.entry)}
                    out.write(_line(row))
                    text_count += 1
            start = text_count - 4 * len(chosen)
            rng = random.Random(f"{job.seed} {split}")
            lines = [f"{start + a}\t{start + b}\t{label}\n" for a, b, label in pairs(chosen, rng)]
            counts[split] = len(lines)
            if lines:
                (job.folder / f"{split}{PAIRS}").write_text("".join(lines), encoding="utf-8", newline="\n")
    if not text_count:
        raise DataError("no Python function that is left can be rewritten in two ways; clones need larger functions")
    return counts


def _write_rows(file: Path, rows: Iterator[dict[str, object]]) -> int:
    """Write rows as JSON lines and return their number; without rows there is no file."""
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
