"""`telly data from-repo`: mine a repository into a folder of training, validation and test data, or write nothing."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from telly.disk import whole_folder, write_json
from telly.errors import ConfigError, DataError
from telly.mining.parallel import cores
from telly.mining.repository import history
from telly.mining.repository.collect import CollectOptions, Counts, Spool, collect, distinct, printable
from telly.mining.repository.ignored import repository_with
from telly.mining.repository.languages import NAMES
from telly.mining.repository.licences import licence_files
from telly.mining.repository.rows import MiningJob, write_rows
from telly.mining.repository.splits import SPLITS, SplitCriterion, SplitRatios, by_date, by_path
from telly.mining.repository.walk import SkippedFile
from telly.mining.target import MiningTarget

FORMAT = 1
"""Version of the record's format."""
RECORD = "mining.json"
"""File in the output folder that records the source, the settings and the counts."""


@dataclass(frozen=True)
class MiningSettings:
    """Settings of mining a repository.

    Args:
        task: name of the task that the data is for.
        target: the task's declaration of its data, `telly.tasks.spec.TaskSpec.mining`.
        split: criterion by which files are assigned to splits: `file`, a hash of the path, or `date`, that of the last
            change.
        shares: fractions for validation and test, of the files with `file` and of the functions with `date`.
        languages: names of the languages to read; () for all.
        tests: whether to read test files.
        limit: maximum number of functions, drawn at random. [default: the task's]
        seed: seed of the draw.

    Raises:
        ConfigError: there is no such language or split.
    """

    task: str
    target: MiningTarget
    split: SplitCriterion = "file"
    shares: SplitRatios = field(default_factory=SplitRatios)
    languages: tuple[str, ...] = ()
    tests: bool = False
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check_known("split", self.split, ["file", "date"])
        for language in self.languages:
            _check_known("language", language, list(NAMES))
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"the limit must be at least 1 function, found {self.limit}")
        only = self.target.languages
        if only and self.languages and not set(self.languages) & set(only):
            raise ConfigError(
                f"data for {self.task!r} is mined from {', '.join(only)} alone, found {', '.join(self.languages)}; "
                "other languages have no rewriting that is known to keep behaviour"
            )


def _check_known(option: str, value: str, known: list[str]) -> None:
    if value not in known:
        raise ConfigError(f"unknown {option} {value!r}; known: {', '.join(known)}")


@dataclass
class Mined:
    """Result of mining; `mining.json` has the same content.

    Attributes:
        folder: folder of the data.
        rows: number of rows by split.
        functions: number of functions by split.
        counts: counts of what was read, left out and masked.
        licences: licence files, each as its path and the name of its licence.
    """

    folder: Path
    rows: dict[str, int]
    functions: dict[str, int]
    counts: Counts
    licences: list[tuple[str, str]]

    @property
    def empty_splits(self) -> list[str]:
        """Splits without rows."""
        return [split for split in SPLITS if not self.rows[split]]


