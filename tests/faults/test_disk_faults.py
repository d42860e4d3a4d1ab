"""Disks that are full, small, or cannot be written."""

from __future__ import annotations

import errno
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telly.disk import caused_by_full_disk
from telly.freezing.activation_cache import shard_is_sound
from tiny_runs import Tiny, files_below, largest_difference, only, record_of, run_telly

TOLERANCE = 2e-3
"""States in bf16 differ from computed ones; no metric or weight of a tiny run moves further than this."""
Mount = Callable[..., Path]


def file_limit(size: int) -> str:
    return f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"


def states_gb(record: dict[str, object], split: str = "train") -> float:
    return record["data"][split]["tokens"] * 32 * 2 / 1e9  # type: ignore[index]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a small file system, or mounts it anew with other options; skips where that is not allowed."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    mounted = False

    def make(options: str) -> Path:
        nonlocal mounted
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode:
            pytest.skip(f"needs the right to mount: {found.stderr.strip()}")
        mounted = True
        return folder

    yield make
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


def check_nothing_half_valid(output: Path, cache: Path) -> None:
    assert record_of(output)["status"] == "failed"
    assert not (output / "model").exists()
    assert not list(cache.rglob("*.partial"))
    for checksum in cache.glob("*/shard-*.json"):
        assert shard_is_sound(checksum.parent, int(checksum.stem.split("-")[1])), checksum


def test_an_error_that_is_in_its_own_context_ends_the_search_for_a_full_disk():
    """`raise error.__cause__` within `except ... as error` makes such a circle; the search once went round for ever."""
    cause = ValueError("bad row")
    try:
        try:
            raise RuntimeError("while reading") from cause
        except RuntimeError:
            raise cause from None
    except ValueError as caught:
        assert not caused_by_full_disk(caught)
        cause.__cause__ = OSError(errno.ENOSPC, "full")
        assert caused_by_full_disk(caught)


def test_a_run_on_a_bad_row_ends_with_the_error(tiny: Tiny, tmp_path: Path):
    """The data's reader goes through the library's, which wraps the error."""
    output = tmp_path / "run"
    error = run_telly(*tiny.command(output, "frozen", "--map", "code=foo"), code=2).error
    assert "no column for 'code': expected 'foo'" in error
    assert not output.exists()


def test_disk_full_while_storing(tiny: Tiny, undisturbed: Callable[..., Path], tmp_path: Path):
    """From the fourth shard on none fits under the limit on file size."""
    output, cache = tmp_path / "run", tmp_path / "cache"
    setup = "import telly.freezing.activation_cache as store\nstore.SHARD_BYTES = 1 << 14\n"
    late = (
        "import resource, telly.freezing.build as build\n"
        "write, written = build.write_shard, []\n"
        "def limited(*parts):\n"
        "    if len(written) == 3:\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "    written.append(write(*parts))\n"
        "build.write_shard = limited\n"
    )
    ended = run_telly(*tiny.command(output, "cached"), setup=setup + late, code=2)
    folder = only(file.parent for file in cache.glob("*/store.json"))
    record = record_of(output)
    assert ended.error == (
        f"{folder}: no room on the disk while caching states ({states_gb(record):.2f} GB in all; File too large). "
        "What was written is kept and sound; make room and run again, choose another --cache-dir, "
        "set --cache-budget, or run with --no-cache"
    )
    assert record["error"] == f"CacheError: {ended.error}" and record["full_disk"]
    check_nothing_half_valid(output, cache)
    kept = len(list(folder.glob("shard-*.json")))
    assert kept == 3, "the limit must hit after the first shards"

    run_telly(*tiny.command(output, "cached"), "--resume", setup=setup)
    assert record_of(output)["cache"]["caches"]["train"]["built_shards"] == len(list(folder.glob("*.bin"))) - kept
    assert largest_difference(output, undisturbed("cached")) < TOLERANCE


@pytest.mark.parametrize(("variant", "limit"), [("base", 100_000), ("cached", 40_000)])
def test_disk_full_while_saving(variant: str, limit: int, tiny: Tiny, tmp_path: Path):
    """A limit on file size that no checkpoint of base fits into, nor K=2's frozen weights, which are set aside."""
    output, cache = tmp_path / "run", tmp_path / "cache"
    setup = (
        "import telly.freezing.activation_cache as store\nstore.SHARD_BYTES = 1 << 14\n" if variant == "cached" else ""
    )
    ended = run_telly(*tiny.command(output, variant), setup=setup + file_limit(limit), code=2)
    assert re.fullmatch(
        re.escape(str(output))
        + r"(/checkpoints)?: no room on the disk to save the run; what was saved before is kept\. "
        r"Make room, then continue with --resume",
        ended.error,
    )
    check_nothing_half_valid(output, cache)
    assert record_of(output)["full_disk"]
    assert not list(output.rglob("COMPLETE"))


