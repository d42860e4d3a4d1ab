"""Every task through the real command line, on data in the layout it is published in: cached equals frozen-only."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from telly.metrics.interval import values_of
from telly.metrics.per_example import read_per_example
from telly.tasks import TASKS
from tiny_runs import (
    Tiny,
    check_same_end,
    largest_difference,
    record_of,
    run_telly,
    task_data,
    tiny_model_folder,
)

LIMITS = {
    "search": ("query=16", "code=32"),
    "clone": ("left=32", "right=32"),
    "clone-retrieval": ("code=32",),
    "summarize": ("code=32", "summary=12"),
    "generate": ("description=16", "code=16"),
    "complete": ("context=32", "line=12"),
    "classify": ("code=32",),
}
SILENT = {"search", "clone-retrieval"}
"""Tasks without predictions to show."""
WRITING = tuple(task for task in TASKS if TASKS[task].is_generative)
RUNS = [(task, "roberta") for task in TASKS] + [(task, family) for task in WRITING for family in ("gpt2", "t5")]
LOADERS = {
    "roberta": transformers.AutoModel,
    "gpt2": transformers.AutoModelForCausalLM,
    "t5": transformers.AutoModelForSeq2SeqLM,
}
SHORT = ("--epochs", "1", "--save-steps", "100", "--cache-dtype", "fp32", "--json")
Given = Callable[..., Tiny]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    """A tiny model folder and a task's data; each is written once."""

    @cache
    def model(family: str) -> Path:
        return tiny_model_folder(tmp_path_factory.mktemp("models") / family, family)

    @cache
    def data(task: str) -> dict[str, Path]:
        return task_data(task, tmp_path_factory.mktemp("data") / task)

    return lambda task, family="roberta": Tiny(model(family), data(task), task, LIMITS[task])


def beams(task: str) -> tuple[str, ...]:
    return ("--beams", "2") if TASKS[task].is_generative else ()


def predictions(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("task", "family_name"), RUNS)
def test_cached_and_frozen_only_end_the_same(task: str, family_name: str, given: Given, tmp_path: Path):
    tiny = given(task, family_name)
    outputs = {variant: tmp_path / variant for variant in ("cached", "frozen")}
    for variant, output in outputs.items():
        run_telly(*tiny.command(output, variant, *SHORT, *beams(task)))
    cached, frozen = map(record_of, outputs.values())
    assert cached["cache"]["used"] and not frozen["cache"]["used"]
    assert cached["test"] == pytest.approx(frozen["test"], abs=1e-9)
    assert set(TASKS[task].metrics) <= {*cached["test"], "roc_auc"}
    kept = read_per_example(outputs["cached"] / cached["scores"])
    assert set(kept) == set(TASKS[task].metrics) - {"roc_auc"}, "all metrics that are functions of sums over examples"
    assert values_of(kept) == pytest.approx({name: cached["test"][name] for name in kept}, rel=1e-5)
    assert cached["verdict"]["metric"] == TASKS[task].preset.metric
    greedy = ["the tuned model decoded with 2 beams, the untuned one greedily"] if TASKS[task].is_generative else []
    assert cached["verdict"]["notes"] == greedy
    losses = [record["epochs"][0]["train_loss"] for record in (cached, frozen)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert largest_difference(*outputs.values()) < 1e-4

    before = load_file(tiny.model / "model.safetensors")
    after = load_file(outputs["cached"] / "model" / "model.safetensors")
    moved = {name for name in after if name in before and not torch.equal(after[name], before[name])}
    assert any("3" in name for name in moved), "training must have an effect, or equality says nothing"
    model, report = LOADERS[family_name].from_pretrained(outputs["cached"] / "model", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert (
        type(model).__name__ == json.loads((outputs["cached"] / "model" / "telly.json").read_text())["usage"]["class"]
    )
    transformers.AutoTokenizer.from_pretrained(outputs["cached"] / "model")

    if task in SILENT:
        assert not (outputs["cached"] / "predictions.jsonl").exists()
        return
    found = predictions(outputs["cached"])
    assert [row["example"] for row in found] == list(range(10)), "one line a test example, in order"
    assert all(row.keys() >= {"example", "prediction", "gold"} for row in found)
    assert [row["prediction"] for row in predictions(outputs["frozen"])] == [row["prediction"] for row in found]


@pytest.mark.parametrize("task", ["summarize", "clone-retrieval"])
def test_a_killed_run_goes_on_to_the_same_weights(task: str, given: Given, tmp_path: Path):
    """Killed within the second epoch, of three steps. What a task draws (clone retrieval its partners) is the same."""
    tiny = given(task)
    options = ("--epochs", "3", "--save-steps", "1", "--patience", "9", *beams(task))
    expected, output = tmp_path / "expected" / "run", tmp_path / "killed" / "run"
    run_telly(*tiny.command(expected, "cached", *options))
    setup = (
        "import os, signal, telly.training.trainer as trainer\n"
        "mark = trainer._MarkComplete.on_save\n"
        "def on_save(self, args, state, control, **kwargs):\n"
        "    mark(self, args, state, control, **kwargs)\n"
        "    if state.global_step == 4:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "trainer._MarkComplete.on_save = on_save\n"
    )
    command = tiny.command(output, "cached", *options)
    run_telly(*command, code=-signal.SIGKILL, setup=setup)
    run_telly(*command, "--resume")
    assert record_of(output)["resumed_from_step"] == 4
    check_same_end(output, expected)


def test_the_cosine_head_of_clone_detection_keeps_its_threshold(given: Given, tmp_path: Path):
    """What the saved folder says is what the test predictions were made with."""
    output = tmp_path / "run"
    run_telly(*given("clone").command(output, "cached", *SHORT, "--head", "cosine"))
    usage = json.loads((output / "model" / "telly.json").read_text())["usage"]
    assert usage["head"] == "cosine" and not (output / "model" / "head.safetensors").exists()
    assert -1.0 < usage["threshold"] < 1.0
    for row in predictions(output):
        assert row["prediction"] == str(int(row["score"] > usage["threshold"]))


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("search", ("--beams", "2"), "beams: task search has no such setting; leave it out"),
        ("clone", ("--temperature", "0.1"), "temperature: task clone has no such setting; leave it out"),
        ("summarize", ("--head", "pair"), "head: task summarize has no such setting; leave it out"),
        ("clone", ("--head", "cos"), "head: Input should be 'pair' or 'cosine' (found 'cos')"),
        ("classify", ("--metric", "bleu"), "metric: classify has accuracy, macro_f1, precision, recall, f1, roc_auc; "),
    ],
)
def test_options_that_a_task_has_no_use_for_are_refused(
    task: str, options: tuple[str, ...], message: str, given: Given, tmp_path: Path
):
    ended = run_telly(*given(task).command(tmp_path / "run", "cached", *options), code=2)
    assert ended.err.startswith("telly: error: options:\n")
    assert message in ended.err and "Traceback" not in ended.err
    assert not (tmp_path / "run").exists()
