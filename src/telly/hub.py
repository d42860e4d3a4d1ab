"""Reachability of the Hugging Face hub, which telly asks only where the user named something by a hub id."""

from __future__ import annotations

import urllib.error
import urllib.request

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