def test_no_room_for_a_store_at_all(tiny: Tiny, mount: Mount, tmp_path: Path):
    cache, output = mount("size=64k"), tmp_path / "run"
    with (cache / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 4096)
    ended = run_telly(*tiny.command(output, "cached", cache=cache), code=2)
    folder = cache / Path(ended.error.partition(":")[0]).name
    assert ended.error == (
        f"{folder}: no room on the disk while caching states ({states_gb(record_of(output)):.2f} GB in all; "
        "No space left on device). What was written is kept and sound; make room and run again, "
        "choose another --cache-dir, set --cache-budget, or run with --no-cache"
    )
    check_nothing_half_valid(output, cache)


@pytest.mark.parametrize(("how", "shard_bytes"), [("budget", 1 << 15), ("small disk", 1 << 17)])
def test_what_does_not_fit_is_recomputed(
    how: str,
    shard_bytes: int,
    tiny: Tiny,
    undisturbed: Callable[..., Path],
    request: pytest.FixtureRequest,
    tmp_path: Path,
):
    """The run says so, and ends as one that stores nothing."""
    output, cache, options = tmp_path / "run", tmp_path / "cache", ("--cache-dtype", "fp32")
    if how == "budget":
        options += ("--cache-budget", "0.0006")  # half of what all splits need
    else:
        cache = request.getfixturevalue("mount")("size=720k")
    setup = f"import telly.freezing.activation_cache as store\nstore.SHARD_BYTES = {shard_bytes}\n"
    ended = run_telly(*tiny.command(output, "cached", *options, cache=cache), setup=setup)
    record = record_of(output)
    train = record["cache"]["caches"]["train"]
    assert 0 < train["cached_rows"] < train["rows"]
    assert not record["cache"]["complete"]
    left_out = train["rows"] - train["cached_rows"]
    assert re.search(
        rf"^the activation cache needs 0\.00 GB and 0\.00 GB may be taken: {left_out} of {train['rows']} sequences are "
        r"not cached, their frozen layers run in every epoch$",
        ended.err,
        re.MULTILINE,
    ), ended.err
    frozen = undisturbed("frozen")
    assert record["test"] == pytest.approx(record_of(frozen)["test"], abs=TOLERANCE)
    assert largest_difference(output, frozen) < TOLERANCE


def test_read_only_cache(tiny: Tiny, undisturbed: Callable[..., Path], mount: Mount, tmp_path: Path):
    cache, output = mount("size=8m"), tmp_path / "run"
    run_telly(*tiny.command(tmp_path / "first", "cached", "--epochs", "1", cache=cache))
    subprocess.run(["mount", "-o", "remount,ro", str(cache)], check=True)
    before = files_below(cache)

    run_telly(*tiny.command(output, "cached", cache=cache))
    assert {store["source"] for store in record_of(output)["cache"]["caches"].values()} == {"cache"}
    assert largest_difference(output, undisturbed("cached")) == 0.0

    expected = (
        f"{cache}: the cache folder cannot be written, and has no activation cache for this run; "
        "choose another --cache-dir, or run with --no-cache"
    )
    other = tmp_path / "other"
    for variant in (("--freeze", "1"), ("--freeze", "1", "--overwrite")):
        assert run_telly(*tiny.command(other, "cached", *variant, cache=cache), code=2).error == expected
    measured = [part for part in tiny.command(tmp_path / "measured", "cached", "--freeze", "1", cache=cache)
                if part != "--cache-always"]  # fmt: skip
    assert run_telly(*measured, code=2).error == expected, "also where a small trial store is to be timed first"
    assert files_below(cache) == before
    check_nothing_half_valid(other, cache)


def test_a_full_disk_is_found_in_the_context_of_an_error():
    """As where a library fails while it handles the system's error."""
    try:
        try:
            raise OSError(errno.ENOSPC, "full")
        except OSError:
            raise RuntimeError("cannot close the file")  # noqa: B904 - the library gives no cause either
    except RuntimeError as error:
        assert caused_by_full_disk(error)
