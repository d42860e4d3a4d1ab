"""Debian's chromium, driven by Playwright; for tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NEEDED = "TELLY_NEEDS_BROWSER"
"""Set where a missing browser is a failure and not a reason to skip."""
FLAGS = ("--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; where there is none, the test is skipped or fails."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        found, missing = None, "playwright is not installed (pip install playwright)"
    else:
        missing = "there is no chromium (apt-get install chromium)"
    if found is None:
        if os.environ.get(NEEDED):
            pytest.fail(f"{NEEDED} is set, and {missing}")
        pytest.skip(missing)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield opened
        opened.close()
