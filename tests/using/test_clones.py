"""Clones: groups by their embeddings, near-duplicates, and the files for review tools."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest

from telly.errors import ConfigError
from telly.inference.tuned_model import TunedModel
from telly.mining.copies import content_key
from telly.mining.duplicates import signature
from telly.mining.repository.extract import Function
from telly.mining.repository.languages import NAMES
from telly.using.clones import Clones, Kind, clones_by, components, find_clones, groups_of, tasks
from telly.using.index import CodeLocation
from telly.using.page import render_clones
from telly.using.sarif import sarif
from written_functions import STYLES, Layout, Statement, written

BODY = [f"    value_{n} = table[{n}] + other.count({n})" for n in range(12)]


def location(path: str, name: str, body: list[str], line: int = 1) -> CodeLocation:
    code = "\n".join([f"def {name}(table, other):", *body, "    return table"])
    last, head = line + len(body) + 1, f"def {name}(table, other)"
    function = Function(name, line, code, "", last=last, signature=head, key=content_key(code))
    return CodeLocation(path, "python", function)


def turned(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


LOCATIONS = [
    location("a.py", "one", BODY),
    location("b.py", "two", BODY),  # a copy: names do not count
    location("b.py", "three", [*BODY[:-1], "    value = 0"], line=40),  # one line of twelve is another
    location("c.py", "four", ["    return sum(table)"] * 3),  # the model alone says so
    location("d.py", "alone", ["    raise ValueError(table)"]),
]
EMBEDDINGS = turned(0, 0, 10, 18, 90)
"""Cosines: of 10 degrees .985, of 18 .951, of 8 .990; nothing else is near."""


def test_groups_are_linked_by_pairs_that_are_near() -> None:
    [group] = groups_of(LOCATIONS, EMBEDDINGS, 0.98)
    assert [one.function.name for one in group.locations] == ["one", "two", "three", "four"]
    found = {(pair.left, pair.right): (round(pair.similarity, 3), pair.kind) for pair in group.pairs}
    assert found == {
        (0, 1): (1.0, "copy"),
        (0, 2): (0.985, "near-duplicate"),
        (1, 2): (0.985, "near-duplicate"),
        (2, 3): (0.99, "similar"),
    }
    assert group.kind == "similar" and group.similarity == pytest.approx((0.985, 1.0), abs=1e-3)
    assert group.repeated_lines == 14 + 14 + 5


def test_a_higher_similarity_leaves_fewer() -> None:
    [group] = groups_of(LOCATIONS, EMBEDDINGS, 0.995)
    assert [one.function.name for one in group.locations] == ["one", "two"] and group.kind == "copy"
    [group] = groups_of(LOCATIONS[:3], EMBEDDINGS[:3], 0.98)
    assert group.kind == "near-duplicate"
    assert groups_of(LOCATIONS[3:], EMBEDDINGS[3:], 0.98) == ()
    assert groups_of(LOCATIONS[:1], EMBEDDINGS[:1], 0.98) == ()


def test_functions_without_a_key_are_copies_of_none() -> None:
    """Those of an index that was written before there were keys."""
    old = [replace(one, function=replace(one.function, key="")) for one in (LOCATIONS[0], LOCATIONS[4])]
    assert groups_of(old, turned(0, 90), 0.98) == ()
    [group] = groups_of(old, turned(0, 0), 0.98)
    assert group.kind == "similar"


def test_texts_that_share_less_than_four_fifths_are_no_near_duplicates() -> None:
    """With two lines of twelve changed some 130 of 178 shingles are shared."""
    changed = location("e.py", "five", [*BODY[:3], "    value = 0", *BODY[4:8], "    value = 1", *BODY[9:]])
    [group] = groups_of([LOCATIONS[0], changed], turned(0, 0), 0.98)
    assert 0.65 < float(np.mean(signature(LOCATIONS[0].function.code) == signature(changed.function.code))) < 0.8
    assert group.kind == "similar"


def test_functions_are_compared_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telly.using.clones.QUERIES", 2)
    locations = [LOCATIONS[4], LOCATIONS[3], LOCATIONS[0], LOCATIONS[2], LOCATIONS[1]]
    groups = groups_of(locations, turned(90, 45, 0, 10, 120), 0.98)
    assert [[one.function.name for one in group.locations] for group in groups] == [["one", "three", "two"]]
    [group] = groups
    assert {(pair.left, pair.right, pair.kind) for pair in group.pairs} == {(0, 1, "near-duplicate"), (0, 2, "copy")}


def test_copies_are_linked_whatever_the_model_says() -> None:
    copies = [location("a.py", f"f{n}", BODY, line=20 * n + 1) for n in range(60)]
    [group] = groups_of(copies, turned(*range(0, 180, 3)), 0.9999)
    assert len(group.locations) == 60 and group.kind == "copy"


@pytest.mark.parametrize(
    ("task", "threshold", "expected"), [("clone", 0.7, 0.7), ("search", 0.7, 0.95), ("clone", None, 0.95)]
)
def test_the_threshold_is_the_one_that_a_clone_run_chose(
    tmp_path: Path, model_folder: Path, task: str, threshold: float | None, expected: float
) -> None:
    (tmp_path / "a.py").write_text(LOCATIONS[0].function.code)
    tuned = TunedModel.load(model_folder, tasks())
    config = replace(tuned.config, task=task, threshold=threshold)
    found = clones_by(replace(tuned, config=config), tmp_path, index=tmp_path / "index")
    assert found.min_similarity == expected


def test_many_copies_are_one_group() -> None:
    copies = [location("a.py", f"f{n}", BODY, line=20 * n + 1) for n in range(130)]
    groups = groups_of(copies, np.repeat(turned(0), 130, axis=0), 0.9)
    assert sum(len(group.locations) for group in groups) == 130
    assert all(group.kind == "copy" for group in groups)
    assert len(groups) == 1


def test_groups_with_pairs_of_a_kind_or_more_alike(tmp_path: Path) -> None:
    def count(locations: list[CodeLocation], embeddings: np.ndarray, kind: Kind) -> int:
        return len(Clones(tmp_path, "m", 0.98, 5, 4, groups_of(locations, embeddings, 0.98)).groups_with(kind))

    kinds: tuple[Kind, ...] = ("copy", "near-duplicate", "similar")
    assert [count(LOCATIONS, EMBEDDINGS, kind) for kind in kinds] == [1, 1, 1], "the group is similar, but has a copy"
    assert [count(LOCATIONS[1:3], EMBEDDINGS[1:3], kind) for kind in kinds] == [0, 1, 1]
    assert [count(LOCATIONS[2:4], EMBEDDINGS[2:4], kind) for kind in kinds] == [0, 0, 1]
    assert count(LOCATIONS[3:], EMBEDDINGS[3:], "similar") == 0


def test_components() -> None:
    assert components([(1, 2), (5, 2), (7, 9)]) == [[1, 2, 5], [7, 9]]


@pytest.fixture
def clones(tmp_path: Path) -> Clones:
    odd = CodeLocation("a dir/\udce4 <b>&.py", "python", LOCATIONS[1].function)
    root = tmp_path / "my tree"
    root.mkdir()
    return Clones(root, "some model", 0.98, 5, 5, groups_of([LOCATIONS[0], odd, *LOCATIONS[2:]], EMBEDDINGS, 0.98))


def test_sarif_has_what_the_standard_requires(clones: Clones) -> None:
    log = json.loads(json.dumps(sarif(clones)))
    # section 3.13: version and runs; 3.14: tool; 3.18/3.19: driver with a name
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-schema-2.1.0.json")
    [run] = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "telly"
    rules = [rule["id"] for rule in driver["rules"]]
    assert len(rules) == len(set(rules)) == 3
    # 3.27: a result has a message; ruleIndex agrees with ruleId
    [result] = run["results"]
    assert result["message"]["text"].startswith("one is like [two](1), ")
    assert rules[result["ruleIndex"]] == result["ruleId"] == "clone/similar"
    assert result["level"] in {"none", "note", "warning", "error"}
    related = result["relatedLocations"]
    assert [location["id"] for location in related] == [1, 2, 3], "unique, and what the message refers to"
    for location in [*result["locations"], *related]:
        artifact = location["physicalLocation"]["artifactLocation"]
        region = location["physicalLocation"]["region"]
        assert artifact["uriBaseId"] in run["originalUriBaseIds"]
        assert artifact["uri"].isascii() and not set(artifact["uri"]) & set(' <>&"')
        assert 1 <= region["startLine"] <= region["endLine"]
    assert unquote_to_bytes(related[0]["physicalLocation"]["artifactLocation"]["uri"]) == b"a dir/\xe4 <b>&.py"
    base = run["originalUriBaseIds"]["SRCROOT"]["uri"]
    assert base.startswith("file:///") and base.endswith("my%20tree/"), "3.14.14: a folder ends with a slash"
    assert all(isinstance(value, str) for value in result["partialFingerprints"].values())


def test_the_page_escapes_and_needs_nothing(clones: Clones) -> None:
    page = render_clones(clones)
    assert "a dir/\\xe4 &lt;b&gt;&amp;.py" in page and "<b>" not in page
    assert "default-src 'none'" in page and "<script" not in page

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.links: list[str] = []
            self.ids: set[str] = set()

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            for name, value in attrs:
                if name in {"href", "src"}:
                    self.links.append(value or "")
                if name == "id":
                    self.ids.add(value or "")

    reader = Reader()
    reader.feed(page)
    assert {"#content", "#group-1"} <= set(reader.links)
    assert all(link == "data:," or link.removeprefix("#") in reader.ids for link in reader.links)


def test_a_function_under_two_names_is_a_copy_in_every_language(tmp_path: Path, model_folder: Path) -> None:
    for language, style in STYLES.items():
        words: list[Statement] = [("say", f"{language} {word}") for word in "abc"]
        body: list[Statement] = [*words, ("again", 1)]
        for name, comments in (("alpha", True), ("beta", False)):
            file = tmp_path / name / language / style.file
            file.parent.mkdir(parents=True)
            file.write_text(written(style, body, Layout(name, "  ", " ", comments=comments)))
    found = find_clones(tmp_path, model=str(model_folder), min_similarity=1.0, index=tmp_path / "index")
    assert sorted(group.locations[0].language for group in found.groups_with("copy")) == sorted(NAMES)
    for group in found.groups:
        assert [location.path.split("/")[0] for location in group.locations] == ["alpha", "beta"]
        assert {location.language for location in group.locations} == {group.locations[0].language}


def test_the_same_words_with_another_indentation_are_no_copy(tmp_path: Path, model_folder: Path) -> None:
    body = "    for item in items:\n        if item:\n            seen(1)\n{}log(item)\n    return items\n"
    for number, indentation in enumerate(("            ", "    ")):
        (tmp_path / f"{number}.py").write_text("def count(items):\n" + body.format(indentation))
    found = find_clones(tmp_path, model=str(model_folder), min_similarity=0.01, index=tmp_path / "index")
    assert found.functions == 2 and found.groups_with("copy") == []


def test_clones_of_a_tree(tree: Path, model_folder: Path) -> None:
    found = find_clones(tree, model=str(model_folder), min_similarity=1.0 - 1e-5, min_lines=4)
    [group] = [group for group in found.groups if group.kind == "copy"]
    assert [one.function.name for one in group.locations] == ["Calendar.weeks", "weeks_between"]
    assert [one.path for one in group.locations] == ["dates.py", "shop/files.py"]
    assert found.functions == 4, "days and join_paths are shorter"
    with pytest.raises(ConfigError, match=r"expected a cosine above 0 and at most 1, found 1\.5"):
        find_clones(tree, min_similarity=1.5)
