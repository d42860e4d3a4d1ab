"""Copies of the results behind a URL, since a report reads folders and its page names files that one can go to."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from telly.analysis import COMPARE_FILE, PROBING_FILE
from telly.errors import ConfigError
from telly.metrics.kept import SCORES_FILE
from telly.report.runs import PASSED_BY
from telly.tuning.record import RECORD_FILE
from telly.urls import file_system, is_url

FETCHED = "fetched"
"""Folder of the copies, in the report's."""
_READ = frozenset({RECORD_FILE, SCORES_FILE, "config.toml", PROBING_FILE, COMPARE_FILE})


def local(places: Iterable[str], output: Path) -> tuple[list[Path], list[Path]]:
    """Folders in place of URLs: what a report reads of the files behind them is copied, and no weights.

    Args:
        places: folders, and URLs of any kind that fsspec knows.
        output: the report's folder.

    Returns:
        the folders, and the files that were copied.

    Raises:
        ConfigError: a URL cannot be read, or has no results.
    """
    folders, copies = [], []
    for place in places:
        if not is_url(place):
            folders.append(Path(place))
            continue
        folder = output / FETCHED / re.sub(r"[^\w.]+", "-", place).strip("-")
        folders.append(folder)
        copies += _fetch(place, folder)
    return folders, copies


def _fetch(url: str, folder: Path) -> list[Path]:
    """Copy what a report reads; the copy of an earlier time is replaced once this one is whole."""
    system, root = file_system(url, "telly report")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        names = sorted(name for path in system.find(root) if _is_read(name := path[len(root) :].lstrip("/")))
        for name in names:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            system.get_file(f"{root}/{name}", str(partial / name))
        if not names:
            raise ConfigError(f"{url}: expected results of telly, found none; give the --output of `telly study`")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError as error:
        raise ConfigError(f"{url}: cannot be read: {error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [folder / name for name in names]


def _is_read(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name in _READ and ".." not in path.parts and not set(path.parts[:-1]) & set(PASSED_BY)
