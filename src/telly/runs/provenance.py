"""Versions, commit and machine behind a result."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Provenance:
    """Versions, commit and machine behind a result; unknown ones are None.

    Attributes:
        versions: version by package, and of Python.
        commit: commit of telly's checkout.
        dirty: true if the checkout had uncommitted changes.
        platform: operating system and its version.
        processor: name of the processor.
        cpus: number of processors that the process may use.
    """

    versions: dict[str, str | None]
    commit: str | None = None
    dirty: bool | None = None
    platform: str | None = None
    processor: str | None = None
    cpus: int | None = None


def provenance() -> dict[str, Any]:
    """The present `Provenance` as JSON values."""
    return asdict(current_provenance())


def current_provenance() -> Provenance:
    """Versions, commit and machine of this process."""
    packages = ("telly", "torch", "transformers", "tokenizers", "datasets", "accelerate", "peft")
    status = _git("status", "--porcelain")
    return Provenance(
        versions={name: _version(name) for name in packages} | {"python": platform.python_version()},
        commit=_git("rev-parse", "HEAD"),
        dirty=None if status is None else bool(status),
        platform=platform.platform(),
        processor=processor_name(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    )


def processor_name() -> str | None:
    """Model name of the processor, from the operating system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*args: str) -> str | None:
    """Git's answer about the folder this package runs from; None where it is not a checkout."""
    try:
        answer = subprocess.run(
            ["git", *args], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