def mine(source: str, output: Path, settings: MiningSettings, workers: int | None = None) -> Mined:
    """Mine a repository into a new folder.

    Args:
        source: a folder, or the address of a git repository.
        output: the folder to create; an empty one may exist.
        settings: settings of mining.
        workers: number of reading processes; the result does not depend on it.

    Raises:
        DataError: the source cannot be read or has nothing to mine, or the output is not empty.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DataError(f"{output}: is not empty; expected a new folder for the data: choose another or remove it")
    with _source_folder(source, with_history=settings.split == "date") as root, whole_folder(output) as partial:
        return _mine(source, root, output, partial, settings, workers or cores())


def _mine(source: str, root: Path, output: Path, partial: Path, settings: MiningSettings, workers: int) -> Mined:
    """Mine the folder `root` into the folder `partial`, which becomes `output` if nothing fails."""
    target = settings.target
    languages = settings.languages
    if target.languages:
        languages = tuple(name for name in target.languages if not languages or name in languages)
    options = CollectOptions(documented=target.documented, cuts=target.cuts, languages=languages, tests=settings.tests)
    repository = repository_with(root)
    dates = _dates(root, repository) if settings.split == "date" else {}
    with tempfile.TemporaryDirectory(dir=partial, prefix="spool") as spools:
        spool = Spool(Path(spools))
        try:
            counts = collect(root, options, spool, workers)
            if not len(spool):
                raise DataError(_no_functions_message(source, counts, settings, languages))
            split_of = _splits(spool, dates, settings)
            indices = distinct(spool, split_of, counts.left_out, documented=target.documented)
            indices = _within_limit(
                spool, indices, settings.limit or target.max_functions, counts.left_out, settings.seed
            )
            rows = write_rows(target, MiningJob(spool, indices, partial, settings.seed, workers, counts.left_out))
        finally:
            spool.close()
    functions = {split: len(indices[split]) for split in SPLITS}
    mined = Mined(output, rows, functions, counts, licence_files(repository or root))
    write_json(partial / RECORD, _record(source, repository, settings, mined))
    return mined


def _splits(spool: Spool, dates: dict[str, int], settings: MiningSettings) -> dict[str, str]:
    """The split of every file, by path."""
    functions = Counter(spool.paths)
    if settings.split == "date":
        return by_date(functions, dates, settings.shares)
    return {path: by_path(path, settings.shares) for path in functions}


def _within_limit(
    spool: Spool, indices: dict[str, list[int]], limit: int | None, left_out: Counter[str], seed: int
) -> dict[str, list[int]]:
    """At most `limit` functions of all splits, as indices by split; the others are counted in `left_out`.

    They are chosen by a hash of each function alone, so that most choices stay the same when the repository grows.
    """
    total = sum(map(len, indices.values()))
    if limit is None or total <= limit:
        return indices

    def rank(index: int) -> bytes:
        return hashlib.blake2b(spool.keys[index] + str(seed).encode(), digest_size=16).digest()

    chosen = set(sorted((i for part in indices.values() for i in part), key=rank)[:limit])
    left_out["beyond the limit"] += total - limit
    return {split: [i for i in part if i in chosen] for split, part in indices.items()}


def _dates(root: Path, repository: Path | None) -> dict[str, int]:
    """Times of the last changes of files, in seconds since 1970, by path in the folder that is read."""
    if repository is None:
        raise DataError(
            f"{root}: in no git repository, or ignored by it, so files have no dates of commits; use --split file"
        )
    # Git reports paths from the repository's top, of which `root` may be a part.
    inside = root.relative_to(repository).as_posix()
    prefix = "" if inside == "." else f"{inside}/"
    changes = history.last_changes(repository)
    return {path.removeprefix(prefix): date for path, date in changes.items() if path.startswith(prefix)}


@contextmanager
def _source_folder(source: str, *, with_history: bool) -> Iterator[Path]:
    """The folder to read; the clone of a remote repository is removed at the end of the context."""
    try:
        path = Path(source).resolve()
        exists = path.exists()
    except (OSError, RuntimeError, ValueError):  # not every address is a valid path
        exists = False
    if exists:
        if not path.is_dir():
            raise DataError(f"{source}: is a file; expected the folder of a repository, or the address of one")
        yield path
    elif history.is_address(source):
        with tempfile.TemporaryDirectory(prefix="telly-clone-") as folder:
            copy = Path(folder).resolve() / "repository"
            history.clone(source, copy, history=with_history)
            yield copy
    else:
        raise DataError(f"{source}: no such folder; expected the folder of a repository, or an address: https://...")


def _no_functions_message(source: str, counts: Counts, settings: MiningSettings, languages: tuple[str, ...]) -> str:
    """The message of the error for a source without functions: why they were left out, and what is read."""
    what = f"{' or '.join(languages)} functions" if languages else "functions"
    kind = f"documented {what}" if settings.target.documented else what
    reasons = Counter(item.reason for item in counts.skipped) + counts.left_out
    why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common(5)) or "no source files"
    only = f"; data for {settings.task!r} is mined from {', '.join(settings.target.languages)} alone"
    return (
        f"{history.without_credentials(source)}: no {kind} found ({why})"
        f"{only if settings.target.languages else ''}; expected sources in {', '.join(languages or NAMES)}"
    )


def _record(source: str, repository: Path | None, settings: MiningSettings, mined: Mined) -> dict[str, Any]:
    """The content of `RECORD`."""
    counts = mined.counts
    return {
        "format": FORMAT,
        "source": printable(history.without_credentials(source)),
        "commit": history.commit_of(repository) if repository is not None else None,
        "settings": {name: value for name, value in asdict(settings).items() if name != "target"},
        "rows": mined.rows,
        "functions": mined.functions,
        "languages": {
            name: {"files": counts.files[name], "functions": counts.functions[name]} for name in sorted(counts.files)
        },
        "files_skipped": dict(Counter(item.reason for item in counts.skipped).most_common()),
        "functions_left_out": dict(counts.left_out.most_common()),
        "licences": [{"file": printable(file), "licence": name} for file, name in mined.licences],
        "spdx": dict(counts.spdx.most_common()),
        "secrets": [{"file": printable(path), "line": line, "kind": kind} for path, line, kind in counts.secrets],
        "skipped": [{"file": printable(item.path), "reason": item.reason} for item in _by_path(counts.skipped)],
    }


def _by_path(skipped: list[SkippedFile]) -> list[SkippedFile]:
    return sorted(skipped, key=lambda item: (item.path, item.reason))


def summary_lines(mined: Mined) -> list[str]:
    """Readable summary of what was mined, with its caveats."""
    counts = mined.counts
    skipped = Counter(item.reason for item in counts.skipped)
    lines = [f"{'split':<10} {'functions':>10} {'rows':>10}"]
    lines += [f"{split:<10} {mined.functions[split]:>10,} {mined.rows[split]:>10,}" for split in SPLITS]
    lines += ["", f"{'language':<10} {'files':>10} {'functions':>10}"]
    lines += [f"{name:<10} {n:>10,} {counts.functions[name]:>10,}" for name, n in sorted(counts.files.items())]
    for title, reasons in (("files and folders skipped", skipped), ("functions left out", counts.left_out)):
        if reasons:
            lines += ["", f"{title}: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())]
    if counts.secrets:
        kinds = Counter(kind for _, _, kind in counts.secrets)
        shown_kinds = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
        lines += [
            "",
            f"secrets masked: {shown_kinds}; {RECORD} says where. They are still in the repository: revoke them",
        ]
    lines += ["", _licence_notice(mined)]
    # If more copies were left out than functions remain, more files of the same kind would hardly help.
    copies = sum(count for reason, count in counts.left_out.items() if "duplicate" in reason)
    cause = (
        "too few files" if copies < sum(mined.functions.values()) else "nearly all functions are copies of each other"
    )
    for split in mined.empty_splits:
        # The training data has no share of its own: it gets what the others leave.
        shares = "smaller --valid-share and --test-share" if split == "train" else f"a larger --{split}-share"
        lines.append(f"{split} has no rows: {cause}; give {shares} or mine more")
    lines.append(f"wrote {mined.folder}")
    return lines


def _licence_notice(mined: Mined) -> str:
    # Licences of the whole repository, and those that single files declare in a line `SPDX-License-Identifier:`.
    names = sorted({name for _, name in mined.licences} | set(mined.counts.spdx))
    if not names:
        return "licence: none found. Without one the code is its authors' alone: ask them before you share this data"
    return f"licence: {', '.join(names)}. The data stays under it, and a model may repeat it: read it before you share"
