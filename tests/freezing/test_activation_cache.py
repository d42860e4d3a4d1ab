"""The store: layout, precision, keys, what is handed out, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from telly.data.sequences import SequenceTable, SequenceTableBuilder
from telly.errors import CacheError
from telly.freezing.activation_cache import CacheLayout
from telly.freezing.build import CacheRequest, build_cache
from telly.freezing.cost import Rates, decide
from telly.freezing.fingerprint import CacheKey
from telly.freezing.inventory import find_caches, remove_cache, select, verify_cache
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.freezing.states import StateDtype
from tiny_models import VOCAB, tiny_model


def table(rows: int = 40, seed: int = 0) -> SequenceTable:
    rng = np.random.default_rng(seed)
    builder = SequenceTableBuilder()
    for _ in range(rows):
        builder.add(rng.integers(5, VOCAB, rng.integers(2, 30)))
    return builder.build()


def request(root: Path, k: int = 2, seed: int = 0, dtype: StateDtype = StateDtype.FP32, **more: object) -> CacheRequest:
    return CacheRequest(SplitModel(tiny_model("roberta", seed), k), table(), 1, root, dtype, **more)  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 400))
def test_layout_places_every_token_once(lengths: list[int], shard_bytes: int):
    layout = CacheLayout.of(np.array(lengths), bytes_per_token=4, shard_bytes=shard_bytes)
    taken = {
        (int(layout.shard[row]), int(layout.start[row]) + i) for row in range(len(lengths)) for i in range(lengths[row])
    }
    assert len(taken) == sum(lengths) == layout.shard_tokens.sum()
    for shard, tokens in enumerate(layout.shard_tokens):
        assert {position for s, position in taken if s == shard} == set(range(tokens))
    assert sorted(row for shard in range(len(layout.shard_tokens)) for row in layout.rows_of(shard)) == list(
        range(len(lengths))
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 0.0), ("bf16", 2**-8), ("int8", 1 / 127)])
def test_precision_of_stored_states(dtype: str, tolerance: float):
    """bf16 keeps 8 significant bits; int8 is off by at most half of 1/127 of a token's largest value."""
    states = torch.randn(50, 32, generator=torch.Generator().manual_seed(0)) * 3
    back = StateDtype(dtype).from_bytes(StateDtype(dtype).to_bytes(states))
    limit = tolerance * (states.abs().amax(dim=-1, keepdim=True) / 2 if dtype == "int8" else states.abs())
    assert ((back - states).abs() <= limit + 1e-6).all()
    assert dtype == "fp32" or not torch.equal(back, states)


def test_int8_of_a_zero_token_is_zero():
    zeros = torch.zeros(2, 8)
    assert torch.equal(StateDtype.INT8.from_bytes(StateDtype.INT8.to_bytes(zeros)), zeros)


def test_estimated_size_is_the_size_on_disk(tmp_path: Path):
    for dtype in StateDtype:
        wanted = request(tmp_path / dtype.value, dtype=dtype)
        store = build_cache(wanted).cache
        on_disk = sum(file.stat().st_size for file in store.folder.glob("*.bin"))
        assert wanted.estimated_bytes == store.nbytes == on_disk
        assert store.complete


def test_changing_a_batch_does_not_change_the_store(tmp_path: Path):
    store = build_cache(request(tmp_path)).cache
    first = store.batch([3, 4])
    kept = first["states"].clone()
    first["states"].fill_(7.0)
    first["attention_mask"].zero_()
    again = store.batch([3, 4])
    assert torch.equal(again["states"], kept)
    assert again["attention_mask"].sum() == store.layout.lengths[[3, 4]].sum()


def test_a_second_call_computes_nothing(tmp_path: Path):
    wanted = request(tmp_path)
    assert build_cache(wanted).source == "tokens"
    again = build_cache(wanted)
    assert (again.source, again.built_shards) == ("cache", 0)


