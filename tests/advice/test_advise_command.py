"""`telly advise` and `telly tune --freeze auto` through the command line, on a tiny model."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from telly.freezing.variants import parse_freeze
from telly.training.clocks import CLOCKS
from tiny_runs import Tiny, check_same_end, record_of, run_telly, task_data, tiny_data, tiny_model_folder

LIMITS = ("--max-tokens", "query=24", "--max-tokens", "code=48")
LENIENT = "from telly.advice import k_search; k_search.acceptable = lambda expected, measured, tolerance: True"
"""Every K that is tried is taken for good enough, so that the largest is advised."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("advise")
    return Tiny(tiny_model_folder(folder / "model"), tiny_data(folder / "data"))


def options(tiny: Tiny, cache: Path, *more: str) -> tuple[str, ...]:
    files = ("--data", str(tiny.data["train"]), "--valid", str(tiny.data["valid"]))
    settings = ("--lr", "1e-3", "--batch-size", "8", "--cache-dir", str(cache))
    return ("advise", "--model", str(tiny.model), *files, *LIMITS, *settings, *more)


@pytest.fixture(scope="module")
def golden(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    folder = tmp_path_factory.mktemp("golden")
    ended = run_telly(*options(tiny, folder / "cache", "--tolerance", "20%", "--output", str(folder / "advice")))
    return folder, ended.out, ended.err


def test_advice_as_a_file(golden: tuple[Path, str, str]):
    folder, _, _ = golden
    advice = json.loads((folder / "advice" / "advice.json").read_text())
    assert advice["format"] == 1 and advice["metric"] == "mrr" and advice["reference"] == "base"
    assert advice["tolerance"] == 0.2 and advice["budget"] == {"seconds": None, "bytes": None}
    assert (advice["train_examples"], advice["valid_examples"], advice["of_train"]) == (96, 40, 120)
    assert len(advice["similarity"]) == 5 and all(-1 <= value < 1 for value in advice["similarity"])
    assert [option["variant"] for option in advice["options"]] == ["base", "0", "1", "2", "3"]
    tried = [option for option in advice["options"] if option["score"] is not None]
    assert tried[0]["variant"] == "base" and 2 <= len(tried) <= 5, "base, the deep K, and three on the walk"
    for option in tried[1:]:
        found, expected = option["measured"], option["expected"]
        assert found["loss"] == pytest.approx(1 - option["score"] / tried[0]["score"])
        assert found["interval"]["low"] <= found["loss"] <= found["interval"]["high"] and expected["sd"] > 0
    assert advice["variant"] in {option["variant"] for option in tried}
    seconds = {option["variant"]: option["seconds"] for option in advice["options"]}
    assert seconds["base"] > seconds["1"] > seconds["3"] > 0 and advice["seconds"] > 0
    saved = 1 - (seconds[advice["variant"]] + advice["seconds"]) / seconds["base"]
    assert advice["saved"] == pytest.approx(saved)
    assert advice["provenance"]["versions"]["torch"] and advice["settings"]["learning_rate"] == 1e-3
    assert not list((folder / "cache").glob("*")) and not list((folder / "cache").glob(".advice-*")), "stores are gone"


def test_advice_for_a_person(golden: tuple[Path, str, str], tiny: Tiny):
    folder, out, _ = golden
    advice = json.loads((folder / "advice" / "advice.json").read_text())
    assert "<- advised" in next(line for line in out.splitlines() if line.split()[:1] == [advice["variant"]])
    for part in ("reason: Tuning base on 96 examples", "risk: ", "saving: ", "the similarity rule says K="):
        assert part in out
    assert ("compares two trained models and not two methods" in out) == (advice["variant"] != advice["reference"])
    command = shlex.split(next(line for line in out.splitlines() if line.startswith("run: ")).removeprefix("run: "))
    assert command[:3] == ["telly", "tune", "search"] and command[-2:] == ["--freeze", advice["variant"]]
    assert command[command.index("--data") + 1] == str(tiny.data["train"])


def test_the_same_advice_again(golden: tuple[Path, str, str], tiny: Tiny, tmp_path: Path):
    """JSON on standard output, and equal but for times; the advised command runs."""
    folder, _, _ = golden
    first = json.loads((folder / "advice" / "advice.json").read_text())
    ended = run_telly(*options(tiny, tmp_path / "cache", "--tolerance", "20%", "--json"))
    again = json.loads(ended.out)
    for name in ("variant", "rule", "similarity", "key"):
        assert again[name] == first[name], name
    for ours, theirs in zip(again["options"], first["options"], strict=True):
        assert (ours["score"], ours["measured"]) == (theirs["score"], theirs["measured"])
    command = shlex.split(again["command"])
    run_telly(*command[1:], "--epochs", "1", "--output", str(tmp_path / "run"))
    assert record_of(tmp_path / "run")["config"]["freeze"] == parse_freeze(again["variant"])


def test_held_out_and_other_models_that_write(tmp_path: Path):
    """A decoder, one file of data, a metric that is no mean: BLEU over sentences of a summary."""
    model = tiny_model_folder(tmp_path / "model", "gpt2")
    data = task_data("summarize", tmp_path / "data", {"train": 120})
    ended = run_telly(
        *("advise", "--task", "summarize", "--model", str(model), "--data", str(data["train"]), "--json"),
        *("--max-tokens", "code=48", "--max-tokens", "summary=12", "--cache-dir", str(tmp_path / "cache")),
    )
    advice = json.loads(ended.out)
    assert advice["metric"] == "bleu" and (advice["train_examples"], advice["valid_examples"]) == (96, 24)
    assert "--valid VALIDATION-DATA" in advice["command"]


def test_the_budget_leaves_the_upper_ones(tiny: Tiny, tmp_path: Path, golden: tuple[Path, str, str]):
    """A budget between what K=3 and K=0 take; times are measured anew, so it is a wide one."""
    first = json.loads((golden[0] / "advice" / "advice.json").read_text())
    sizes = {option["variant"]: option["peak_bytes"] for option in first["options"]}
    between = (sizes["3"] + sizes["2"]) / 2e6
    ended = run_telly(*options(tiny, tmp_path, "--budget", f"{between:.4f}MB", "--tolerance", "50%", "--json"))
    advice = json.loads(ended.out)
    assert advice["variant"] == advice["reference"] == "3"
    assert [option["fits"] for option in advice["options"]] == [False, False, False, False, True]
    assert "K=3 is" in " ".join(advice["reason"])


@pytest.mark.parametrize(("more", "message"), [
    (("--budget", "3 weeks"), "--budget: expected a time (30m, 2h; units s, m, min, h, d) or memory"),
    (("--tolerance", "0.01"), "--tolerance: expected a percentage such as 1% or 0.5%, found '0.01'"),
    (("--tolerance", "80%"), "--tolerance: expected 0% to 50%, found '80%'"),
    (("--limit", "30"), "30 training examples: a pilot needs at least 64"),
    (("--budget", "1MB"), "--budget 1 MB: no K fits; K=3 takes least, about 47"),
    (("--budget", "0.001s"), "--budget 0.001 s: no K fits; K=3 takes about"),
    (("--task", "serch"), "did you mean 'search'?"),
])  # fmt: skip
def test_bad_input(more: tuple[str, ...], message: str, tiny: Tiny, tmp_path: Path):
    ended = run_telly(*options(tiny, tmp_path / "cache", "--output", str(tmp_path / "advice"), *more), code=2)
    assert message in ended.error
    assert not (tmp_path / "advice").exists()


def auto(tiny: Tiny, output: Path, cache: Path, *more: str) -> list[str]:
    return [*tiny.command(output, "base", "--freeze", "auto", "--cache-always", "--cache-dtype", "fp32", *more,
                          cache=cache)]  # fmt: skip


def advice_of(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "advice" / "advice.json").read_text())
    return found


