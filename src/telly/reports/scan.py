"""Search of folders for results of `telly tune`, `telly probe` and `telly compare`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telly.analysis import COMPARE_FILE, PROBING_FILE
from telly.errors import ConfigError, DataError
from telly.runs.find import LeftOut, StoredRun, find_files, find_runs
from telly.runs.folder import RECORD_FILE


@dataclass(frozen=True)
class StoredResult:
    """A result file of `telly probe` or `telly compare`, with its folder."""

    folder: Path
    content: dict[str, Any]


@dataclass(frozen=True)
class ScanResult:
    """Results found in some folders.

    Attributes:
        runs: finished runs.
        left_out: runs that are not finished, failed, cannot be read, or were done again later.
        probes: results of `telly probe`.
        comparisons: results of `telly compare`.
    """

    runs: tuple[StoredRun, ...]
    left_out: tuple[LeftOut, ...]
    probes: tuple[StoredResult, ...]
    comparisons: tuple[StoredResult, ...]


def find_results(folders: Iterable[Path]) -> ScanResult:
    """Find results in folders and all below them.

    Raises:
        ConfigError: one of them is not a folder, or there are no results in any.
    """
    folders = list(folders)
    for folder in folders:
        if not folder.is_dir():
            what = "a file" if folder.exists() else "nothing"
            raise ConfigError(f"{folder}: expected a folder with runs, found {what}; give the --output of `telly tune`")
    results = scan_runs(folders)
    if not (results.runs or results.probes or results.comparisons):
        reasons = "".join(f"\n  {run.folder}: {run.reason}" for run in results.left_out)
        raise ConfigError(
            f"nothing to report in {', '.join(map(str, folders))}: expected at least one finished run of `telly tune` "
            f"(with {RECORD_FILE}), or results of `telly probe` or `telly compare`; found {len(results.left_out)} runs "
            f"that cannot be used{':' if reasons else ''}{reasons}"
        )
    return results


def scan_runs(folders: Iterable[Path]) -> ScanResult:
    """Results in folders and all below them, also if there are none."""
    folders = list(folders)
    runs, left_out = find_runs(folders)
    results: dict[str, list[StoredResult]] = {PROBING_FILE: [], COMPARE_FILE: []}
    for file in find_files(folders, results):
        try:
            results[file.name].append(_result(file))
        except DataError as error:
            left_out.append(LeftOut(file.parent, str(error)))
    return ScanResult(tuple(runs), tuple(left_out), tuple(results[PROBING_FILE]), tuple(results[COMPARE_FILE]))


def _result(file: Path) -> StoredResult:
    key = {PROBING_FILE: "probes", COMPARE_FILE: "comparisons"}[file.name]
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error}); run the command again") from None
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise DataError(f"{file}: expected an object with {key!r}; found another JSON file")
    return StoredResult(file.parent, content)