def test_layers_are_derived_one_from_the_other_and_outlive_where_they_came_from(tmp_path: Path):
    first = build_cache(request(tmp_path, k=1))
    second = build_cache(request(tmp_path, k=2))
    remove_cache(first.cache.folder)
    third = build_cache(request(tmp_path, k=3))
    assert [result.source for result in (first, second, third)] == ["tokens", "layer 1", "layer 2"]
    remove_cache(second.cache.folder)
    again = build_cache(request(tmp_path, k=3))
    assert (again.source, again.cache.folder) == ("cache", third.cache.folder)
    direct = build_cache(request(tmp_path / "elsewhere", k=3)).cache.batch([1, 4, 7])["states"]
    torch.testing.assert_close(again.cache.batch([1, 4, 7])["states"], direct, atol=1e-5, rtol=0)
    damaged = third.cache.folder / "shard-00000.bin"
    damaged.write_bytes(bytes(byte ^ 255 for byte in damaged.read_bytes()))
    mended = build_cache(request(tmp_path, k=3))
    assert mended.source == "tokens" and mended.cache.folder != third.cache.folder


def test_a_derived_store_masks_what_the_table_masks(tmp_path: Path):
    """Writing tasks: prompt and answer are one sequence, and the layers between two stores must not see ahead."""
    builder = SequenceTableBuilder()
    for prefix_length in (2, 5):
        builder.add(range(10, 20), prefix_length)
    data = builder.build()
    model = tiny_model("roberta", is_generative=True)

    def states(root: Path, k: int) -> tuple[str, torch.Tensor]:
        result = build_cache(CacheRequest(SplitModel(model, k), data, 1, root, StateDtype.FP32))
        return result.source, result.cache.batch([0, 1])["states"]

    states(tmp_path, 1)
    source, derived = states(tmp_path, 3)
    assert source == "layer 1"
    _, direct = states(tmp_path / "elsewhere", 3)
    torch.testing.assert_close(derived, direct, atol=1e-5, rtol=0)
    assert (direct[0] - direct[1]).abs().max() > 0.1, "the two rows differ only in what is visible"


@pytest.mark.parametrize("bf16", [False, True])
def test_states_have_the_precision_of_the_run(bf16: bool, tmp_path: Path):
    """The frozen layers run in every epoch without a store, under autocast; with one they must give the same."""
    wanted = request(tmp_path, bf16=bf16)
    inputs = wanted.table.pad([5], 1)
    found = build_cache(wanted).cache.batch([5])["states"]

    def distance(autocast: bool) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return float((wanted.split.prefix(**inputs).float() - found).abs().mean())

    # Rows are computed in other batches than here, so bf16 rounds some values otherwise.
    assert distance(bf16) < distance(not bf16) / 3


@pytest.mark.parametrize("change", ["weights", "layer", "inputs", "dtype", "precision"])
def test_everything_that_changes_the_numbers_changes_the_key(change: str, tmp_path: Path):
    first = request(tmp_path).key()
    changed = {
        "weights": lambda: request(tmp_path, seed=1),
        "layer": lambda: request(tmp_path, k=3),
        "inputs": lambda: CacheRequest(request(tmp_path).split, table(seed=1), 1, tmp_path, StateDtype.FP32),
        "dtype": lambda: request(tmp_path, dtype=StateDtype.BF16),
        "precision": lambda: request(tmp_path, bf16=True),
    }[change]()
    assert changed.key().fingerprint != first.fingerprint
    assert request(tmp_path).key().fingerprint == first.fingerprint, "and nothing else does"


