from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telly.data.sequences import SequenceTable, SequenceTableBuilder

encodings = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4), min_size=1, max_size=30)


def build(sequences: list[list[int]]) -> tuple[SequenceTable, list[int]]:
    builder = SequenceTableBuilder()
    rows = [builder.add(ids) for ids in sequences]
    return builder.build(), rows


@given(encodings)
def test_every_sequence_comes_back_and_distinct_ones_are_stored_once(sequences: list[list[int]]) -> None:
    table, rows = build(sequences)
    assert [table[row].tolist() for row in rows] == sequences
    distinct = list(dict.fromkeys(map(tuple, sequences)))
    assert [tuple(table[row].tolist()) for row in range(len(table))] == distinct
    assert table.lengths.tolist() == [len(ids) for ids in distinct]
    assert len(table.ids) == sum(map(len, distinct))


@given(encodings, st.data())
def test_padding_is_on_the_right_and_masked(sequences: list[list[int]], data: st.DataObject) -> None:
    table, rows = build(sequences)
    picked = data.draw(st.lists(st.sampled_from(rows), min_size=1, max_size=8))
    batch = table.pad(picked, pad_id=9)  # 9 is no token of the sequences
    width = max(len(table[row]) for row in picked)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (len(picked), width)
    for i, row in enumerate(picked):
        ids = table[row].tolist()
        rest = width - len(ids)
        assert batch["input_ids"][i].tolist() == ids + [9] * rest
        assert batch["attention_mask"][i].tolist() == [1] * len(ids) + [0] * rest


def test_a_padded_batch_does_not_share_memory_with_the_table() -> None:
    table, rows = build([[1, 2], [3]])
    table.pad(rows, 0)["input_ids"].fill_(7)
    assert table.ids.tolist() == [1, 2, 3]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(encodings)
def test_save_and_load(tmp_path: Path, sequences: list[list[int]]) -> None:
    table, _ = build(sequences)
    table.save(tmp_path / "table")
    loaded = SequenceTable.load(tmp_path / "table")
    assert isinstance(loaded.ids, np.memmap)
    assert loaded.ids.tolist() == table.ids.tolist()
    assert loaded.offsets.tolist() == table.offsets.tolist()
    assert loaded.fingerprint() == table.fingerprint()


def test_fingerprint_tells_ids_and_boundaries_apart() -> None:
    prints = {
        build(sequences)[0].fingerprint() for sequences in ([[1, 2], [3]], [[1], [2, 3]], [[1, 2], [4]], [[1, 2, 3]])
    }
    assert len(prints) == 4
    assert build([[1, 2], [3]])[0].fingerprint() in prints


def test_refused() -> None:
    with pytest.raises(ValueError, match=r"^an encoding must have at least one token$"):
        SequenceTableBuilder().add([])
    with pytest.raises(ValueError, match=r"^offsets must run from 0 to 2, found 0 to 3$"):
        SequenceTable(np.zeros(2, dtype=np.int32), np.array([0, 3]))


def test_empty_table() -> None:
    table, _ = build([])
    assert len(table) == 0 and table.lengths.tolist() == []


def test_a_sequence_with_another_bidirectional_prefix_is_another_one() -> None:
    """Its states differ, so it must not share a row, and a cached one, with the first."""
    builder = SequenceTableBuilder()
    rows = [builder.add([5, 6, 7], prefix) for prefix in (1, 2, 1)]
    table = builder.build()
    assert rows == [0, 1, 0]
    assert table.mask_inputs([0, 1])["prefix_lengths"].tolist() == [1, 2]
