"""What stays when functions are copies or nearly: one of them, in one split."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from telly.mining.copies import content_key
from telly.mining.duplicates import signature
from telly.mining.repository.collect import Spool, SpoolEntry, distinct
from telly.mining.repository.extract import Function
from telly.mining.repository.languages import NAMES
from telly.mining.repository.mine import MiningSettings, mine
from telly.mining.repository.splits import SPLITS
from telly.tasks import mining_target
from written_functions import STYLES, Layout, Statement, written

LINES = [f"    total += table[{n}] * other.price({n})" for n in range(20)]


def code(name: str, last: str, *, other: int = -1) -> str:
    """A function of which one line of twenty may be another: a near-copy."""
    lines = [line if n != other else "    total = 0" for n, line in enumerate(LINES)]
    return "\n".join([f"def {name}(table, other):", *lines, f"    return {last}"])


FIRST = code("first", "total")
SECOND = {
    "duplicate": code("second", "total"),
    "near-duplicate": code("first", "total", other=10),
    "same description as another": "def third(count):\n    for n in range(count):\n        print(n)\n    return count",
}
"""What the second function is left out as."""
FILLER = "def filler_{0}(a{0}):\n    b{0} = a{0} ** {0}\n    return c{0}(b{0}, {0}) - d{0}"


def left(tmp_path: Path, texts: list[tuple[str, str, str]], *, documented: bool) -> tuple[list[str], Counter[str]]:
    """Which of (split, text, description) stay, as `split/number`, and why others do not; each is a file's only one."""
    spool = Spool(tmp_path)
    for number, (_, text, description) in enumerate(texts):
        function = Function("f", 1, text, description, key=content_key(text))
        spool.add(SpoolEntry(str(number), "python", function), signature(text, "python"))
    counts: Counter[str] = Counter()
    found = distinct(
        spool, {str(number): split for number, (split, *_) in enumerate(texts)}, counts, documented=documented
    )
    spool.close()
    for split, numbers in found.items():
        assert all(texts[number][0] == split for number in numbers), "a function stays in the split of its file"
    return sorted(f"{split}/{number}" for split, numbers in found.items() for number in numbers), counts


@pytest.mark.parametrize("reason", SECOND)
@pytest.mark.parametrize("first", SPLITS)
@pytest.mark.parametrize("second", SPLITS)
def test_of_two_copies_the_one_in_the_larger_split_stays(tmp_path: Path, reason: str, first: str, second: str) -> None:
    sizes = {"train": 3, "valid": 2, "test": 5}  # without the two
    texts = [(first, FIRST, "one thing"), (second, SECOND[reason], "One  thing")]
    texts += [
        (split, FILLER.format(20 * at + n), f"other thing {20 * at + n}")
        for at, (split, size) in enumerate(sizes.items())
        for n in range(size)
    ]
    if reason != "same description as another":
        texts[1] = (*texts[1][:2], "another thing")
    found, counts = left(tmp_path, texts, documented=True)
    stays = 0 if sizes[first] >= sizes[second] else 1  # of two in one split the first
    assert [name for name in found if int(name.split("/")[1]) < 2] == [f"{(first, second)[stays]}/{stays}"]
    assert len(found) == len(texts) - 1
    assert counts == {reason: 1}


def test_descriptions_count_only_where_they_are_wanted(tmp_path: Path) -> None:
    texts = [("train", FIRST, "one thing"), ("train", SECOND["same description as another"], "one thing")]
    assert left(tmp_path, texts, documented=False) == (["train/0", "train/1"], {})
    blank = [(split, text, "") for split, text, _ in texts]
    assert left(tmp_path, blank, documented=True) == (["train/0", "train/1"], {})


def test_a_near_copy_that_is_left_out_leaves_out_no_other(tmp_path: Path) -> None:
    chain = [code("f", "total", other=n) for n in range(2)]
    chain.insert(0, code("f", "total"))
    texts = [("train", text, "") for text in chain] + [("test", SECOND["same description as another"], "")]
    found, counts = left(tmp_path, texts, documented=False)
    assert found == ["test/3", "train/0"] and counts == {"near-duplicate": 2}


def test_functions_that_differ_in_their_indentation_are_both_mined(tmp_path: Path) -> None:
    body = (
        '    """{} what the items are."""\n    for item in items:\n        if item:\n            seen(1)\n{}log(item)\n'
    )
    root = tmp_path / "repository"
    root.mkdir()
    for word, indentation in (("Log", "            "), ("Count", "    ")):
        (root / f"{word}.py").write_text("def count(items):\n" + body.format(word, indentation) + "    return items\n")
    mined = mine(str(root), tmp_path / "out", MiningSettings("search", mining_target("search")), workers=1)
    assert sum(mined.functions.values()) == 2 and not mined.counts.left_out


def test_renamed_functions_of_all_languages_are_mined_once(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    for language in NAMES:
        words: list[Statement] = [("say", f"{language} {word}") for word in "abcd"]
        body: list[Statement] = [*words, ("if", [("again", 1), ("+", 2)]), ("-", 3)]
        for number in range(12):
            layout = Layout(f"load{number}", ("  ", "\t")[number % 2], "", comments=number % 3 == 0)
            file = root / f"{language}{number}" / STYLES[language].file
            file.parent.mkdir(parents=True)
            file.write_text(written(STYLES[language], body, layout))
    mined = mine(str(root), tmp_path / "out", MiningSettings("complete", mining_target("complete")), workers=1)
    assert mined.counts.functions == dict.fromkeys(NAMES, 12)
    assert mined.counts.left_out["duplicate"] == 11 * len(NAMES)
    assert sum(mined.functions.values()) == len(NAMES)
    rows = [json.loads(line) for file in (tmp_path / "out").glob("*.jsonl") for line in file.open()]
    assert {row["language"] for row in rows} == set(NAMES)
