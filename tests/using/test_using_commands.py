"""The commands themselves, on real tiny runs: the same answers as the runs' own evaluation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from telly.cli import app
from telly.data.readers import read
from telly.inference.tuned_model import TunedModel
from telly.tasks import get_task
from tiny_runs import Tiny, run_telly, task_data, tiny_model_folder

LIMITS = {
    "search": ("query=24", "code=48"),
    "clone": ("left=48", "right=48"),
    "classify": ("code=48",),
    "summarize": ("code=48", "summary=8"),
}
COMMANDS = ("index", "search", "clones", "summarize", "complete", "generate", "classify")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Path]]]:
    """A finished run of four tasks each, and its data."""
    folder = tmp_path_factory.mktemp("tuned")
    model = tiny_model_folder(folder / "tiny")
    found = {}
    for task, limits in LIMITS.items():
        tiny = Tiny(model, task_data(task, folder / f"{task}-data"), task, limits)
        if task == "classify":  # functions as they are found in files, which end without a line break
            for file in tiny.data.values():
                file.write_text(file.read_text().replace('\\n", "idx"', '", "idx"'))
        output = folder / "runs" / task
        further = ("--head", "cosine") if task == "clone" else ("--beams", "2") if task == "summarize" else ()
        run_telly(*tiny.command(output, "frozen", "--epochs", "1", *further))
        found[task] = (output, tiny.data)
    return found


def answer(*args: str, code: int = 0) -> Any:
    """Standard output of a command in this process."""
    result = CliRunner().invoke(app, args)
    if code == 0 and result.exception:
        raise result.exception
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if "--json" in args else result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_a_worked_example(command: str) -> None:
    text = CliRunner().invoke(app, [command, "--help"]).output
    assert f"  telly {command} " in text and "Example" in text


def test_index_and_search(tree: Path, runs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs["search"][0]
    monkeypatch.chdir(run.parents[1])
    made = answer("index", str(tree), "--json")
    assert (made["functions"], made["encoded"], made["changed"]) == (6, 6, True)
    assert json.loads((Path(made["index"]) / "generation-1" / "index.json").read_text())["model"] == str(run)
    text = answer("index", str(tree))
    assert text.startswith("6 functions; files: 3 unchanged; encoded 0 functions\n") and "(already up to date)" in text

    found = answer("search", "parse a date", str(tree), "--top", "6", "--json")
    assert (found["model"], found["by"], len(found["hits"])) == (str(run), "fused", 6)
    hit = next(hit for hit in found["hits"] if hit["name"] == "parse_date")
    assert {name: hit[name] for name in ("path", "line", "last_line", "signature", "description", "language")} == {
        "path": "dates.py",
        "line": 4,
        "last_line": 7,
        "signature": "def parse_date(text)",
        "description": "Read a date from a text.",
        "language": "python",
    }
    assert hit["snippet"].startswith("def parse_date(text):\n    parts = ")
    monkeypatch.chdir(tree.parent)
    text = answer("search", "retry a request", tree.name, "--by", "bm25", "--lines", "2")
    first, said, *code = text.splitlines()
    assert re.fullmatch(r"tree/shop/retry\.go:4  \d+\.\d{4}  func RetryRequest\(url string, times int\) error", first)
    assert said == "    RetryRequest sends a request again until it succeeds."
    assert code[:3] == [
        "    | func RetryRequest(url string, times int) error {",
        "    | 	for i := 0; i < times; i++ {",
        "    | ... 6 more lines",
    ]


def test_the_index_of_another_run_is_refused(tree: Path, runs: dict[str, Any], model_folder: Path) -> None:
    run_telly("index", str(tree), "--model", str(model_folder), "--index", str(tree.parent / "i"))
    ended = run_telly(
        "search", "date", str(tree), "--model", str(runs["search"][0]), "--index", str(tree.parent / "i"), code=2
    )
    assert ended.error.startswith(f"{tree.parent / 'i'}: this index was made with {model_folder}, not with")
    command = f"telly index {tree} --model {runs['search'][0]} --index {tree.parent / 'i'}"
    assert ended.error.endswith(f"Encode all again: {command}")
    run_telly(*command.split()[1:])  # the advice is followed: the search is no longer refused
    run_telly("search", "date", str(tree), "--model", str(runs["search"][0]), "--index", str(tree.parent / "i"))
    ended = run_telly("index", str(tree), "--model", str(runs["classify"][0]), code=2)
    assert ended.error == f"{runs['classify'][0]}: was tuned for classify; expected a run of search"


def test_searching_for_words_does_not_wait_for_torch(tree: Path, model_folder: Path) -> None:
    answer("index", str(tree), "--model", str(model_folder))
    code = (
        f"import sys; sys.argv = ['telly', 'search', 'date', {str(tree)!r}, '--by', 'bm25', '--lines', '0']\n"
        "import atexit\n"
        "atexit.register(lambda: print([name for name in ('torch', 'transformers', 'faiss') if name in sys.modules]))\n"
        "from telly.cli import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "dates.py:4" in ended.stdout
    assert ended.stdout.rstrip().endswith("[]"), ended.stdout


def test_clones_take_the_runs_threshold(tree: Path, runs: dict[str, Any]) -> None:
    run = runs["clone"][0]
    threshold = json.loads((run / "model" / "telly.json").read_text())["usage"]["threshold"]
    found = answer("clones", str(tree), "--model", str(run), "--min-lines", "4", "--json")
    assert found["min_similarity"] == threshold
    html, log = tree.parent / "c.html", tree.parent / "c.sarif"
    strict = ("--min-similarity", "1", "--min-lines", "4", "--html", str(html), "--sarif", str(log))
    text = answer("clones", str(tree), "--model", str(run), *strict)
    assert "copy: 2 functions" in text and f"   {tree}/dates.py:14  Calendar.weeks\n" in text
    assert "1 groups of 2 among 4 functions of at least 4 lines; similarity at least 1.000" in text
    assert html.read_text().startswith("<!doctype html>")
    assert len(json.loads(log.read_text())["runs"][0]["results"]) == 1


def test_clones_fail_a_check_that_asks_for_it(tree: Path, runs: dict[str, Any]) -> None:
    clones = ("clones", str(tree), "--model", str(runs["clone"][0]), "--min-similarity", "1", "--json")
    found = answer(*clones, "--min-lines", "4")
    assert [group["kind"] for group in found["groups"]] == ["copy"]
    report = tree.parent / "c.sarif"
    for kind in ("copy", "near-duplicate", "similar"):
        result = CliRunner().invoke(app, [*clones, "--min-lines", "4", "--fail-on", kind, "--sarif", str(report)])
        assert result.exit_code == 1 and json.loads(result.stdout) == found
        assert f"exit code 1: 1 groups have clones of kind {kind} or closer" in result.stderr
        report.unlink()  # the report is written all the same
    assert answer(*clones, "--min-lines", "9", "--fail-on", "similar")["groups"] == []


def test_summaries_are_those_of_the_runs_test(runs: dict[str, Any]) -> None:
    run, data = runs["summarize"]
    predictions = [json.loads(line)["prediction"] for line in (run / "predictions.jsonl").read_text().splitlines()]
    tuned = TunedModel.load(run, "summarize")
    assert tuned.config.task_options.beams == 2
    codes = list(read(str(data["test"]), get_task("summarize").schema, {}, "test")["code"])
    assert tuned.generate(codes) == predictions and any(predictions)


def test_classes_are_those_of_the_runs_test(tree: Path, runs: dict[str, Any]) -> None:
    run, data = runs["classify"]
    predictions = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    for number, code in enumerate(read(str(data["test"]), get_task("classify").schema, {}, "test")["code"]):
        (tree / f"f{number:02}.py").write_text(code)
    found = answer("classify", str(tree), "--model", str(run), "--json")["functions"]
    found = {row["path"]: row for row in found}
    for number, row in enumerate(predictions):
        mine = found[f"{tree}/f{number:02}.py"]
        assert mine["label"] == row["prediction"]
        assert mine["probabilities"][row["prediction"]] == pytest.approx(row["score"], abs=1e-5)
    assert answer("classify", f"{tree}/dates.py", "--model", str(run)).splitlines()[-1].startswith("3 functions: ")


def test_one_function_is_named_by_name_or_line(tree: Path, model_folder: Path) -> None:
    model = ("--model", str(model_folder))
    file = str(tree / "dates.py")
    everything = answer("summarize", file, *model, "--json")["summaries"]
    assert [row["name"] for row in everything] == ["parse_date", "Calendar.days", "Calendar.weeks"]
    for name in ("Calendar.weeks", "weeks", "16"):
        [row] = answer("summarize", f"{file}:{name}", *model, "--json")["summaries"]
        assert row == everything[2]
    (tree / "a:b.py").write_text((tree / "dates.py").read_text())
    assert len(answer("summarize", str(tree / "a:b.py"), *model, "--json")["summaries"]) == 3


def test_completion_reads_what_stands_before(tree: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def kept(_: object, sources: list[str]) -> list[str]:
        seen.extend(sources)
        return ["done()"]

    monkeypatch.setattr(TunedModel, "generate", kept)
    (tree / "x.py").write_text("def f(x):\n    y = x\n\n    return y\n")
    found = answer("complete", f"{tree}/x.py:4", "--model", str(model_folder), "--json")
    assert found == {"line": 4, "text": "done()", "indent": "    ", "actual": "return y"}
    assert answer("complete", f"{tree}/x.py:5", "--model", str(model_folder)) == "    done()\n"
    assert seen == ["def f(x):\n    y = x\n    ", "def f(x):\n    y = x\n    return y\n    "]


def test_completion_and_generation_write(tree: Path, model_folder: Path) -> None:
    model = ("--model", str(model_folder))
    assert isinstance(answer("complete", f"{tree}/dates.py:6", *model, "--json")["text"], str)
    found = answer("generate", "merge the rows", *model, "--json")
    assert found["description"] == "merge the rows" and isinstance(found["code"], str)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ("classify", "dates.py"),
            "telly-mini: was not tuned for classify, so it has no classes to choose from;",
        ),
        (("summarize", "dates.py:nothing"), "dates.py: has no function 'nothing'; known: parse_date, Calendar.days"),
        (("summarize", "none.py"), "none.py: no such file; expected FILE or FILE:FUNCTION"),
        (("summarize", "notes.txt"), "notes.txt: unknown language; expected sources in python,"),
        (("complete", "dates.py:999"), "dates.py:999: expected FILE:LINE with a line from 2 to 19, found 999"),
        (("complete", "dates.py"), "dates.py: expected FILE:LINE with a line from 2 to 19, found no line"),
        (("generate", " "), "the description is blank; expected what the code should do, in words"),
        (("search", "date", "nowhere"), "nowhere: no such folder; expected a folder of sources"),
        (("index", ".", "--language", "cobol"), "unknown language 'cobol'; known: python,"),
    ],
)
def test_errors_say_what_to_do(
    args: tuple[str, ...], message: str, tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from telly.cli import main

    (tree / "notes.txt").write_text("notes")
    monkeypatch.chdir(tree)
    monkeypatch.setattr(sys, "argv", ["telly", *args])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
