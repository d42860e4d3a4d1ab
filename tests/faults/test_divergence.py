"""A loss that is no number stops the run and says at which step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_runs import Tiny, record_of, run_telly

ADVICE = "Lower --lr, or use --precision fp32, and run again with --overwrite"


@pytest.mark.parametrize("variant", ["cached", "frozen", "base"])
def test_loss_that_is_not_a_number(variant: str, tiny: Tiny, tmp_path: Path):
    """Warm-up starts at 0, so step 1 changes nothing, step 2 ruins the weights, and step 3 shows it."""
    output = tmp_path / "run"
    ended = run_telly(*tiny.command(output, variant, "--lr", "1e30"), code=2)
    assert ended.error == f"the loss is nan at step 3 (epoch 0.13); expected a finite number. {ADVICE}"
    record = record_of(output)
    assert record["status"] == "failed"
    assert record["error"] == f"TrainingError: {ended.error}"
    assert record["test"] is None
    assert record["epochs"] == []
    assert not (output / "model").exists()


def test_weights_that_are_lost_in_the_last_step_are_not_saved(tiny: Tiny, tmp_path: Path):
    """No further loss would show it; such weights must never become the best, or the last, checkpoint."""
    output = tmp_path / "run"
    setup = (
        "from transformers import TrainerCallback\n"
        "import telly.training.trainer as trainer\n"
        "class Break(TrainerCallback):\n"
        "    def on_optimizer_step(self, args, state, control, model=None, **kwargs):\n"
        "        if state.global_step == 44:\n"
        "            next(p for p in model.parameters() if p.requires_grad).data.fill_(float('inf'))\n"
        "trainer._MarkComplete.on_optimizer_step = Break.on_optimizer_step\n"
    )
    ended = run_telly(*tiny.command(output, "cached"), setup=setup, code=2)
    name = "encoder.model.encoder.layer.2.attention.self.query.weight"
    assert ended.error == (
        f"after step 45 1 trained parameters are not finite, such as {name}; nothing is saved. {ADVICE}"
    )
    assert record_of(output)["status"] == "failed"
    assert not (output / "model").exists()
    assert not (output / "checkpoints" / "checkpoint-45").exists()
    assert (output / "checkpoints" / "checkpoint-30" / "COMPLETE").exists(), "the best one so far is kept"
