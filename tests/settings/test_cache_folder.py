"""Where activation caches are by default."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from telly.settings.resolve import caches_in, default_cache_dir


@pytest.mark.parametrize(
    ("existing", "expected"),
    [((), "activations"), (("stores",), "stores"), (("activations",), "activations"),
     (("stores", "activations"), "activations")],
)  # fmt: skip
def test_a_folder_of_an_earlier_version_stays_in_use(
    existing: tuple[str, ...], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in existing:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda _name: str(tmp_path))
    assert default_cache_dir() == caches_in(tmp_path) == tmp_path / expected
