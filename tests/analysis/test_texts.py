"""Families of texts that do the same, beside nearly equal ones that do not."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from telly.analysis.texts import VARIANTS, code_texts, labelled_texts
from telly.errors import DataError


def test_families_of_functions_and_their_mutants():
    texts, labels = labelled_texts(None, 120)
    assert set(Counter(labels).values()) == {VARIANTS + 1}
    assert len(texts) == len(set(texts)) and 100 <= len(texts) <= 126
    functions = [text.partition("(")[0] for text in texts]
    shared = Counter(functions)
    assert sum(count >= 2 * (VARIANTS + 1) for count in shared.values()) > 5, "a mutant keeps its function's name"


def test_labelled_data_are_taken_as_they_are(tmp_path: Path):
    rows = [{"code": f"def f{i}():\n    return {i}", "label": str(i // 4)} for i in range(80)]
    (tmp_path / "pool.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    texts, labels = labelled_texts(str(tmp_path / "pool.jsonl"), 60)
    assert len(texts) == 60 and set(Counter(labels).values()) == {4}, "whole labels are drawn"
    assert all(text == rows[int(text[5 : text.index("(")])]["code"] for text in texts)


def test_a_bad_label_is_an_error_and_not_a_reason_to_do_without_labels(tmp_path: Path):
    rows = [{"code": f"def f{i}():\n    return {i}", "label": str(i // 4)} for i in range(80)]
    rows[7]["label"] = " "
    (tmp_path / "pool.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    with pytest.raises(DataError, match=r"pool\.jsonl:8: empty-text: 'label' has no label"):
        labelled_texts(str(tmp_path / "pool.jsonl"), 60)


def test_code_alone_is_enough(tmp_path: Path):
    file = tmp_path / "code.jsonl"
    rows = [
        {"function": f"def f{i}(a, b):\n    if a > b + {i}:\n        a = a - 1\n    return a * {i}"} for i in range(60)
    ]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert len(code_texts(str(file), 100)) == 60
    assert len(set(labelled_texts(str(file), 60)[1])) >= 10, "families are made from it"


def test_texts_come_once_and_enough_of_them(tmp_path: Path):
    rows = [{"code": f"def f{i % 60}(): pass", "docstring": f"Do {i}."} for i in range(120)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    found = code_texts(str(tmp_path / "data.jsonl"), 1000)
    assert found == [f"def f{i}(): pass" for i in range(60)]
    assert len(code_texts(str(tmp_path / "data.jsonl"), 55)) == 55
    (tmp_path / "few.jsonl").write_text("\n".join(map(json.dumps, rows[:40])) + "\n")
    with pytest.raises(DataError, match="found 40; expected at least 50"):
        code_texts(str(tmp_path / "few.jsonl"), 1000)
