"""`--freeze auto` with every method: pilots train what the run to come trains, at its learning rate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from telly.advice.pilot import Pilots
from telly.errors import PlanError
from telly.freezing.methods import apply_method, count_trained
from telly.freezing.split import SplitModel
from telly.freezing.variants import Lora, Method
from telly.models.stack import find_stack
from telly.settings.config import TuneConfig
from telly.tasks import get_task
from tiny_models import tiny_model
from tiny_runs import Tiny, record_of, run_telly, tiny_data, tiny_model_folder

TRACE = """
import json, sys
from telly.training.trainer import TellyTrainer as T
train = T.train
def traced(self, *args, **kwargs):
    trained = {name: p.numel() for name, p in self.model.named_parameters() if p.requires_grad}
    seen = {"pilot": "advice-" in self.args.output_dir, "parameters": sum(trained.values()),
            "learning_rate": self.args.learning_rate, "optimizer": [self.args.lr_scheduler_type.value,
            self.args.weight_decay, self.args.max_grad_norm, self.args.gradient_accumulation_steps],
            "names": sorted({name.split(".")[-1] for name in trained}),
            "adapters": sum("lora_" in name or "ia3_" in name for name in trained)}
    print("TRACE " + json.dumps(seen), file=sys.stderr)
    return train(self, *args, **kwargs)
T.train = traced
"""
OPTIMIZER = ("--schedule", "cosine", "--weight-decay", "0.1", "--max-grad-norm", "0.5", "--accumulation", "3")
RATE = get_task("search").preset.learning_rate


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("methods")
    return Tiny(tiny_model_folder(folder / "model"), tiny_data(folder / "data"))


def command(tiny: Tiny, output: Path, method: str) -> list[str]:
    """A run that chooses K itself, at the rate that the task and the method recommend."""
    given = tiny.command(
        output, "base", "--freeze", "auto", "--method", method, "--epochs", "1", "--cache-dtype", "fp32", *OPTIMIZER
    )
    rate = given.index("--lr")
    return given[:rate] + given[rate + 2 :]


@pytest.mark.parametrize("method", ["full", "lora", "ia3", "bitfit"])
def test_pilots_train_what_the_run_trains(method: str, tiny: Tiny, tmp_path: Path):
    output = tmp_path / "run"
    ended = run_telly(*command(tiny, output, method), setup=TRACE)
    seen = [json.loads(line.removeprefix("TRACE ")) for line in ended.err.splitlines() if line.startswith("TRACE ")]
    pilots, (run,) = [one for one in seen if one["pilot"]], [one for one in seen if not one["pilot"]]
    record, advice = record_of(output), json.loads((output / "advice" / "advice.json").read_text())

    rate = RATE * (1 if method == "full" else 10)
    assert [one["learning_rate"] for one in seen] == pytest.approx([rate] * len(seen))
    # 120 examples are 15 batches of 8: a pilot accumulates none, so that it has enough steps.
    assert run["optimizer"] == ["cosine", 0.1, 0.5, 3]
    assert all(one["optimizer"] == ["cosine", 0.1, 0.5, 1] for one in pilots)
    assert all(bool(one["adapters"]) is (method in ("lora", "ia3")) for one in seen)
    assert method != "bitfit" or all(one["names"] == ["bias"] for one in seen)

    tried = [option for option in advice["options"] if option["score"] is not None]
    assert len(tried) == len(pilots) >= 2
    assert sorted(option["trainable"] for option in tried) == sorted(one["parameters"] for one in pilots)
    chosen = next(option for option in tried if option["variant"] == advice["variant"])
    assert record["plan"]["trainable"] == run["parameters"] == chosen["trainable"]
    assert record["config"]["method"] == method


def test_there_is_no_k_to_choose_for_a_head_alone(tiny: Tiny, tmp_path: Path):
    ended = run_telly(*command(tiny, tmp_path / "run", "head-only"), code=2, setup=TRACE)
    assert "TRACE" not in ended.err and "head-only freezes all layers, found freeze = auto" in ended.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("k", [None, 0, 2])
@pytest.mark.parametrize("family", ["roberta", "gpt2", "t5"])
def test_counted_parameters_are_the_trained_ones(family: str, k: int | None, method: Method):
    """The count needs no adapters and no values; the plan counts what is there."""
    model, lora = tiny_model(family, is_generative=family != "roberta"), Lora(rank=3)
    layers = find_stack(model)
    if method is Method.HEAD_ONLY:
        assert count_trained(layers, len(layers), method) == SplitModel(model, len(layers)).plan.trainable == 0
        return
    if (family, method) == ("t5", Method.BITFIT):
        with pytest.raises(PlanError, match="T5ForConditionalGeneration has no biases"):
            count_trained(layers, k, method)
        return
    counted = count_trained(layers, k, method, lora)
    split = SplitModel(model, k)
    if method is not Method.FULL:
        apply_method(split, method, lora)
    assert counted == split.plan.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_a_pilot_accumulates_as_many_batches_as_leave_it_twelve_steps(tmp_path: Path):
    config = TuneConfig(batch_size=8, accumulation=4).resolve()
    found = [Pilots(config, range(examples), [], tmp_path).config for examples in (60, 200, 300, 1000)]
    assert [(one.batch_size, one.accumulation) for one in found] == [(5, 1), (8, 2), (8, 3), (8, 4)]
