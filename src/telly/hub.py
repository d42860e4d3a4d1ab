"""Reachability of the Hugging Face hub, which telly asks only where the user named something by a hub id."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from pathlib import Path

TIMEOUT_SECONDS = 5.0


def hub_answers() -> bool:
    """Return within seconds whether the hub can be reached; its own client would retry for half a minute."""
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return False
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True  # an error status is an answer, too
    except (OSError, ValueError):
        return False


def hub_file(repository: str, path: str, *, local: bool) -> Path | None:
    """Fetch a file of a repository on the hub; None if it has no such file, or none can be had.

    Args:
        repository: hub id.
        path: path within the repository.
        local: look only into the local cache.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    with contextlib.suppress(EntryNotFoundError, HfHubHTTPError, HFValidationError, OSError):
        return Path(hf_hub_download(repository, path, local_files_only=local))
    return None


def is_known_absent(repository: str, path: str) -> bool:
    """True if the local cache says that a repository has no such file, rather than that it was never asked for."""
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

    return try_to_load_from_cache(repository, path) is _CACHED_NO_EXIST
