"""Runs of several processes, and `python -m telly` itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tiny_runs import (
    LOSS,
    SMALL,
    WAIT_SECONDS,
    Tiny,
    largest_difference,
    record_of,
    run_telly,
    task_data,
    tiny_model_folder,
    with_negatives,
)

TOLERANCE = 1e-4
"""Two processes add the same gradients in another order; weights that Adam moved by up to 0.02 differ by less."""
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run_python(*args: str) -> str:
    """Run a module to its end and give its standard output; where it hangs, its whole process group is ended."""
    environment = os.environ | SMALL | {"GLOO_SOCKET_IFNAME": "lo"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, *args], env=environment, text=True, start_new_session=True, **pipes
    ) as process:
        try:
            out, err = process.communicate(timeout=WAIT_SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, err
    return out


@pytest.fixture(scope="module")
def steady(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A model without dropout, which would be drawn otherwise in every process."""
    return Tiny(tiny_model_folder(tmp_path_factory.mktemp("steady") / "model", dropout=0.0), tiny.data)


@pytest.mark.parametrize("variant", ["cached", "base"])
def test_two_processes_are_one_run(variant: str, steady: Tiny, teacher: Path, tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    # Both cases have hard negatives, any number per process, and a teacher.
    target = "scores" if variant == "base" else "embeddings"
    data = ("--data", str(with_negatives(steady.data["train"])))
    options = (*data, "--teacher", str(teacher), "--teacher-target", target, *(LOSS if variant == "base" else ()))
    run_telly(*steady.command(one, variant, *options, cache=tmp_path / "cache-one"))
    start = steady.command(two, variant, *options, cache=tmp_path / "cache-two")
    assert "Results" in run_python("-m", *TORCHRUN, "-m", "telly", *start)
    found, expected = record_of(two), record_of(one)
    assert (found["device"]["processes"], expected["device"]["processes"]) == (2, 1)
    assert found["status"] == "finished"
    assert [epoch["step"] for epoch in found["epochs"]] == [15, 30, 45], "the same global batches"
    assert found["best_epoch"] == expected["best_epoch"]
    for epoch, reference in zip(found["epochs"], expected["epochs"], strict=True):
        assert epoch["train_loss"] == pytest.approx(reference["train_loss"], abs=TOLERANCE)
    assert found["test"]["mrr"] == pytest.approx(expected["test"]["mrr"], abs=1e-3)
    assert set(found["test_truncated"]) == ({"8", "16"} if variant == "base" else set())
    for size, metrics in found["test_truncated"].items():
        assert metrics["mrr"] == pytest.approx(expected["test_truncated"][size]["mrr"], abs=1e-3)
        text = (two / "model" / "README.md").read_text(encoding="utf-8")
        assert f"| this model, {size} dimensions | {metrics['mrr']:.4f} |" in text
        assert f"| untuned, {size} dimensions | " in text
    assert largest_difference(two, one) < TOLERANCE
    if variant == "cached":
        assert len(list((tmp_path / "cache-two").glob("*/store.json"))) == 3
        built = [store["built_shards"] for store in found["cache"]["caches"].values()]
        assert built == [1, 1, 1], "the first process builds and the other one reads"
    left = ["config.toml", "metrics.jsonl", "model", "record.json", "scores.npz", "untuned-scores.npz"]
    assert sorted(path.name for path in two.iterdir()) == left


@pytest.mark.parametrize(("task", "metric"), [("summarize", "bleu"), ("clone-retrieval", "map@r")])
def test_two_processes_are_one_run_of_other_tasks(task: str, metric: str, steady: Tiny, tmp_path: Path):
    """Processes that predict unequal numbers of tokens, and random draws of partners."""
    limits = {"summarize": ("code=32", "summary=12"), "clone-retrieval": ("code=32",)}
    tiny = Tiny(steady.model, task_data(task, tmp_path / "data"), task, limits[task])
    one, two = tmp_path / "one", tmp_path / "two"
    more = ("--epochs", "2", *(("--beams", "1") if task == "summarize" else ()))
    run_telly(*tiny.command(one, "cached", *more))
    run_python("-m", *TORCHRUN, "-m", "telly", *tiny.command(two, "cached", *more))
    found, expected = record_of(two), record_of(one)
    assert (found["device"]["processes"], found["status"]) == (2, "finished")
    for epoch, reference in zip(found["epochs"], expected["epochs"], strict=True):
        assert epoch["train_loss"] == pytest.approx(reference["train_loss"], abs=TOLERANCE)
    assert found["test"][metric] == pytest.approx(expected["test"][metric], abs=0.5 if metric == "bleu" else 1e-3)
    assert largest_difference(two, one) < TOLERANCE


def heed_ctrl_c() -> None:
    """A shell starts its background jobs, and so these tests, without."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_python_m_telly_and_ctrl_c(tiny: Tiny, tmp_path: Path):
    """The command as it is typed, without the server of the other tests."""
    output = tmp_path / "run"
    command = [sys.executable, "-m", "telly", *tiny.command(output, "cached", "--epochs", "2000")]
    with subprocess.Popen(
        command,
        env=os.environ | SMALL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - it only sets a signal
    ) as process:
        end = time.monotonic() + WAIT_SECONDS
        while not (output / "checkpoints" / "checkpoint-4" / "COMPLETE").exists() and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=WAIT_SECONDS)[1]
    assert process.returncode == 130, error
    assert "Traceback" not in error
    record = record_of(output)
    assert record["status"] == "interrupted"
    assert record["error"] == "interrupted by Ctrl-C or a termination signal; --resume continues"