@pytest.mark.parametrize("part", ["a setting", "attention", "a buffer", "a buffer's name", "a buffer's type"])
def test_what_is_not_a_weight_changes_the_key_too(part: str, tmp_path: Path):
    def fingerprint(change: bool) -> str:
        model: Any = tiny_model("roberta")
        model.embeddings.register_buffer("shift", torch.zeros(3))
        if change and part == "a setting":
            model.config.layer_norm_eps *= 2
        if change and part == "attention":
            model.set_attn_implementation("eager")
        if change and part == "a buffer":
            model.embeddings.shift[1] = 1.0
        if change and part == "a buffer's name":
            del model.embeddings.shift
            model.embeddings.register_buffer("scale", torch.zeros(3))
        if change and part == "a buffer's type":
            model.embeddings.register_buffer("shift", torch.zeros(3, dtype=torch.int32))
        split = SplitModel(model, 2)
        return CacheRequest(split, table(), 1, tmp_path, StateDtype.FP32).key().fingerprint

    assert fingerprint(change=False) == fingerprint(change=False)
    assert fingerprint(change=True) != fingerprint(change=False)


def test_keys_are_those_of_earlier_versions():
    """So the caches that they made stay in use."""
    plain = CacheKey("p", 2, "s", "padding", "bf16", "fp32", "sdpa/cpu")
    derived = CacheKey("p", 2, "s", "prefix", "int8", "bf16", "eager/cuda", "all layers, mean", "0a")
    assert (plain.fingerprint, derived.fingerprint) == ("d769832a37d56d3d154b1943", "4d173197b93ad2dd3f0c565f")


def test_names_and_labels_do_not_change_the_key(tmp_path: Path):
    wanted = request(tmp_path)
    before = wanted.key().fingerprint
    wanted.split.model.config.name_or_path = "elsewhere/model"  # type: ignore[union-attr]
    wanted.split.model.config.id2label = {0: "good", 1: "bad", 2: "ugly"}  # type: ignore[union-attr]
    assert wanted.key().fingerprint == before


def test_what_is_visible_changes_the_key():
    def of(*prefix_lengths: int | None) -> str:
        builder = SequenceTableBuilder()
        for number, count in enumerate(prefix_lengths):
            builder.add([5, 6, 7 + number], count)
        return builder.build().fingerprint()

    assert len({of(None, None), of(1, 1), of(1, 2), of(2, 1)}) == 4
    assert of(1, 2) == of(1, 2)


def test_weights_above_the_split_do_not_change_the_key(tmp_path: Path):
    """So every seed and every tuned top share one store."""
    wanted = request(tmp_path)
    before = wanted.key().fingerprint
    with torch.no_grad():
        wanted.split.model.encoder.layer[3].output.dense.weight.add_(1.0)  # type: ignore[union-attr,index]
    assert wanted.key().fingerprint == before
    with torch.no_grad():
        wanted.split.model.encoder.layer[1].output.dense.weight.add_(1.0)  # type: ignore[union-attr,index]
    assert wanted.key().fingerprint != before


def test_another_models_store_is_refused(tmp_path: Path):
    mine, other = request(tmp_path), request(tmp_path, seed=1)
    folder = build_cache(other).cache.folder
    stolen = tmp_path / mine.key().fingerprint
    shutil.copytree(folder, stolen)
    with pytest.raises(CacheError) as error:
        build_cache(mine)
    assert str(error.value) == (
        f"{stolen}: this activation cache was made from something else and is not used (prefix: {other.key().prefix} "
        f"instead of {mine.key().prefix}). Remove it with `telly cache rm`, or choose another --cache-dir"
    )


