"""The engine: what is the same whoever uses it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from telly.settings.config import TuneConfig
from telly.tasks import get_spec
from telly.tasks.options import PairOptions
from telly.tuning import job as engine
from tiny_runs import task_data, tiny_model_folder


def test_a_new_head_depends_on_the_seed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not on random numbers drawn before, so that a pilot and its run, or two methods, start with the same one."""
    files = {name: str(file) for name, file in task_data("classify", tmp_path / "data").items()}
    values = {
        "task": "classify",
        "model": str(tiny_model_folder(tmp_path / "model")),
        **{"data": files["train"], "valid": files["valid"], "test": files["test"]},
        "max_tokens": {"code": 48},
    }

    def head(**more: Any) -> torch.Tensor:
        job = engine.prepare(TuneConfig.parse(values | more).resolve(), device=torch.device("cpu"))
        return torch.cat([parameter.detach().flatten() for parameter in job.module.head.parameters()])

    first = head()
    load_stack = engine.load_stack

    def drawing(*args: Any, **more: Any) -> Any:
        torch.rand(3)
        return load_stack(*args, **more)

    monkeypatch.setattr(engine, "load_stack", drawing)
    assert torch.equal(head(), first)
    assert not torch.equal(head(seed=1), first)


@pytest.mark.parametrize("shared", [True, False])
def test_batches_share_texts_only_where_that_is_set(shared: bool):
    pairs = np.array([[0, 1], [1, 2], [2, 3], [3, 0]])
    job = SimpleNamespace(
        train=SimpleNamespace(lengths=np.full(4, 3), pairs=pairs),
        config=SimpleNamespace(batch_size=2, seed=0, options=PairOptions("cosine", shared_batches=shared)),
        task=SimpleNamespace(spec=get_spec("clone")),
    )
    found = engine.sampler_of(cast("Any", job)).pairs
    assert found is pairs if shared else found is None