def test_auto_asks_and_goes_on_with_the_answer(tiny: Tiny, tmp_path: Path):
    """The same weights as `--freeze K`; the advice's cost has a clock of its own, and the clocks sum up."""
    run_telly(*auto(tiny, tmp_path / "auto", tmp_path / "cache"), setup=LENIENT)
    record, advice = record_of(tmp_path / "auto"), advice_of(tmp_path / "auto")
    assert (
        record["status"] == "finished"
        and advice["variant"] == record["plan"]["variant"]
        and record["config"]["freeze"] == parse_freeze(advice["variant"])
    )
    assert record["advice"]["variant"] == advice["variant"] and record["advice"]["reason"] == advice["reason"]
    assert record["advice"]["file"] == "advice/advice.json"
    assert set(record["clocks"]) == set(CLOCKS)
    assert record["clocks"]["advice"] >= record["advice"]["seconds"] > 0
    toml = (tmp_path / "auto" / "config.toml").read_text()
    assert f"freeze = {json.dumps(parse_freeze(advice['variant']))}\n" in toml
    given = ("--freeze", advice["variant"])
    plain = auto(tiny, tmp_path / "plain", tmp_path / "cache", *given)
    run_telly(*plain)
    check_same_end(tmp_path / "auto", tmp_path / "plain", sessions=0)
    assert record_of(tmp_path / "plain")["advice"] is None and record_of(tmp_path / "plain")["clocks"]["advice"] == 0


