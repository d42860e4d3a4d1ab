"""A run that is killed or stopped goes on with --resume and ends as if nothing had happened."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from telly.training.trainer import last_complete_checkpoint
from tiny_runs import (
    LOSS,
    Telly,
    Tiny,
    check_same_end,
    complete,
    files_below,
    largest_difference,
    record_of,
    run_telly,
    with_negatives,
)

STEPS_PER_EPOCH, EPOCHS = 15, 3
STATUS = {signal.SIGKILL: "running", signal.SIGINT: "interrupted", signal.SIGTERM: "interrupted"}
EXIT = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, signal.SIGTERM: 130}
Undisturbed = Callable[..., Path]


@pytest.mark.parametrize(
    ("variant", "number", "loss"),
    [
        ("cached", signal.SIGKILL, False),
        ("base", signal.SIGKILL, False),
        ("cached", signal.SIGINT, True),
        ("base", signal.SIGTERM, False),
    ],
)
def test_stopped_within_an_epoch(
    variant: str,
    number: signal.Signals,
    loss: bool,
    tiny: Tiny,
    teacher: Path,
    undisturbed: Undisturbed,
    tmp_path: Path,
):
    """Also with hard negatives, a teacher and all settings of the loss."""
    output = tmp_path / "run"
    options = (*LOSS, "--data", str(with_negatives(tiny.data["train"])), "--teacher", str(teacher)) if loss else ()
    command = tiny.command(output, variant, *options)
    ended = Telly(*command).stop_when(complete(output, 20), number)
    assert ended.code == EXIT[number]
    assert record_of(output)["status"] == STATUS[number]
    assert not (output / "model").exists()
    last = last_complete_checkpoint(output / "checkpoints")
    assert last is not None
    step = int(last.name.rpartition("-")[2])
    assert STEPS_PER_EPOCH < step < 2 * STEPS_PER_EPOCH, "the signal must hit within the second epoch"

    run_telly(*command, "--resume")
    record = record_of(output)
    assert record["resumed_from_step"] == step
    assert list(record["test_truncated"]) == (["8", "16"] if loss else [])
    check_same_end(output, undisturbed(variant, *options))


def test_the_best_epoch_is_not_the_last_and_training_has_an_effect(undisturbed: Undisturbed):
    """Else the tests here could pass with the last epoch's weights, or with the ones a run starts from."""
    record = record_of(undisturbed("cached"))
    assert [epoch["step"] for epoch in record["epochs"]] == [15, 30, 45]
    assert record["best_epoch"] == 2
    assert largest_difference(undisturbed("cached"), undisturbed("base")) > 1e-3


def test_saving_within_epochs_changes_nothing(tiny: Tiny, undisturbed: Undisturbed, tmp_path: Path):
    output = tmp_path / "run"
    run_telly(*tiny.command(output, "cached", "--save-steps", "15"))
    check_same_end(output, undisturbed("cached"), sessions=0)


def test_killed_twice_first_before_any_checkpoint(tiny: Tiny, undisturbed: Undisturbed, tmp_path: Path):
    output = tmp_path / "run"
    ended = Telly(*tiny.command(output, "cached")).stop_when((output / "metrics.jsonl").exists, signal.SIGKILL)
    assert ended.code == -signal.SIGKILL
    assert last_complete_checkpoint(output / "checkpoints") is None
    assert list((output / "checkpoints").glob("prefix-*")), "killed while the frozen weights were out of memory"

    resumed = Telly(*tiny.command(output, "cached"), "--resume")
    assert resumed.stop_when(complete(output, 30), signal.SIGKILL).code == -signal.SIGKILL
    run_telly(*tiny.command(output, "cached"), "--resume")
    assert record_of(output)["resumed_from_step"] >= 30
    check_same_end(output, undisturbed("cached"), sessions=2)