def test_a_flipped_byte_is_found_and_mended(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    wanted = request(tmp_path)
    store = build_cache(wanted).cache
    good = store.batch([0, 1])["states"]
    file = store.folder / "shard-00000.bin"
    raw = bytearray(file.read_bytes())
    raw[100] ^= 1
    file.write_bytes(raw)
    assert verify_cache(store.folder) == [0]
    mended = build_cache(wanted)
    assert caplog.messages == [f"shard 0 of {store.folder} does not have its checksum; it is computed again"]
    assert mended.built_shards == 1
    assert torch.equal(mended.cache.batch([0, 1])["states"], good)


def test_what_does_not_fit_the_budget_is_recomputed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("telly.freezing.activation_cache.SHARD_BYTES", 8192)
    wanted = request(tmp_path, budget=30_000)
    store = build_cache(wanted).cache
    assert 0 < store.cached_rows < len(wanted.table)
    assert not store.complete
    assert len(caplog.messages) == 1
    assert "are not cached, their frozen layers run in every epoch" in caplog.messages[0]
    source = RowSource(wanted.table, 1, store)
    stored = [row for row in range(len(wanted.table)) if store.has([row])][:2]
    missing = [row for row in range(len(wanted.table)) if not store.has([row])][:2]
    assert "states" in source.batch(stored)
    assert "input_ids" in source.batch(missing)
    assert "input_ids" in source.batch([stored[0], missing[0]])
    with pytest.raises(CacheError, match="is not in the activation cache"):
        store.batch(missing)


def test_the_budget_counts_what_is_on_disk_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("telly.freezing.activation_cache.SHARD_BYTES", 8192)
    first = build_cache(request(tmp_path, budget=30_000))
    assert first.built_shards > 0
    again = build_cache(request(tmp_path, budget=30_000))
    assert (again.built_shards, again.cache.cached_rows) == (0, first.cache.cached_rows)
    assert sum(file.stat().st_size for file in again.cache.folder.glob("*.bin")) <= 30_000
    more = build_cache(request(tmp_path, budget=request(tmp_path).estimated_bytes))
    assert more.cache.complete, "exactly enough is enough"
    assert more.built_shards == len(more.cache.layout.shard_tokens) - first.built_shards


def test_a_row_behind_the_last_stored_shard_is_not_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("telly.freezing.activation_cache.SHARD_BYTES", 8192)
    store = build_cache(request(tmp_path, budget=30_000)).cache
    first_missing = int(store.layout.rows_of(store.shards)[0])
    last_stored = int(store.layout.rows_of(store.shards - 1)[-1])
    assert store.has([last_stored]) and not store.has([first_missing]) and not store.has([last_stored, first_missing])
    assert store.batch([last_stored])["states"].shape[1] == store.layout.lengths[last_stored]
    with pytest.raises(CacheError) as error:
        store.batch([first_missing])
    assert str(error.value) == (
        f"row {first_missing} is not in the activation cache {store.folder} ({store.cached_rows} rows are)"
    )


def test_stores_are_listed_and_removed(tmp_path: Path):
    folder = build_cache(request(tmp_path)).cache.folder
    (entry,) = find_caches(tmp_path)
    assert (entry.folder, entry.layer, entry.rows, entry.dtype) == (folder, 2, len(table()), "fp32")
    with pytest.raises(CacheError, match="nothing is kept under the name 'zzz'"):
        select([entry], ["zzz"], tmp_path)
    assert select([entry], [folder.name[:4]], tmp_path) == [entry]
    assert remove_cache(folder) > 0
    assert find_caches(tmp_path) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("uses", "rates", "exists", "use", "reason"),
    [
        (1.0, (10, 1, 1), False, False, "each sequence is read 1.0 times: the frozen layers run once either way"),
        (5.0, (10, 11, 1), False, False, "reading the states (11.00 s) is no faster than computing them (10.00 s)"),
        (5.0, (10, 11, 1), True, False, "reading the states (11.00 s) is no faster than computing them (10.00 s)"),
        (2.0, (10, 4, 4), False, False, "caching costs 22.0 s and computing each time 20.0 s"),
        (5.0, (10, 0.5, 0.5), False, True, "frozen layers once: 13.0 s instead of 50.0 s"),
        (1.0, (10, 1, 1), True, True, "the cache exists already: 1.0 s instead of 10.0 s"),
    ],
)
def test_the_store_is_used_where_it_pays(
    uses: float, rates: tuple[float, float, float], exists: bool, use: bool, reason: str
):
    decision = decide(uses, Rates(*rates), exists)
    assert (decision.use, decision.reason) == (use, reason)
