"""What a run records of its epochs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from telly.tuning.session import Epochs


def test_every_epoch_has_its_own_seconds_and_loss():
    clock, recorded = {"train": 0.0}, list[Any]()
    run = SimpleNamespace(
        record=SimpleNamespace(epochs=recorded),
        clocks=SimpleNamespace(seconds=lambda: dict(clock)),
        save_epochs=lambda: None,
        save=lambda: None,
    )
    epochs = Epochs(cast("Any", run))
    for number, (seconds, losses) in enumerate([(3.0, (2.0, 4.0)), (8.0, (1.0, 1.5)), (9.0, ())], start=1):
        for loss in losses:
            epochs.add_loss(loss)
        clock["train"] = seconds
        state = SimpleNamespace(epoch=float(number), global_step=2 * number)
        epochs.on_evaluate(None, state, None, metrics={"eval_mrr": 0.5})
    assert [entry.seconds for entry in recorded] == [3.0, 5.0, 1.0]
    assert [entry.train_loss for entry in recorded] == [3.0, 1.25, None]
    assert [(entry.epoch, entry.step, entry.valid) for entry in recorded] == [
        *((number, 2 * number, {"mrr": 0.5}) for number in (1, 2, 3)),
    ]
