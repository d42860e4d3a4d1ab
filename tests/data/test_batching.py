from __future__ import annotations

from itertools import chain, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telly.data.batching import POOL_BATCHES, LengthBucketBatchSampler

lengths_of = st.lists(st.integers(1, 60), min_size=1, max_size=300)


def batches(lengths: Any, size: int, *, epoch: int = 0, **options: Any) -> list[list[int]]:
    sampler = LengthBucketBatchSampler(lengths, size, **options)
    sampler.set_epoch(epoch)
    return list(sampler)


@given(lengths_of, st.integers(1, 9), st.integers(0, 3), st.integers(0, 3))
def test_every_example_comes_once_an_epoch(lengths: list[int], size: int, seed: int, epoch: int) -> None:
    found = batches(lengths, size, seed=seed, epoch=epoch)
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    assert len(found) == len(LengthBucketBatchSampler(lengths, size))
    assert sorted(map(len, found), reverse=True)[:-1] == [size] * (len(found) - 1)


@given(lengths_of, st.integers(1, 9), st.integers(0, 3))
def test_drop_last_gives_full_batches_of_distinct_examples(lengths: list[int], size: int, epoch: int) -> None:
    if len(lengths) < size:
        with pytest.raises(ValueError, match=f"^{len(lengths)} examples do not fill one batch of {size}$"):
            LengthBucketBatchSampler(lengths, size, drop_last=True)
        return
    found = batches(lengths, size, drop_last=True, epoch=epoch)
    assert list(map(len, found)) == [size] * (len(lengths) // size)
    assert len({i for batch in found for i in batch}) == size * len(found)


@given(lengths_of, st.integers(1, 4), st.integers(1, 4), st.booleans(), st.integers(0, 3))
def test_union_over_processes_is_what_one_process_sees(
    lengths: list[int], world: int, share: int, drop_last: bool, epoch: int
) -> None:
    size = world * share
    if drop_last and len(lengths) < size:
        return
    alone = batches(lengths, size, drop_last=drop_last, epoch=epoch)
    parts = [
        batches(lengths, size, drop_last=drop_last, epoch=epoch, rank=rank, world_size=world) for rank in range(world)
    ]
    assert [list(chain(*together)) for together in zip(*parts, strict=True)] == alone


def test_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 500)
    first = batches(lengths, 8, seed=1, epoch=2)
    assert batches(lengths, 8, seed=1, epoch=2) == first
    assert batches(lengths, 8, seed=1, epoch=3) != first
    assert batches(lengths, 8, seed=2, epoch=2) != first


def test_epochs_mix_examples_and_not_only_batches() -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 2000)
    one, two = ({tuple(sorted(batch)) for batch in batches(lengths, 8, epoch=epoch)} for epoch in (0, 1))
    assert len(one & two) < len(one) / 10


def test_iterating_twice_without_a_new_epoch_gives_the_same() -> None:
    sampler = LengthBucketBatchSampler(list(range(1, 50)), 4)
    assert list(sampler) == list(sampler)


def test_batches_of_a_pool_do_not_interleave_in_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, POOL_BATCHES * 4)
    ranges = sorted((min(lengths[batch]), max(lengths[batch])) for batch in batches(lengths, 4))
    assert all(before[1] <= after[0] for before, after in pairwise(ranges))


def test_little_is_padded() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 5000)

    def padded(groups: list[Any]) -> int:
        return sum(int(lengths[group].max()) * len(group) for group in groups)

    shuffled = np.random.default_rng(1).permutation(5000).reshape(-1, 8)
    bucketed = padded(batches(lengths, 8))
    assert bucketed < 1.1 * lengths.sum() < padded(list(shuffled)) / 1.5


def test_batches_do_not_come_sorted_by_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 5000)
    means = [lengths[batch].mean() for batch in batches(lengths, 8)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2


@pytest.mark.parametrize(("size", "world"), [(0, 1), (-4, 2), (6, 4)])
def test_refused_batch_sizes(size: int, world: int) -> None:
    with pytest.raises(ValueError, match=f"^batch size {size} must be a positive multiple of {world} processes$"):
        LengthBucketBatchSampler([1, 2, 3], size, world_size=world)


def test_no_examples() -> None:
    with pytest.raises(ValueError, match=r"^0 examples do not fill one batch of 4$"):
        LengthBucketBatchSampler([], 4)