def test_a_half_written_checkpoint_is_not_used(tiny: Tiny, undisturbed: Undisturbed, tmp_path: Path):
    """Killed while a checkpoint is written: its files are there and wrong, its marker is not."""
    output = tmp_path / "run"
    setup = (
        "import os, signal, torch\n"
        "from transformers import Trainer\n"
        "def save(self, folder):\n"
        "    if self.state.global_step == 24:\n"
        "        os.truncate(folder + '/trained.safetensors', 100)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "Trainer._save_rng_state, kept = lambda self, folder: (save(self, folder), kept(self, folder)), "
        "Trainer._save_rng_state\n"
    )
    assert Telly(*tiny.command(output, "cached"), setup=setup).end().code == -signal.SIGKILL
    half = output / "checkpoints" / "checkpoint-24"
    assert (half / "trained.safetensors").stat().st_size == 100
    assert not (half / "COMPLETE").exists()

    run_telly(*tiny.command(output, "cached"), "--resume")
    assert record_of(output)["resumed_from_step"] == 20
    check_same_end(output, undisturbed("cached"))


EARLY = ("--lr", "1e-2", "--metric", "recall@1", "--epochs", "8", "--patience", "2")


def test_early_stopping_goes_on_counting(tiny: Tiny, undisturbed: Undisturbed, tmp_path: Path):
    """Stopped between the two epochs without a better metric that end the run."""
    expected = undisturbed("cached", *EARLY)
    reference = record_of(expected)
    stopped, best = len(reference["epochs"]), reference["best_epoch"]
    assert stopped == best + 2 < 8, "early stopping must end the reference"

    output = tmp_path / "run"
    step = (best + 1) * STEPS_PER_EPOCH + 4
    ended = Telly(*tiny.command(output, "cached", *EARLY)).stop_when(complete(output, step), signal.SIGKILL)
    assert ended.code == -signal.SIGKILL
    run_telly(*tiny.command(output, "cached", *EARLY), "--resume")
    check_same_end(output, expected)


def test_killed_after_the_last_epoch_trains_no_further(tiny: Tiny, undisturbed: Undisturbed, tmp_path: Path):
    output = tmp_path / "run"
    setup = (
        "import os, signal, telly.tuning.run as run\nrun.save_model = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = Telly(*tiny.command(output, "cached", *EARLY), setup=setup).end()
    assert ended.code == -signal.SIGKILL
    assert record_of(output)["status"] == "running"
    assert not (output / "model").exists()
    run_telly(*tiny.command(output, "cached", *EARLY), "--resume")
    check_same_end(output, undisturbed("cached", *EARLY))


def test_an_existing_run_is_not_touched(tiny: Tiny, tmp_path: Path):
    output = tmp_path / "run"
    command = tiny.command(output, "cached")
    assert Telly(*command).stop_when(complete(output, 4), signal.SIGINT).code == 130
    before = files_below(output)
    assert "checkpoints/checkpoint-4/COMPLETE" in before

    ended = run_telly(*command, code=2)
    assert ended.error == (
        f"{output}: there is a run already; choose another --output, or give --resume or --overwrite"
    )
    ended = run_telly(*command, "--lr", "2e-3", "--resume", code=2)
    assert ended.error == (
        f"{output}: the interrupted run has other settings (see {output}/config.toml); resume with the same ones"
    )
    assert files_below(output) == before

    run_telly(*command, "--overwrite", "--epochs", "1")
    assert record_of(output)["sessions"] == []
    ended = run_telly(*command, "--epochs", "1", "--resume", code=2)
    assert ended.error == f"{output}: this run is finished; there is nothing to resume. --overwrite starts it again"


def test_a_folder_of_somebody_else_is_not_touched(tiny: Tiny, tmp_path: Path):
    (tmp_path / "work" / "model").mkdir(parents=True)
    (tmp_path / "work" / "model" / "mine.txt").write_text("precious")
    before = files_below(tmp_path)
    ended = run_telly(*tiny.command(tmp_path / "work", "base"), code=2)
    assert ended.error == (
        f"{tmp_path / 'work'}: has a folder 'model' that no run made (there is no config.toml), and a run would "
        "replace it; choose another --output"
    )
    assert files_below(tmp_path) == before
