"""Exact match and edit similarity, by hand and against rapidfuzz's ratio."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import fuzz

from telly.metrics.text import edit_similarity, exact_match, restore_literals


@pytest.mark.parametrize(
    ("text", "restored"),
    [
        ("x = <NUM_LIT>", "x = 0"),
        ("f ( \"<STR_LIT>\" , '<CHAR_LIT>' )", "f ( \"\" , '' )"),
        ('f ( "<STR_LIT:utf-8>" )', 'f ( "utf-8" )'),
        ("a [ <NUM_LIT:2> ] = <NUM_LIT:1> <CHAR_LIT:c>", "a [ 2 ] = 1 c"),
        ("<STR_LIT:two\nlines>", "two\nlines"),
        ("List < STR_LIT >", "List < STR_LIT >"),
    ],
)
def test_literals(text: str, restored: str):
    assert restore_literals(text) == restored


def test_exact_match_ignores_only_white_space():
    assert exact_match(" a  b\tc ", "a b c")
    assert not exact_match("a bc", "a b c")
    assert not exact_match("A b c", "a b c")
    assert not exact_match("", "a")


def test_edit_similarity_by_hand():
    """`abcd` and `abce`: one character out, one in, of eight: 1 - 2/8."""
    assert edit_similarity("abcd", "abce") == 75


def test_edit_similarity_is_a_whole_per_cent():
    """2 of 16 characters are common, 12.5 %, which rounds to the even 12; 2 of 3 is 66.7 %."""
    assert edit_similarity("abbbbbbb", "accccccc") == 12
    assert edit_similarity("a", "ab") == 67


def test_edit_similarity_restores_literals():
    assert edit_similarity("x = <NUM_LIT:7> ;", "x = 7 ;") == 100
    assert edit_similarity("<STR_LIT>", '""') == 0


def test_an_empty_prediction_has_no_similarity():
    assert edit_similarity("", "return x ;") == 0.0
    assert edit_similarity(" ", "return x ;") == 0.0


@given(st.text("ab <>", max_size=12), st.text("ab <>", max_size=12))
def test_equals_the_ratio_of_fuzzywuzzy(prediction: str, reference: str):
    assert edit_similarity(prediction, reference) == round(fuzz.ratio(prediction.strip(), reference.strip()))


@given(st.text(max_size=20))
def test_identical_texts_score_100(text: str):
    assert edit_similarity(text, text) == 100
    assert exact_match(text, text)
