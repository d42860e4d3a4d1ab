"""`telly score` on labels, ids and references that the two files write in different ways: never a silent 0."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from score_files import write, write_json
from typer.testing import CliRunner

from telly.cli import app, main
from telly.errors import DataError
from telly.metrics.agreement import in_the_same_terms
from telly.metrics.answers import read_pairs
from telly.tasks import get_spec

pytestmark = pytest.mark.usefixtures("folder")


def score(task: str) -> dict[str, Any]:
    command = ["score", task, "--gold", "gold", "--pred", "pred", "--resamples", "20", "--json"]
    answer = CliRunner().invoke(app, command, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def failure(task: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What stands on standard error; the exit code is 2."""
    monkeypatch.setattr(sys, "argv", ["telly", "score", task, "--gold", "gold", "--pred", "pred"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().removeprefix("telly: error: ")


FORMS = {
    "decimals": (["0", "1", "1", "0"], ["0.0", "1.0", "1.0", "0."]),
    "words": (["0", "1", "1", "0"], ["False", "True", "TRUE", "false"]),
    "padded": (["0", "1", "1", "0"], [" 0", "1 ", "\t1", "0  "]),
    "mixed": (["0", "1", "1", "0"], ["0", "1.0", "true", "0.0"]),
    "the other way round": (["False", "True", "1.", "0.0"], ["0", "1", "1", "0"]),
    "more classes": (["3", "2", "1.0", "3.0"], ["3.0", "2.00", "1", "3"]),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("task", ["classify", "clone"])
def test_labels_of_another_form(name: str, task: str):
    """All are right; with the first prediction changed to the second one's, three of four are."""
    gold, pred = FORMS[name]
    if task == "clone" and name == "more classes":
        return
    write("gold", *gold)
    write("pred", *pred)
    assert score(task)["accuracy"] == 1
    write("pred", pred[1], *pred[1:])
    found = score(task)
    assert found["accuracy"] == 0.75
    if name != "more classes":
        assert (found["precision"], found["recall"]) == pytest.approx((2 / 3, 1))


def test_labels_of_another_form_in_json():
    write_json("gold", {"label": 0}, {"label": "1"}, {"label": True}, {"label": 0.0})
    write_json("pred", {"pred": "0.0"}, {"pred": 1.0}, {"pred": "True"}, {"pred": False})
    for task in ("classify", "clone"):
        assert score(task)["f1"] == 1


@given(
    right=st.lists(st.booleans(), min_size=1, max_size=6),
    forms=st.lists(st.sampled_from([("0", "1"), ("0.0", "1.0"), ("False", "True"), ("FALSE", "true"), (" 0", "1 ")]),
                   min_size=12, max_size=12),
    wrong=st.integers(0, 5),
)  # fmt: skip
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_form_of_a_label_never_changes_the_score(right: list[bool], forms: list[tuple[str, str]], wrong: int):
    gold = [forms[i][value] for i, value in enumerate(right)]
    pred = [forms[6 + i][value != (i < wrong)] for i, value in enumerate(right)]
    expected = sum(i >= wrong for i in range(len(right))) / len(right)
    write("gold", *gold)
    write("pred", *pred)
    try:
        layout, files = get_spec("classify").answers, (Path("gold"), Path("pred"))
        pairs = in_the_same_terms(layout, *files, read_pairs(files[0], [files[1]], layout)[0])[0]
    except DataError:  # all are called by the label that is right for none
        assert expected == 0
        return
    assert sum(r.value == g.value for r, g in pairs) / len(pairs) == expected


def test_no_predicted_label_among_the_right_ones(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    write("gold", "bug", "clean", "bug")
    write("pred", "", "Bug", "Clean")
    assert failure("classify", monkeypatch, capsys) == (
        "pred:2: no predicted label is among the right ones: predicted are 'Bug', 'Clean', right in gold "
        "are 'bug', 'clean'; expected the same names in both files"
    )


def test_some_predicted_labels_that_are_unknown_are_told():
    write("gold", "bug", "clean", "bug")
    write("pred", "bug", "claen", "bug")
    found = score("classify")
    assert found["accuracy"] == pytest.approx(2 / 3)
    told = "pred: 1 of 3 predictions are none of the right labels, such as 'claen' on line 2; they count as wrong"
    assert found["warnings"] == [told]
    command = ["score", "classify", "--gold", "gold", "--pred", "pred"]
    assert f"warning: {told}\n" in CliRunner().invoke(app, command, catch_exceptions=False).stdout


def test_right_labels_in_two_forms_are_told():
    write("gold", "1", "1.0", "2")
    write("pred", "1", "1", "2")
    found = score("classify")
    assert found["accuracy"] == 1
    assert found["warnings"] == ["gold: '1', '1.0' are read as the same label"]


def test_ids_in_rankings_of_another_form():
    """pandas writes 3.0 where a column has gaps."""
    write("gold", "q1\t3", "q2\t9")
    write("pred", "q2\t1.0 9.0 3.0", "q1\t3.0 1.0")
    assert score("search")["mrr"] == 0.75
    write("pred", "q2\tf1 f9", "q1\tf3 f1")
    found = score("search")
    assert found["mrr"] == 0
    assert found["warnings"] == [
        "pred: none of the right ids of gold, such as '3', is in any ranking; if that surprises you, see that both "
        "files name candidates in the same way"
    ]


def test_a_reference_with_tabs_is_told():
    write("gold", "1\ta b\tc d", "2\tx")
    write("pred", "1\ta b", "2\tx")
    assert score("summarize")["warnings"] == [
        "gold: 1 right answers hold a tab (first on line 1), which is read as white space; the texts before and "
        "after it are one reference, not two"
    ]


TEXTS = (
    "expected one text or a list of its tokens, found a list of 2 texts; an example is scored with one reference and "
    "one prediction, so keep one"
)


@pytest.mark.parametrize(
    ("task", "gold", "pred", "message"),
    [
        ("summarize", '{"reference": ["Adds two numbers.", "Sums."]}', "Adds.", f"gold:1: reference: {TEXTS}"),
        ("summarize", "Adds.", '{"prediction": ["Adds two numbers.", "Sums."]}', f"pred:1: prediction: {TEXTS}"),
        ("generate", '{"code": ["f (a)", "g (a)"]}', "f (a)", f"gold:1: code: {TEXTS}"),
        ("classify", '{"label": ["a", "b"]}', "a", "gold:1: label: expected one label, found a list of 2; keep one"),
        ("classify", '{"label": "a", "label": "b"}', "a",
         "gold:1: the object has 'label' more than once; keep one, or rename the others"),
        ("classify", "a\na\tb", "a\na", "gold:2: expected one label, found 'a\\tb'; keep one of several labels"),
        ("search", "q1\tf1,f2", "q1\tf3 f2 f1",
         "gold:1: 'f1,f2' is no candidate and 'f1' is one; separate several right ids by blanks"),
        ("clone", "0\n1", "0\nmaybe", "pred:2: expected the label 0 or 1, found 'maybe'"),
    ],
)  # fmt: skip
def test_what_would_be_scored_as_one(
    task: str, gold: str, pred: str, message: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    write("gold", gold)
    write("pred", pred)
    assert failure(task, monkeypatch, capsys) == message


def test_lists_of_tokens_are_one_text():
    write_json("gold", {"docstring_tokens": ["Adds", "two  numbers", "."]})
    write_json("pred", {"prediction": ["Adds", "two", "numbers", "."]})
    assert score("summarize")["rouge_l"] == 100
    write_json("gold", {"code": ["print", "(", "'a b'", ")"]})
    write("pred", "print ( 'a b' )")
    assert score("generate")["exact_match"] == 100


@pytest.mark.parametrize("task", ["classify", "clone"])
def test_signs_do_not_make_a_label_another_one(task: str):
    write("gold", "0", "1", "1", "0")
    write("pred", "-0", "+1", "+1.0", "-0.0")
    assert score(task)["accuracy"] == 1.0


def test_a_minus_before_other_numbers_counts():
    write("gold", "-1", "1", "1", "-1.0")
    write("pred", "-1.0", "1", "+1", "1")
    assert score("classify")["accuracy"] == 0.75


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.CSV", "a.jsonl.gz"])
def test_files_that_would_be_taken_for_lines_are_refused(name: str):
    """The header and the ids of a CSV file once counted as labels, and were right where both files had them."""
    write(name, "id,label", "1,0", "2,1")
    with pytest.raises(DataError, match=f"{name}: expected lines, .*; save it as JSON lines"):
        read_pairs(Path(name), [Path(name)], get_spec("classify").answers)


@pytest.mark.parametrize(("task", "header"), [("classify", "label"), ("classify", "Target"), ("search", "answers")])
def test_a_header_is_no_example(
    task: str, header: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    write("gold", header, "0", "1")
    write("pred", header, "0", "1")
    assert failure(task, monkeypatch, capsys) == (
        f"gold:1: {header!r} looks like the header of a column; remove the line"
    )


def test_a_class_may_have_the_name_of_a_column():
    write("gold", "label", "text", "label")
    write("pred", "label", "label", "label")
    assert score("classify")["accuracy"] == pytest.approx(2 / 3)


def test_some_ids_in_another_form_than_in_the_rankings_are_told():
    write("gold", "1.0", "2", "B")
    write("pred", "1 2 b", "2 1 b", "b 2 1")
    found = score("search")
    assert found["mrr"] == pytest.approx(1 / 3)
    assert found["warnings"] == [
        "gold: 2 right ids are in no ranking and the same in another form are, such as '1.0' on line 1 and '1'; they "
        "count as not found, so write ids in the same way"
    ]


def test_a_ranking_that_holds_the_example_itself_is_told():
    write_json("gold", {"index": "1", "answers": ["2"]}, {"index": "2", "answers": ["1"]})
    write_json("pred", {"index": "1", "answers": ["1", "2"]}, {"index": "2", "answers": ["1", "2"]})
    found = score("clone-retrieval")
    assert found["map@r"] == 0.5
    assert found["warnings"] == [
        "pred: 2 rankings hold the example itself (first on line 1), which counts as a wrong answer; leave it out"
    ]
