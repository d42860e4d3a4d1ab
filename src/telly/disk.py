"""Files that are whole or not there, and recognising a full disk, whichever library met it."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_FULL_IN_TEXT = tuple(f"os error {number}" for number in _FULL)
"""How safetensors, which is written in Rust, names the system's error."""
_TORCH_WRITER = ("PytorchStreamWriter failed", "inline_container.cc")
"""What torch.save says when it cannot write on; it does not say why."""


def is_full_disk(error: BaseException) -> bool:
    """Whether an error says that no more can be written: the disk, a quota or a limit on file size is reached."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    text = str(error)
    return any(part in text for part in (*_FULL_IN_TEXT, *_TORCH_WRITER))


def write_json(file: Path, value: dict[str, Any]) -> None:
    """Write JSON so that the file is either the old one or the new one, never half."""
    partial = file.with_suffix(f".{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
