from __future__ import annotations

from datasets import Dataset

from telly.data import warnings as data_warnings
from telly.data.schema import Column, Schema
from telly.data.warnings import warnings_about
from telly.tasks import TASKS

CLONE, CLASSIFY = TASKS["clone"].schema, TASKS["classify"].schema


def pairs(*texts: str) -> Dataset:
    """`ab1` is the pair of `a` and `b` with label 1."""
    return Dataset.from_list([dict(zip(("left", "right", "label"), text, strict=True)) for text in texts])


def labelled(**labels: str) -> Dataset:
    return Dataset.from_list([{"code": code, "label": label} for code, label in labels.items()])


def test_nothing_to_say() -> None:
    splits = {"train": pairs("ab1", "cd0"), "valid": pairs("ef1", "ag0"), "test": pairs("hi0", "jk1")}
    assert warnings_about(splits, CLONE) == []
    assert warnings_about({"test": splits["test"]}, CLONE) == []


def test_pairs_and_their_functions_in_train() -> None:
    splits = {"train": pairs("ab1", "cd0"), "test": pairs("ba1", "ac0", "ax0", "xy1", "yz1", "xz0", "xx1", "zz1")}
    assert warnings_about(splits, CLONE) == [
        "test: 1 of 8 pairs (12.5 %) also occur in train; take them out of one of the two "
        "(`telly data validate --task clone` lists them)",
        "test: in 2 of 8 pairs (25.0 %) both functions also occur in train; these say little about functions that "
        "are new, so split by function, repository or functionality",
    ]


def test_one_class_and_imbalance() -> None:
    splits = {"train": pairs(*["ab0"] * 96, *["cd1"] * 4), "valid": pairs("ef1", "gh1")}
    assert warnings_about(splits, CLONE) == [
        "train: 'label' is '0' in 96 of 100 rows (96.0 %); do not go by accuracy, and consider more rows of the other "
        "classes",
        "valid: 'label' is '1' in all 2 rows, so there is nothing to tell apart; add rows of another class",
    ]
    assert warnings_about({"train": pairs(*["ab0"] * 95, *["cd1"] * 5)}, CLONE) == []


def test_classes_that_train_lacks() -> None:
    train = labelled(a="get", b="set")
    test = labelled(x="get", **{f"y{i}": f"new{i}" for i in range(7)})
    assert warnings_about({"train": train, "test": test}, CLASSIFY) == [
        "test: train has no row of label 'new0', 'new1', 'new2', 'new3', 'new4' and 2 more, which therefore cannot be "
        "predicted; add rows of it to train, or take it out of test"
    ]


def test_code_in_train_whatever_its_label() -> None:
    splits = {"train": labelled(a="get", b="set"), "test": labelled(a="set", c="get", d="set")}
    assert warnings_about(splits, CLASSIFY) == [
        "test: 1 of 3 rows (33.3 %) have a code that also occurs in train; take them out of one of the two "
        "(`telly data validate --task classify` lists them)"
    ]


def test_problems_of_retrieval_should_be_new() -> None:
    splits = {"train": labelled(a="1", b="2"), "test": labelled(c="2", d="3")}
    assert warnings_about(splits, TASKS["clone-retrieval"].schema) == [
        "test: 1 of 2 labels also occur in train; these say little about problems that are new, so split by label"
    ]


def test_a_schema_without_key_compares_whole_rows() -> None:
    schema = Schema("private", (Column("a"), Column("b")))
    train = Dataset.from_list([{"a": "x", "b": "y"}, {"a": "p", "b": "q"}])
    test = Dataset.from_list([{"a": "y", "b": "x"}, {"a": "x", "b": "q"}, {"a": "p", "b": "q"}])
    (text,) = warnings_about({"train": train, "test": test}, schema)
    assert text.startswith("test: 1 of 3 rows (33.3 %) also occur in train; ")


def test_rows_beyond_one_batch() -> None:
    rows = [{"code": f"f{i}", "label": str(i % 2)} for i in range(data_warnings.BATCH + 5)]
    train = Dataset.from_list(rows)
    test = Dataset.from_list([*rows[-3:], {"code": "other", "label": "0"}])
    (text,) = warnings_about({"train": train, "test": test}, CLASSIFY)
    assert text.startswith("test: 3 of 4 rows (75.0 %) have a code that also occurs in train; ")
