"""A contrastive loss needs other examples in the batch: without any, a run is refused or says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from telly.cli import main
from telly.data.readers import read
from telly.data.warnings import warnings_about
from telly.errors import ConfigError
from telly.pretraining.config import Stage
from telly.settings.config import TuneConfig
from telly.tasks import TASKS
from telly.tasks.options import ContrastiveOptions
from telly.tasks.training.contrastive import in_batch_loss
from telly.tuning.inputs import check_negatives
from tiny_runs import tiny_model_folder


@pytest.mark.parametrize("task", ["search", "clone-retrieval"])
def test_a_batch_of_one_is_refused(task: str):
    with pytest.raises(ConfigError) as error:
        TuneConfig.parse({"task": task, "batch_size": 1})
    said = f"batch_size: {task} contrasts the examples of a batch with each other; expected at least 2"
    assert said in str(error.value)
    assert TuneConfig.parse({"task": task, "batch_size": 2}).batch_size == 2


@pytest.mark.parametrize("task", ["clone", "classify", "summarize", "complete"])
def test_other_tasks_may_have_a_batch_of_one(task: str):
    assert TuneConfig.parse({"task": task, "batch_size": 1}).batch_size == 1


def test_pretraining_with_a_contrast_refuses_a_batch_of_one():
    common = {"layers": 1, "steps": 1, "batch_size": 1, "learning_rate": 1e-3}
    with pytest.raises(ConfigError, match="with 1 pair per batch the contrast has no negatives; give at least 2"):
        Stage.parse(common)
    assert Stage.parse({**common, "contrast_weight": 0}).batch_size == 1


PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=12)


@given(pairs=PAIRS, size=st.integers(2, 4))
@example(pairs=[(0, 0), (0, 0), (0, 1), (1, 0)], size=4)
def test_what_is_counted_is_that_the_loss_is_zero(pairs: list[tuple[int, int]], size: int):
    """A batch counts as one without negatives exactly if the loss itself of random vectors is 0."""
    columns = {name: np.array([pair[i] for pair in pairs]) for i, name in enumerate(("query", "code"))}
    batches = [np.arange(i, i + size) for i in range(0, len(pairs) - size + 1, size)]
    if not batches:
        return
    generator = torch.Generator().manual_seed(0)
    zero = 0
    for batch in batches:
        left, right = (torch.nn.functional.normalize(torch.randn(size, 4, generator=generator)) for _ in range(2))
        same = [torch.from_numpy(values[batch]) for values in columns.values()]
        # At the temperature of training, .05, float32 rounds the loss of an easy batch to 0 although it has negatives.
        zero += int(in_batch_loss(left, right, same, ContrastiveOptions(temperature=1.0)).item() == 0)
    if min(len(np.unique(values)) for values in columns.values()) == 1:
        with pytest.raises(ConfigError, match="training examples have the same"):
            check_negatives(columns, batches)
    elif zero == len(batches):
        with pytest.raises(ConfigError, match="in every batch all examples have the same query or the same code"):
            check_negatives(columns, batches)
    else:
        found = check_negatives(columns, batches)
        assert (f"train: in {zero} of {len(batches)} batches of the first epoch" in "".join(found)) == (zero > 0)


def test_hard_negatives_are_negatives_too():
    """The first batch has one query alone, and a hard negative; the second one has neither other queries nor any."""
    columns = {"query": np.array([0, 0, 1, 1, 2, 3]), "code": np.arange(6)}
    batches = [np.array([0, 1]), np.array([2, 3]), np.array([4, 5])]
    assert "in 2 of 3 batches" in "".join(check_negatives(columns, batches))
    assert "in 1 of 3 batches" in "".join(check_negatives(columns, batches, np.array([0, 1, 0, 0, 0, 0])))
    same = {"query": np.zeros(2)}
    with pytest.raises(ConfigError, match="all 2 training examples have the same query"):
        check_negatives(same, [np.array([0, 1])])
    assert check_negatives(same, [np.array([0, 1])], np.array([1, 0])) == []


def test_a_task_without_contrast_is_not_looked_at():
    assert check_negatives({}, [np.array([0])]) == []


def rows(file: Path, *values: dict[str, str]) -> str:
    file.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize(
    ("task", "train", "said"),
    [
        ("search", [{"query": f"q {i}", "code": "def f(): pass"} for i in range(4)],
         "data: all 4 training examples have the same code, so the contrastive loss has no negatives and nothing is"),
        ("clone-retrieval", [{"label": "1", "code": f"def f(): return {i}"} for i in range(4)],
         "data: all 4 training examples have the same label, so the contrastive loss has no negatives and nothing is"),
        ("search", [{"query": "q", "code": "def f(): pass"}],
         "--batch-size: 1 examples do not fill one batch of 2; give a smaller one, or more training examples"),
    ],
)  # fmt: skip
def test_data_without_negatives_are_refused(
    task: str, train: list[dict[str, str]], said: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    """Through the command line; the run's folder is not begun."""
    model = tiny_model_folder(tmp_path / "model")
    other = [{**train[0], "code": "def g(): pass"}, train[0]]
    files = {name: rows(tmp_path / f"{name}.jsonl", *values) for name, values in (("data", train), ("valid", other))}
    words = [word for name, file in files.items() for word in (f"--{name}", file)]
    words += ["--max-tokens", "code=32", "--batch-size", "2", "--output", str(tmp_path / "run")]
    words += ["--max-tokens", "query=16"] if task == "search" else []
    monkeypatch.setattr(sys, "argv", ["telly", "tune", task, "--model", str(model), *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_test_set_of_one_function_is_told(tmp_path: Path):
    schema = TASKS["search"].schema
    many = read(rows(tmp_path / "a.jsonl", {"query": "a", "code": "x"}, {"query": "b", "code": "y"}), schema)
    one = read(rows(tmp_path / "b.jsonl", {"query": "c", "code": "z"}, {"query": "d", "code": "z"}), schema)
    said = "test: has one distinct function, which every query finds first, so its scores say nothing; add others"
    assert said in warnings_about({"train": many, "test": one}, schema)
    assert said not in warnings_about({"train": many, "test": many}, schema)
