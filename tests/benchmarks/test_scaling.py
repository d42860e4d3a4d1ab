"""The tables of docs/scaling.md are what the cost model says."""

import sys
from pathlib import Path

import pytest

from telly.freezing.states import StateDtype

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import scaling


def test_the_page_is_up_to_date():
    page = scaling.PAGE.read_text(encoding="utf-8")
    block = page.partition(f"<!-- {scaling.BLOCK}:begin -->\n")[2].partition(f"\n<!-- {scaling.BLOCK}:end -->")[0]
    assert block == scaling.tables(), "run `python benchmarks/scaling.py`"


def test_numbers_that_a_reader_can_check():
    large = scaling.Machine("large", 200e12)
    cost = scaling.costs(large)["9"]
    assert cost.cache_bytes == 10_000_000 * 150 * 768 * 2
    assert scaling.costs(large, StateDtype.INT8)["9"].cache_bytes == 10_000_000 * 150 * (768 + 4)
    # 9 layers of 7,087,872 parameters, two operations each, and 4 x 150 x 768 for attention, once for 1.5e9 tokens
    once = 9 * (2 * 7_087_872 + 4 * 150 * 768) * 1.5e9 / 200e12
    assert cost.epoch_seconds is not None and cost.epoch_seconds_cached is not None
    assert cost.epoch_seconds - cost.epoch_seconds_cached == pytest.approx(once)
    # 2.304 TB at 3 GB/s are 768 s, computing 988 s: n reads and one write are less than n - 1 computings from n = 8 on
    assert scaling.break_even(large, scaling.Disk("NVMe", 3e9), "9") == 8
    assert scaling.break_even(large, scaling.Disk("slow", 2.304e12 / once), "9") is None
