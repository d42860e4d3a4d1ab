"""An index's files are on disk before `current` names them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from telly.inference.tuned_model import TunedModel
from telly.using.index import CURRENT
from telly.using.update import update_index


def test_files_are_synced_before_they_have_their_names(
    tree: Path, tuned: TunedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files of a generation while it is still partial, with all their bytes; then the pointer, before its name."""
    folder = tmp_path / "index"
    synced: dict[int, tuple[int, bool, str | None]] = {}
    real = os.fsync

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        current = folder / CURRENT
        named = current.read_text() if current.exists() else None
        generations = {path.name for path in folder.glob("generation-*")}
        synced[found.st_ino] = (found.st_size, bool(generations - {named}), named)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    before = None
    for number in (1, 2):
        synced.clear()
        (tree / f"more{number}.py").write_text(f"def more{number}(value):\n    return value + {number}\n")
        update_index(tree, folder, tuned)
        now = (folder / CURRENT).read_text()
        files = [file for file in (folder / now).rglob("*") if file.is_file()]
        assert len(files) >= 4
        for file in files:
            found = file.stat()
            assert synced[found.st_ino] == (found.st_size, False, before), f"{file.name}: before the generation's name"
        pointer = (folder / CURRENT).stat()
        assert synced[pointer.st_ino] == (pointer.st_size, True, before), "after the generation, before its own name"
        before = now