def test_an_interrupted_run_keeps_its_advice(tiny: Tiny, tmp_path: Path):
    """Interrupted while training, then resumed by the same command: no pilot runs again."""
    stop = (
        "from telly.training.trainer import TellyTrainer as T\nstep = T.training_step\n"
        "def stopping(self, *a, **k):\n"
        "    if 'advice-' not in self.args.output_dir and self.state.global_step == 5: raise KeyboardInterrupt\n"
        "    return step(self, *a, **k)\nT.training_step = stopping"
    )
    no_pilot = "from telly.advice import advise as a\na.Pilots = None"
    command = auto(tiny, tmp_path / "run", tmp_path / "cache")
    run_telly(*command, setup=stop, code=130)
    first = (tmp_path / "run" / "advice" / "advice.json").read_bytes()
    assert record_of(tmp_path / "run")["status"] == "interrupted"
    ended = run_telly(*command, "--resume", setup=no_pilot)
    assert "advice: taken over from" in ended.err
    assert (tmp_path / "run" / "advice" / "advice.json").read_bytes() == first
    record = record_of(tmp_path / "run")
    assert record["status"] == "finished" and record["resumed_from_step"] == 4
    assert record["sessions"][0]["clocks"]["advice"] > record["clocks"]["advice"]
    again = run_telly(*command, code=2)
    assert "there is a run already" in again.error, "and it is told before a pilot runs"


def test_interrupted_while_asking(tiny: Tiny, tmp_path: Path):
    """Nothing but the advice's folder is there; --resume begins anew, and without it as well."""
    (tmp_path / "run" / "advice").mkdir(parents=True)
    run_telly(*auto(tiny, tmp_path / "run", tmp_path / "cache", "--epochs", "1"), "--resume")
    assert record_of(tmp_path / "run")["status"] == "finished"
    ended = run_telly(*auto(tiny, tmp_path / "none", tmp_path / "cache"), "--resume", code=2)
    assert "no interrupted run to resume here" in ended.error


def test_several_processes_are_told_what_to_do(tiny: Tiny, tmp_path: Path):
    setup = "import os; os.environ.update(WORLD_SIZE='2', RANK='0')"
    ended = run_telly(*auto(tiny, tmp_path / "run", tmp_path / "cache"), setup=setup, code=2)
    assert ended.error == (
        "--freeze auto runs its pilots in one process; run `telly advise` first, then this command with its K"
    )
