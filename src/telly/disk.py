"""Recognising a full disk, whichever library met it."""

from __future__ import annotations

import errno

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
