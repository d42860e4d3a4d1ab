from __future__ import annotations

import os

import pytest

from telly.errors import DataError
from telly.mining.parallel import in_order


def double(number: int) -> int:
    return 2 * number


def die(number: int) -> int:
    os._exit(1)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_work(workers: int) -> None:
    assert list(in_order(double, range(50), workers)) == [2 * number for number in range(50)]


def test_work_is_taken_as_it_is_needed() -> None:
    taken: list[int] = []

    def work():
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_order(double, work(), 2)
    assert next(results) == 0
    results.close()
    assert len(taken) < 20


def test_a_process_that_dies_is_an_error_and_no_silence() -> None:
    with pytest.raises(DataError, match="a process that read sources died"):
        list(in_order(die, range(3), 2))
