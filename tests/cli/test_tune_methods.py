"""`telly tune --method` through the real command line: what is trained, what is in the run folder, what is refused."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

from tiny_runs import (
    Telly,
    Tiny,
    check_same_end,
    complete,
    largest_difference,
    record_of,
    run_telly,
    task_data,
    tiny_data,
    tiny_model_folder,
)

SHORT = ("--epochs", "1", "--save-steps", "100", "--cache-dtype", "fp32", "--json")
LORA = ("--method", "lora", "--lora-rank", "4", "--lr", "1e-2")
LOADERS = {"roberta": transformers.AutoModel, "t5": transformers.AutoModelForSeq2SeqLM}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    return Tiny(tiny_model_folder(folder / "model"), tiny_data(folder / "data"))


@pytest.fixture(scope="module")
def classify(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(tiny.model, task_data("classify", tmp_path_factory.mktemp("classify")), "classify", ("code=32",))


def states(model: Any, family: str) -> torch.Tensor:
    ids = torch.arange(24).reshape(2, 12) + 20
    more = {"decoder_input_ids": ids} if family == "t5" else {}
    with torch.no_grad():
        output = model.eval()(input_ids=ids, output_hidden_states=True, **more)
    return torch.stack([*(output.get("hidden_states") or output.encoder_hidden_states)])


@pytest.mark.parametrize(("family", "method"), [("roberta", "lora"), ("roberta", "ia3"), ("t5", "lora")])
def test_peft_alone_reads_the_runs_adapter(family: str, method: str, tiny: Tiny, tmp_path: Path):
    if family == "t5":
        limits = ("code=32", "summary=12")
        tiny = Tiny(tiny_model_folder(tmp_path / "t5", family), task_data("summarize", tmp_path / "data"), "summarize",
                    limits)  # fmt: skip
    outputs = {variant: tmp_path / variant / "run" for variant in ("cached", "frozen")}
    for variant, output in outputs.items():
        run_telly(*tiny.command(output, variant, *SHORT, "--method", method, "--lr", "1e-2"))
    cached, frozen = (record_of(output) for output in outputs.values())
    assert cached["cache"]["used"] and not frozen["cache"]["used"]
    assert cached["test"] == pytest.approx(frozen["test"], abs=1e-6)
    assert largest_difference(*outputs.values()) < 1e-4

    output = outputs["cached"]
    trained = load_file(output / "adapter" / "adapter_model.safetensors")
    assert sum(tensor.numel() for tensor in trained.values()) == cached["plan"]["trainable"]
    layers = {int(number) for name in trained for number in re.findall(r"encoder\.(?:layer|block)\.(\d+)", name)}
    assert layers == {2, 3}, "nothing below K"
    base = LOADERS[family].from_pretrained(tiny.model)
    untuned = states(base, family)
    loaded = states(peft.PeftModel.from_pretrained(base, output / "adapter"), family)
    merged = states(LOADERS[family].from_pretrained(output / "model"), family)
    assert (loaded - untuned).abs().max() > 1e-3, "training must have an effect"
    assert torch.allclose(loaded, merged, atol=1e-5)
    assert (output / "adapter" / "telly.json").read_text() == (output / "model" / "telly.json").read_text()
    assert json.loads((output / "model" / "telly.json").read_text())["usage"]["variant"] == f"2-{method}"


def test_lora_on_all_layers_is_no_base(tiny: Tiny, tmp_path: Path):
    output = tmp_path / "run"
    ended = run_telly(*tiny.command(output, "base", "--epochs", "1", *LORA))
    record = record_of(output)
    assert record["plan"]["variant"] == "lora" and record["plan"]["k"] is None
    assert record["plan"]["trainable"] == 4 * 2 * 4 * (32 + 32)
    assert record["config"]["lora_alpha"] == 4 and record["config"]["lora_dropout"] == 0
    before = load_file(tiny.model / "model.safetensors")
    after = load_file(output / "model" / "model.safetensors")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {f"encoder.layer.{i}.attention.self.{part}.weight" for i in range(4) for part in ("query", "value")}
    assert f"adapter: {output}/adapter" in ended.out
    assert any(line.split()[:1] == ["lora"] for line in ended.out.splitlines()), ended.out


def test_biases_alone(tiny: Tiny, tmp_path: Path):
    output = tmp_path / "run"
    run_telly(*tiny.command(output, "cached", *SHORT, "--method", "bitfit", "--lr", "1e-2"))
    before = load_file(tiny.model / "model.safetensors")
    after = load_file(output / "model" / "model.safetensors")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[2] for name in moved} == {"2", "3"}
    assert all(name.endswith(".bias") for name in moved) and any("LayerNorm" in name for name in moved)
    assert not (output / "adapter").exists()


def test_a_head_alone(classify: Tiny, tmp_path: Path):
    outputs = [tmp_path / how / "run" for how in ("cached", "frozen")]
    for output, options in zip(outputs, (("--cache-always",), ("--no-cache",)), strict=True):
        run_telly(*classify.command(output, "base", *SHORT, "--method", "head-only", *options))
    cached, frozen = map(record_of, outputs)
    assert cached["cache"]["used"] and cached["cache"]["released_bytes"] > 0 and not frozen["cache"]["used"]
    assert cached["plan"]["trainable"] == (32 * 32 + 32) + (32 * 2 + 2)
    assert cached["test"] == pytest.approx(frozen["test"], abs=1e-6)
    before = load_file(classify.model / "model.safetensors")
    after = load_file(outputs[0] / "model" / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in after)
    heads = [load_file(output / "model" / "head.safetensors") for output in outputs]
    assert all(torch.allclose(heads[0][name], heads[1][name], atol=1e-5) for name in heads[0])


def test_an_adapter_brings_its_head(classify: Tiny, tmp_path: Path):
    output = tmp_path / "run"
    run_telly(*classify.command(output, "cached", *SHORT, *LORA))
    folders = [output / "model", output / "adapter"]
    assert len({(folder / "head.safetensors").read_bytes() for folder in folders}) == 1
    full = tmp_path / "full" / "run"
    run_telly(*classify.command(full, "cached", *SHORT))
    whole = (full / "model" / "model.safetensors").stat().st_size
    assert (folders[1] / "adapter_model.safetensors").stat().st_size < whole / 10
    run_telly(*classify.command(output, "cached", *SHORT, "--overwrite"))
    assert not (output / "adapter").exists(), "it would be of another run"


def test_a_stopped_run_goes_on_to_the_same_weights(tiny: Tiny, tmp_path: Path):
    expected, output = tmp_path / "expected" / "run", tmp_path / "stopped" / "run"
    run_telly(*tiny.command(expected, "cached", *LORA))
    ended = Telly(*tiny.command(output, "cached", *LORA)).stop_when(complete(output, 20), signal.SIGKILL)
    assert ended.code == -signal.SIGKILL and not (output / "adapter").exists()
    run_telly(*tiny.command(output, "cached", *LORA), "--resume")
    assert record_of(output)["resumed_from_step"] >= 20
    check_same_end(output, expected)
    name = "adapter_model.safetensors"
    ours, theirs = (load_file(folder / "adapter" / name) for folder in (output, expected))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--method", "all"),
            "method: Input should be 'full', 'lora', 'ia3', 'bitfit' or 'head-only' (found 'all')",
        ),
        (("--lora-rank", "4"), "--lora-rank: is for method = lora, found method = full; leave it out"),
        (
            ("--method", "head-only"),
            "method: head-only trains only a new head, and search has none with parameters; expected one of clone "
            "with --head pair, classify",
        ),
        (
            ("--method", "head-only", "--freeze", "2"),
            "method: head-only freezes all layers, found freeze = 2; leave it out",
        ),
        (
            ("--method", "lora", "--lora-target", "qery"),
            "--method lora: no linear layer has a name that ends in qery; expected names as RobertaModel.named_modules"
            "() gives them (--lora-target)",
        ),
    ],
)
def test_what_cannot_be_is_refused(options: tuple[str, ...], message: str, tiny: Tiny, tmp_path: Path):
    ended = run_telly(*tiny.command(tmp_path / "run", "base", *options), code=2)
    assert message in ended.err and "Traceback" not in ended.err
    assert not (tmp_path / "run").exists()
