"""Clocks that exclude each other and add up; peaks that can be reset."""

from __future__ import annotations

import time

import pytest

from telly.training.clocks import CLOCKS, Clocks, PeakMemory


def test_clocks_sum_to_the_wall_time_and_exclude_each_other(monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    clocks = Clocks()
    now += 1
    with clocks("train"):
        now += 2
        with clocks("evaluate"):
            now += 4
        now += 8
    now += 16
    seconds = clocks.seconds()
    assert seconds == dict.fromkeys(CLOCKS, 0.0) | {"other": 17.0, "train": 10.0, "evaluate": 4.0}
    assert sum(seconds.values()) == clocks.wall() == 31.0


def test_a_clock_stops_when_its_body_fails(monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    clocks = Clocks()
    with pytest.raises(RuntimeError), clocks("save"):
        now += 1
        raise RuntimeError
    now += 5
    assert (clocks.seconds()["save"], clocks.seconds()["other"]) == (1.0, 5.0)


def test_unknown_clock():
    with pytest.raises(ValueError, match="unknown clock 'tain'; known: advice, load, encode"), Clocks()("tain"):
        pass


def test_the_peak_sees_what_is_gone_and_forgets_it_on_reset():
    memory = PeakMemory()
    memory.reset()
    before = memory.bytes()
    block = bytearray(64 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(0.12)
    del block
    assert memory.bytes() - before > 50 * 2**20
    memory.reset()
    assert memory.bytes() - before < 50 * 2**20
