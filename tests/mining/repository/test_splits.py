from __future__ import annotations

import pytest

from telly.errors import ConfigError
from telly.mining.repository.splits import SPLITS, SplitRatios, by_date, by_path


def test_a_path_decides_alone_and_shares_are_kept() -> None:
    paths = [f"src/{number}.py" for number in range(4_000)]
    found = [by_path(path, SplitRatios(0.1, 0.2)) for path in paths]
    assert found == [by_path(path, SplitRatios(0.1, 0.2)) for path in paths]
    assert [round(found.count(split) / 4_000, 1) for split in SPLITS] == [0.7, 0.1, 0.2]


def test_a_path_stays_where_it_is_when_the_share_grows() -> None:
    paths = [f"src/{number}.py" for number in range(500)]
    small = {path for path in paths if by_path(path, SplitRatios(0.1, 0.1)) == "test"}
    assert small < {path for path in paths if by_path(path, SplitRatios(0.1, 0.3)) == "test"}


def test_the_newest_files_are_the_test() -> None:
    functions = {"a": 4, "b": 4, "c": 1, "d": 1}
    dates = {"a": 1, "b": 2, "c": 3, "d": 4}
    found = by_date(functions, dates, SplitRatios(0.1, 0.1))
    assert found == {"a": "train", "b": "train", "c": "valid", "d": "test"}


def test_shares_by_date_are_of_functions_and_not_of_files() -> None:
    functions = {"old": 5, "middle": 5, "new": 10}
    found = by_date(functions, {"old": 1, "middle": 2, "new": 3}, SplitRatios(0.25, 0.25))
    assert found == {"new": "valid", "middle": "train", "old": "train"}, (
        "the newest ten of twenty are more than the test"
    )


def test_files_without_a_commit_are_the_newest_and_one_date_is_not_parted() -> None:
    assert by_date({"a": 9, "new": 1}, {"a": 1}, SplitRatios(0.0, 0.1)) == {"a": "train", "new": "test"}
    assert set(by_date({"a": 1, "b": 1}, {"a": 5, "b": 5}, SplitRatios(0.1, 0.5)).values()) == {"train"}


@pytest.mark.parametrize(
    ("valid", "test", "message"),
    [
        (-0.1, 0.1, "the share of valid must be at least 0 and less than 1, found -0.1"),
        (0.1, 1.0, "the share of test must be at least 0 and less than 1, found 1"),
        (0.5, 0.5, "valid and test take 1 of the data; leave some for training"),
        (0.1, float("nan"), "the share of test must be at least 0 and less than 1, found nan"),
    ],
)
def test_impossible_shares(valid: float, test: float, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        SplitRatios(valid, test)
    assert str(error.value) == message
