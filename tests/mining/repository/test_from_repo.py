"""`telly data from-repo` through the command line, on a small repository made here."""

from __future__ import annotations

import json
import os
import random
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from repository_sources import SOURCES

from telly.data.validate import check
from telly.errors import ConfigError, DataError
from telly.mining.copies import content_key
from telly.mining.duplicates import NearDuplicates, signature
from telly.mining.repository import collect
from telly.mining.repository.mine import MiningSettings, mine, summary_lines
from telly.mining.repository.splits import SplitRatios
from telly.tasks import TASKS, mined_tasks, mining_target

VERBS = ("add", "count", "draw", "find", "join", "keep", "list", "merge", "open", "parse", "read", "sort")
NOUNS = ("apple", "book", "chair", "door", "engine", "forest", "garden", "house", "island", "jacket", "key", "lamp")
TOKEN = "ghp" + "_" + "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=36))


def function(number: int) -> str:
    """A Python function unlike the others, which can be rewritten."""
    rng = random.Random(number)
    verb, noun = VERBS[number % 12], NOUNS[number // 12 % 12]
    words = rng.sample(NOUNS, 6)
    lines = [f"    {word}_{rng.randrange(99)} = {rng.choice(NOUNS)}({rng.randrange(9999)}, '{word}')" for word in words]
    return "\n".join(
        [
            f"def {verb}_{noun}_{number}({words[0]}, limit):",
            f'    """{verb.title()} the {noun} number {number} with {words[1]} and {words[2]}."""',
            *lines,
            f"    if limit > {number} and {words[0]}:",
            f"        return {words[1]}({words[0]}, {number})",
            f"    return {words[2]}({words[0]}) + limit",
            "",
            "",
        ]
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    for number in range(40):
        folder = root / ("core" if number % 2 else "tools")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"m{number}.py").write_text("".join(function(3 * number + part) for part in range(3)))
    for name, (source, _) in SOURCES.items():
        (root / "other" / name).parent.mkdir(exist_ok=True)
        (root / "other" / name).write_text(source)
    (root / "copy.py").write_text(function(0) + function(0).replace("add_apple", "other_name"))
    (root / "near.py").write_text(function(5).replace("number 5", "number five").replace("> 5 and", "> 6 and"))
    leak = f'def connect(host):\n    """Connect to the host named {TOKEN}."""\n    token = "{TOKEN}"\n'
    split_leak = (
        f'    both = "{TOKEN[:20]}" "{TOKEN[20:]}"\n    if host:\n        return open(both, token)\n    return host\n'
    )
    (root / "leak.py").write_text(leak + split_leak)
    (root / "latin.py").write_bytes(b"x = '\xe4'\n")
    (root / f"{TOKEN}.py").write_bytes(b"\xe4")
    (root / "LICENSE").write_text("Permission is hereby granted, free of charge, to any person obtaining a copy\n")
    return root


def rows(folder: Path, split: str) -> list[dict[str, object]]:
    file = folder / f"{split}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def settings(task: str, **values: Any) -> MiningSettings:
    return MiningSettings(task, mining_target(task), **values)


@pytest.mark.parametrize("task", mined_tasks())
def test_every_task_gets_data_that_passes_the_check(repository: Path, tmp_path: Path, task: str) -> None:
    out = tmp_path / "out"
    mined = mine(str(repository), out, settings(task), workers=1)
    assert not mined.empty_splits
    suffix = ".txt" if task == "clone" else ".jsonl"
    files = {split: out / f"{split}{suffix}" for split in mined.rows}
    report = check(files, TASKS[task].schema)
    assert report.problems == []
    assert sorted(report.rows.values()) == sorted(mined.rows.values())
    assert {path.name for path in out.iterdir()} == {file.name for file in files.values()} | {"mining.json"} | (
        {"data.jsonl"} if task == "clone" else set()
    )
    for file in out.iterdir():
        assert TOKEN not in file.read_text()


def test_what_is_found_is_said(repository: Path, tmp_path: Path) -> None:
    mine(str(repository), tmp_path / "out", settings("search"), workers=1)
    record = json.loads((tmp_path / "out" / "mining.json").read_text())
    assert set(record["languages"]) == {
        *("c", "c-sharp", "cpp", "go", "java", "javascript", "php", "python", "ruby", "rust", "typescript")
    }
    assert record["functions_left_out"]["duplicate"] == 2
    assert record["functions_left_out"]["near-duplicate"] == 1
    assert record["skipped"] == [{"file": f"{name}.py", "reason": "not UTF-8"} for name in ("MASKED_SECRET", "latin")]
    assert {"file": "leak.py", "line": 3, "kind": "GitHub token"} in record["secrets"]
    assert record["licences"] == [{"file": "LICENSE", "licence": "MIT"}]
    assert record["commit"] is None
    assert sum(record["rows"].values()) == sum(record["functions"].values())


def test_no_function_of_a_split_is_in_another_also_nearly(repository: Path, tmp_path: Path) -> None:
    mine(str(repository), tmp_path / "out", settings("search"), workers=1)
    near, keys, said = NearDuplicates(), set(), set()
    for split in ("train", "valid", "test"):
        for row in rows(tmp_path / "out", split):
            code = str(row["code"])
            assert content_key(code) not in keys
            assert str(row["query"]).lower() not in said
            assert near.add(signature(code)), row
            keys.add(content_key(code))
            said.add(str(row["query"]).lower())
    files = [{row["path"] for row in rows(tmp_path / "out", split)} for split in ("train", "valid", "test")]
    assert not files[0] & files[1] and not files[0] & files[2] and not files[1] & files[2]


def test_pairs_are_clones_and_hard_negatives(repository: Path, tmp_path: Path) -> None:
    mine(str(repository), tmp_path / "out", settings("clone"), workers=1)
    functions = {row["idx"]: row for row in rows(tmp_path / "out", "data")}
    lines = [line.split("\t") for line in (tmp_path / "out" / "train.txt").read_text().splitlines()]
    clones = [(functions[a], functions[b]) for a, b, label in lines if label == "1"]
    others = [(functions[a], functions[b]) for a, b, label in lines if label == "0"]
    assert all(a["path"] == b["path"] and a["name"] == b["name"] for a, b in clones)
    assert {a["kind"] for a, _ in clones} | {b["kind"] for _, b in clones} == {"original", "variant"}
    assert all((a["name"] != b["name"]) != (b["kind"] == "mutant") for a, b in others)
    assert 0.4 < len(others) / len(lines) < 0.6
    assert all(str(row["func"]).startswith(("def f(", "async def f(")) for row in functions.values())


def test_contexts_and_lines_stand_in_the_file(repository: Path, tmp_path: Path) -> None:
    mine(
        str(repository),
        tmp_path / "out",
        MiningSettings("complete", mining_target("complete"), languages=("python",)),
        workers=1,
    )
    for row in rows(tmp_path / "out", "test"):
        source = (repository / str(row["path"])).read_text()
        assert str(row["line"]) in source or "MASKED" in str(row["line"])
        assert str(row["context"]).split("\n")[-1].isspace()


def test_the_result_does_not_depend_on_the_number_of_processes(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "FILES_FOR_PROCESSES", 1)
    for workers in (1, 2):
        mine(str(repository), tmp_path / f"out{workers}", settings("search"), workers=workers)
    for file in (tmp_path / "out1").iterdir():
        assert file.read_bytes() == (tmp_path / "out2" / file.name).read_bytes()


def test_a_limit_keeps_some_of_the_same_functions(repository: Path, tmp_path: Path) -> None:
    mined = mine(str(repository), tmp_path / "all", settings("search"), workers=1)
    few = mine(
        str(repository), tmp_path / "few", MiningSettings("search", mining_target("search"), limit=20), workers=1
    )
    assert sum(few.rows.values()) == 20 < sum(mined.rows.values())
    assert all(row in rows(tmp_path / "all", "train") for row in rows(tmp_path / "few", "train"))


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "telly", "data", "from-repo", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def committed(repository: Path) -> Iterator[Path]:
    if shutil.which("git") is None:
        pytest.skip("needs git")
    names = {f"GIT_{who}_{what}": "anna@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    for number in range(40):
        stamp = f"{1_600_000_000 + 86_400 * number} +0000"
        environment = {**os.environ, **names, "GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp}
        folder = "core" if number % 2 else "tools"
        subprocess.run(["git", "add", f"{folder}/m{number}.py"], cwd=repository, check=True)
        subprocess.run(["git", "commit", "-qm", "more"], cwd=repository, check=True, env=environment)
    yield repository


def test_split_by_date_from_an_address_through_the_command_line(committed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = command(f"file://{committed}", "--task", "summarize", "--split", "date", "-o", out)
    assert done.returncode == 0, done.stderr
    numbers = {
        split: {int(str(row["path"]).split("/m")[1][:-3]) for row in rows(out, split)}
        for split in ("train", "valid", "test")
    }
    assert max(numbers["train"]) < min(numbers["valid"]) <= max(numbers["valid"]) < min(numbers["test"]) <= 39
    assert "python" in done.stdout and f"wrote {out}" in done.stdout
    assert f"next: telly tune summarize --data {out} --valid {out} --test {out} --freeze 9" in done.stdout
    assert json.loads((out / "mining.json").read_text())["commit"]


def test_a_folder_that_its_repository_ignores_has_none_of_its_licence_and_commits(
    committed: Path, tmp_path: Path
) -> None:
    def noted(root: Path, name: str) -> tuple[list[str], bool]:
        mine(str(root), tmp_path / name, settings("search"), workers=1)
        record = json.loads((tmp_path / name / "mining.json").read_text())
        return [one["file"] for one in record["licences"]], record["commit"] is not None

    shutil.copytree(committed / "tools", committed / "fetched" / "package")
    assert noted(committed / "tools", "tools") == (["LICENSE"], True)
    assert noted(committed / "fetched" / "package", "untracked") == (["LICENSE"], True)
    (committed / ".gitignore").write_text("fetched/\n")
    assert noted(committed / "fetched" / "package", "ignored") == ([], False)
    with pytest.raises(DataError, match="or ignored by it, so files have no dates"):
        mine(
            str(committed / "fetched" / "package"),
            tmp_path / "dated",
            MiningSettings("search", mining_target("search"), split="date"),
            workers=1,
        )


def test_errors_say_what_to_do_and_leave_nothing(repository: Path, tmp_path: Path) -> None:
    done = command(tmp_path / "none", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "none: no such folder; expected the folder of a repository, or an address: https://..." in done.stderr
    assert sorted(tmp_path.iterdir()) == [repository]


def test_sources_that_hold_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.go").write_text(SOURCES["open.go"][0])
    with pytest.raises(DataError, match=r"no python functions found .* data for 'clone' is mined from python alone"):
        mine(str(root), tmp_path / "out", settings("clone"), workers=1)
    (root / "a.go").unlink()
    with pytest.raises(DataError, match=r"no documented functions found \(no source files\); expected sources in py"):
        mine(str(root), tmp_path / "out", settings("search"), workers=1)
    with pytest.raises(
        DataError, match="in no git repository, or ignored by it, so files have no dates of commits; use --split file"
    ):
        mine(str(root), tmp_path / "out", MiningSettings("search", mining_target("search"), split="date"), workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_a_split_without_rows_says_why(tmp_path: Path) -> None:
    """Forty functions that differ only in name and description are one; three different ones are too few files."""
    for folder, codes in (("same", ["return a"] * 40), ("few", ["b(a)", "return a", "for (;;) c()"])):
        (tmp_path / folder).mkdir()
        for n, code in enumerate(codes):
            text = f"/** Read record number {n} of the shop. */\nfunction fetch{n}(a) {{\n  {code};\n}}\n"
            (tmp_path / folder / f"f{n}.js").write_text(text)
    shares = SplitRatios(valid=0, test=1e-9)
    for folder, why in (("same", "nearly all functions are copies of each other"), ("few", "too few files")):
        found = mine(
            str(tmp_path / folder),
            tmp_path / f"{folder}-out",
            MiningSettings("search", mining_target("search"), shares=shares),
            workers=1,
        )
        assert found.rows["test"] == 0
        assert any(line.startswith(f"test has no rows: {why};") for line in summary_lines(found))
        found.rows["train"] = 0
        lines = summary_lines(found)
        assert f"test has no rows: {why}; give a larger --test-share or mine more" in lines
        assert f"train has no rows: {why}; give smaller --valid-share and --test-share or mine more" in lines


def test_an_output_in_use_is_left_alone(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="is not empty; expected a new folder for the data"):
        mine(str(repository), tmp_path / "out", settings("search"), workers=1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_interruption_leaves_nothing(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("telly.mining.repository.mine.distinct", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mine(str(repository), tmp_path / "out", settings("search"), workers=1)
    assert list(tmp_path.iterdir()) == [repository]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task": "classify"}, "unknown task 'classify'; known: search, clone, summarize, generate, complete"),
        ({"task": "search", "split": "day"}, "unknown split 'day'; known: file, date"),
        ({"task": "search", "limit": 0}, "the limit must be at least 1 function, found 0"),
        ({"task": "clone", "languages": ("go",)}, "data for 'clone' is mined from python alone, found go"),
        ({"task": "search", "languages": ("cobol",)}, "unknown language 'cobol'; known: python, java"),
    ],
)
def test_settings_that_cannot_be(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        MiningSettings(target=mining_target(str(values["task"])), **values)  # type: ignore[arg-type]
    assert str(error.value).startswith(message)
