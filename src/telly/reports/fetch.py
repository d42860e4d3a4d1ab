"""Local copies of results behind a URL: a report reads folders, and its page refers to files on disk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from telly.analysis import COMPARE_FILE, PROBING_FILE
from telly.disk import whole_folder
from telly.errors import ConfigError
from telly.runs.folder import RECORD_FILE, SCORES_FILE, SETTINGS_FILE, holds_results
from telly.urls import file_system, is_url

FETCHED = "fetched"
"""Folder of the copies, within the report's folder."""
READ_FILES = frozenset({RECORD_FILE, SCORES_FILE, SETTINGS_FILE, PROBING_FILE, COMPARE_FILE})


def local_folders(places: Iterable[str], output: Path) -> tuple[list[Path], list[Path]]:
    """Replace URLs by local folders, into which the files that a report reads are copied; weights are not copied.

    Args:
        places: folders, and URLs of any kind that fsspec knows.
        output: the report's folder.

    Returns:
        the folders, and the files that were copied.

    Raises:
        ConfigError: a URL cannot be read, or has no results.
        DataError: there is no room for the copies.
    """
    folders, copies = [], []
    for place in places:
        if not is_url(place):
            folders.append(Path(place))
            continue
        folders.append(folder := output / FETCHED / _name(place))
        try:
            copies += _fetch(place, folder)
        finally:
            with suppress(OSError):
                folder.parent.rmdir()  # fails, as it should, if a copy is in it
    return folders, copies


def _name(url: str) -> str:
    """A readable folder name that is unique to a URL and does not show passwords or signatures in it."""
    parts = urlsplit(url)
    shown = re.sub(r"[^\w.]+", "-", f"{parts.scheme} {parts.netloc.rpartition('@')[2]} {parts.path}").strip("-")
    return f"{shown}-{hashlib.blake2b(url.encode(), digest_size=4).hexdigest()}"


def _fetch(url: str, folder: Path) -> list[Path]:
    """Copy the files that a report reads; an earlier copy is replaced once this one is complete."""
    system, root = file_system(url, "telly report")
    names = sorted(name for path in _from(url, system.find, root) if _is_read(name := path[len(root) :].lstrip("/")))
    if not names:
        raise ConfigError(f"{url}: expected results of telly, found none; give the --output of `telly study`")
    with whole_folder(folder, replace=True) as partial:
        for name in names:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(_from(url, system.cat_file, f"{root}/{name}"))
    return [folder / name for name in names]


def _from(url: str, read: Any, path: str) -> Any:
    """Read from a file system.

    Raises:
        ConfigError: reading failed.
    """
    try:
        return read(path)
    except Exception as error:  # noqa: BLE001 - every file system has errors of its own
        raise ConfigError(f"{url}: cannot be read: {error}") from None


def _is_read(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name in READ_FILES and ".." not in path.parts and all(map(holds_results, path.parts[:-1]))
