"""Locations outside this machine's file system: URLs of any kind that fsspec knows, such as `s3://bucket/study`."""

from __future__ import annotations

from typing import Any

from telly.errors import ConfigError


def is_url(location: str) -> bool:
    """Return whether a location is a URL rather than a path."""
    return "://" in location


def file_system(url: str, where: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path on it without a trailing slash.

    Args:
        url: the location.
        where: the option or setting that gave it, for the error.

    Raises:
        ConfigError: no such kind of URL is known, the package for it is not installed, or it cannot be reached.
    """
    from fsspec.core import url_to_fs

    try:
        system, root = url_to_fs(url)
    except Exception as error:  # noqa: BLE001 - every file system raises its own errors, and some connect here
        raise ConfigError(f"{where} {url}: {error}") from None
    return system, root.rstrip("/")
