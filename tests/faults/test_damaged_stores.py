"""Stores whose building was killed, which rotted, belong to another model, or are built by two runs at once."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

from telly.freezing.fingerprint import CacheKey
from tiny_runs import Telly, Tiny, files_below, largest_difference, only, record_of, run_telly, tiny_model_folder

SMALL_SHARDS = "import telly.freezing.activation_cache as store\nstore.SHARD_BYTES = 1 << 14\n"
SLOW_SHARDS = SMALL_SHARDS + (
    "import time, telly.freezing.build as build\n"
    "write = build.write_shard\n"
    "build.write_shard = lambda *parts: (write(*parts), time.sleep(0.05))\n"
)
"""Many shards, and time to hit between them."""


def store_of(output: Path, split: str = "train") -> Path:
    return Path(record_of(output)["cache"]["caches"][split]["folder"])


def test_killed_while_building(tiny: Tiny, tmp_path: Path):
    reference = tmp_path / "reference"
    run_telly(*tiny.command(reference, "cached", cache=tmp_path / "sound"), setup=SMALL_SHARDS)
    shards = len(list(store_of(reference).glob("*.bin")))

    output, cache = tmp_path / "run", tmp_path / "killed"
    command = tiny.command(output, "cached", cache=cache)
    ended = Telly(*command, setup=SLOW_SHARDS).stop_when(lambda: len(list(cache.glob("*/*.json"))) > 4, signal.SIGKILL)
    assert ended.code == -signal.SIGKILL
    assert record_of(output)["status"] == "running"
    folder = only(file.parent for file in cache.glob("*/store.json"))
    finished = {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in folder.glob("shard-*.json")}
    assert 3 < len(finished) < shards - 1, "the kill must hit in the middle"
    leftover = folder / "shard-99999.1.partial"  # what a kill within a write leaves
    leftover.write_bytes(b"half")

    run_telly(*command, "--resume", setup=SMALL_SHARDS)
    assert not leftover.exists()
    assert {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in finished} == finished
    assert record_of(output)["cache"]["caches"]["train"]["built_shards"] == shards - len(finished)
    assert files_below(folder) == files_below(store_of(reference))
    assert largest_difference(output, reference) == 0.0


def test_flipped_byte(tiny: Tiny, undisturbed: Callable[..., Path], tmp_path: Path):
    first = tmp_path / "first"
    run_telly(*tiny.command(first, "cached"))
    folder = store_of(first)
    sound = files_below(folder)
    shard = folder / "shard-00000.bin"
    rotten = bytearray(shard.read_bytes())
    rotten[len(rotten) // 2] ^= 1
    shard.write_bytes(rotten)

    verified = run_telly("cache", "verify", "--cache-dir", str(tmp_path / "cache"), code=2)
    lines = sorted(verified.out.splitlines())
    assert lines == sorted(
        f"{name}: damaged: shards 0; the next run recomputes them" if name == folder.name else f"{name}: intact"
        for name in (store_of(first, split).name for split in ("train", "valid", "test"))
    )

    second = tmp_path / "second"
    ended = run_telly(*tiny.command(second, "cached"))
    assert f"shard 0 of {folder} does not have its checksum; it is computed again" in ended.err.splitlines()
    assert record_of(second)["cache"]["caches"]["train"]["built_shards"] == 1
    assert files_below(folder) == sound
    assert largest_difference(second, undisturbed("cached")) == 0.0


def test_store_that_does_not_say_what_it_holds(tiny: Tiny, undisturbed: Callable[..., Path], tmp_path: Path):
    """Shards of which nobody knows where they come from are not taken over, however sound."""
    first, second = tmp_path / "first", tmp_path / "second"
    run_telly(*tiny.command(first, "cached", "--epochs", "1"))
    folder = store_of(first)
    (folder / "store.json").write_text("{")
    ended = run_telly(*tiny.command(second, "cached"))
    expected = f"{folder} does not say what it holds (store.json is damaged); it is computed again"
    assert expected in ended.err.splitlines()
    assert record_of(second)["cache"]["caches"]["train"]["built_shards"] == 1
    assert largest_difference(second, undisturbed("cached")) == 0.0


def test_another_models_store(tiny: Tiny, tmp_path: Path):
    other = Tiny(tiny_model_folder(tmp_path / "other", seed=1), tiny.data)
    for name, who in (("ours", tiny), ("theirs", other)):
        run_telly(*who.command(tmp_path / name, "cached", "--epochs", "1"))
    ours, theirs = (store_of(tmp_path / name) for name in ("ours", "theirs"))
    assert ours != theirs
    keys = [json.loads((folder / "store.json").read_text())["key"] for folder in (ours, theirs)]
    for file in ours.iterdir():
        file.unlink()
    for name, content in files_below(theirs).items():
        (ours / name).write_bytes(content)
    before = files_below(ours)

    output = tmp_path / "run"
    refused = (
        f"{ours}: this activation cache was made from something else and is not used "
        f"(prefix: {keys[1]['prefix']} instead of {keys[0]['prefix']}). "
        "Remove it with `telly cache rm`, or choose another --cache-dir"
    )
    assert run_telly(*tiny.command(output, "cached"), code=2).error == refused
    assert record_of(output)["status"] == "failed"
    assert record_of(output)["error"] == f"CacheError: {refused}"
    assert not (output / "model").exists()
    assert files_below(ours) == before

    # As the store of a lower layer, from which the next one would be derived, it is passed over.
    deeper = run_telly(*tiny.command(tmp_path / "deeper", "cached", "--freeze", "3"))
    assert deeper.code == 0
    assert record_of(tmp_path / "deeper")["cache"]["caches"]["train"]["source"] == "tokens"
    assert record_of(tmp_path / "deeper")["cache"]["caches"]["valid"]["source"] == "layer 2"
    assert CacheKey(**keys[0]).fingerprint == ours.name


def test_two_runs_on_one_store(tiny: Tiny, undisturbed: Callable[..., Path], tmp_path: Path):
    outputs = [tmp_path / "one", tmp_path / "two"]
    runs = [Telly(*tiny.command(output, "cached"), setup=SLOW_SHARDS) for output in outputs]
    ended = [run.end() for run in runs]
    assert [end.code for end in ended] == [0, 0], ended
    assert any("another process builds" in end.err for end in ended), "they must have met"
    records = [record_of(output) for output in outputs]
    built = [[store["built_shards"] for store in record["cache"]["caches"].values()] for record in records]
    assert sorted(min(both) for both in zip(*built, strict=True)) == [0, 0, 0], "every store is built by one of them"
    assert len(list((tmp_path / "cache").glob("*/store.json"))) == 3
    assert records[0]["test"] == records[1]["test"] == record_of(undisturbed("cached"))["test"]
    assert largest_difference(*outputs) == 0.0
