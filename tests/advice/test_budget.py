"""Budgets and tolerances as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telly.advice.budget import RunBudget, format_bytes, format_seconds, parse_budget, parse_tolerance
from telly.errors import ConfigError


@pytest.mark.parametrize(("texts", "budget"), [
    ([], RunBudget()),
    (["30m"], RunBudget(1800)),
    (["2h"], RunBudget(7200)),
    (["1.5 h"], RunBudget(5400)),
    (["45s"], RunBudget(45)),
    (["4GB"], RunBudget(None, 4e9)),
    (["500mb"], RunBudget(None, 5e8)),
    (["30 min", "0.5GB"], RunBudget(1800, 5e8)),
])  # fmt: skip
def test_budgets(texts: list[str], budget: RunBudget):
    assert parse_budget(texts) == budget


@pytest.mark.parametrize("text", ["30", "m", "30x", "4 TB", "-3m", "1h30m", "0m", "", "4GiB"])
def test_what_is_no_budget(text: str):
    with pytest.raises(ConfigError) as error:
        parse_budget([text])
    assert str(error.value) == (
        f"--budget: expected a time (30m, 2h; units s, m, min, h, d) or memory (4GB; units MB, GB), found {text!r}"
    )


def test_one_of_each_kind():
    with pytest.raises(ConfigError, match="--budget: a time is given twice"):
        parse_budget(["1h", "30m"])
    with pytest.raises(ConfigError, match="--budget: memory is given twice"):
        parse_budget(["1GB", "30MB"])


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.5 %", 0.005), ("0%", 0.0), ("50%", 0.5)])
def test_tolerances(text: str, share: float):
    assert parse_tolerance(text) == pytest.approx(share)


@pytest.mark.parametrize(("text", "message"), [
    ("0.01", "--tolerance: expected a percentage such as 1% or 0.5%, found '0.01'"),
    ("-1%", "--tolerance: expected a percentage such as 1% or 0.5%, found '-1%'"),
    ("51%", "--tolerance: expected 0% to 50%, found '51%'"),
])  # fmt: skip
def test_what_is_no_tolerance(text: str, message: str):
    with pytest.raises(ConfigError) as error:
        parse_tolerance(text)
    assert str(error.value) == message


@given(st.integers(1, 10**6), st.sampled_from(["s", "m", "min", "h", "d"]))
def test_a_larger_unit_is_more(number: int, unit: str):
    assert parse_budget([f"{number}{unit}"]).seconds == parse_budget([f" {number}.0 {unit.upper()} "]).seconds
    assert (parse_budget([f"{number}h"]).seconds or 0) == 60 * (parse_budget([f"{number}m"]).seconds or 0)


def test_told_as_a_person_would():
    assert [format_seconds(s) for s in (3.14, 42.4, 720, 12240)] == ["3.1 s", "42 s", "12 min", "3.4 h"]
    assert [format_bytes(b) for b in (8.5e8, 4.2e9)] == ["850 MB", "4.2 GB"]
