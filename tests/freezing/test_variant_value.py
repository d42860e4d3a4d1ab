"""One value for what a run freezes and trains, one parser, and texts that it reads back."""

import pytest

from telly.errors import PlanError
from telly.freezing.variants import Method, Variant, parse_freeze

NAMES = [
    "base",
    "lora",
    "ia3",
    "bitfit",
    "0",
    "9",
    "frozen-9",
    "9-lora",
    "frozen-9-lora",
    "head-only",
    "frozen-head-only",
]


@pytest.mark.parametrize("name", NAMES)
def test_both_texts_read_back(name: str):
    variant = Variant.parse(name)
    assert variant.slug == name
    assert Variant.parse(str(variant)) == variant


def test_texts_are_those_of_tables():
    assert [str(Variant.parse(name)) for name in NAMES] == [
        *("base", "lora", "ia3", "bitfit", "K=0 cached", "K=9 cached", "K=9 frozen", "K=9 cached, lora"),
        *("K=9 frozen, lora", "head-only cached", "head-only frozen"),
    ]


@pytest.mark.parametrize(
    "text", ["nine", "", "K=9", "frozen", "frozen-base", "frozen-lora", "9-full", "-1", "auto", "9 "]
)
def test_other_texts_are_refused(text: str):
    with pytest.raises(PlanError, match="expected base, K or frozen-K, lora, ia3, bitfit, head-only, or K with one of"):
        Variant.parse(text)


def test_variants_that_mean_the_same_are_equal():
    assert Variant(None, cached=True) == Variant(None, cached=False) == Variant()
    assert Variant(9) != Variant(9, cached=False)
    assert [Variant(k, method).freeze for k, method in ((None, Method.LORA), (9, Method.FULL))] == ["base", 9]


def test_freeze_is_a_number_or_one_of_two_words():
    assert [parse_freeze(value) for value in (9, "9", "base", "auto", 0)] == [9, 9, "base", "auto", 0]
    for value in ("x", None, 1.5):
        with pytest.raises(PlanError, match=r"^expected K \(a number of layers\), base or auto$"):
            parse_freeze(value)
