"""The folders that runs of all tasks leave load in transformers, in a process that never imports telly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from telly.data.sequences import SequenceTable
from telly.freezing.split import SplitModel
from telly.models.families import auto_class
from telly.models.load import load_model, load_tokenizer
from telly.models.modes import InputMode, encode_texts
from telly.models.prefix_lm import PrefixLM
from telly.runs.parts import RecordedConfig
from telly.runs.record import RunRecord
from telly.settings.config import TuneConfig
from telly.tasks import TASKS, get_task
from telly.tasks.training.base import Encoded
from telly.training.clocks import Clocks, PeakMemory
from telly.tuning.saving import save_model
from telly.tuning.session import Run
from tiny_runs import SMALL, tiny_model_folder

CASES = [(task, "roberta") for task in TASKS]
CASES += [(task, family) for task in ("search", "summarize", "generate", "complete") for family in ("gpt2", "t5")]
TEXT = "def rows(files):\n    return sorted(files)[:10]\n"
SCRIPT = """
import json, sys
import numpy as np
import torch
import transformers

found = {}
for name, loader, folder, text in json.load(sys.stdin):
    model, report = getattr(transformers, loader).from_pretrained(folder, output_loading_info=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    odd = [key for keys in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in report[keys]]
    assert not odd, (name, odd)
    batch = tokenizer(text, return_tensors="pt")
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    if loader == "AutoModelForSeq2SeqLM":
        inputs["decoder_input_ids"] = inputs["input_ids"][:, :4]
    with torch.no_grad():
        output = model.eval()(**inputs, output_hidden_states=True)
    states = output.encoder_last_hidden_state if loader == "AutoModelForSeq2SeqLM" else output.hidden_states[-1]
    found[name] = states.numpy()
    if "logits" in output:
        found[name + "-logits"] = output.logits.numpy()
assert not any(name.split(".")[0] == "telly" for name in sys.modules)
np.savez(sys.argv[1], **found)
"""


def save(task_name: str, family: str, folder: Path, model_folder: Path) -> Any:
    """Save as a run does a model whose weights are no checkpoint's; returns the model that was saved."""
    task = get_task(task_name)
    config = TuneConfig(task=task_name, model=str(model_folder), output=folder).resolve()
    model = load_model(str(model_folder), is_generative=task.is_generative)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    classes = ("0", "1") if task_name in ("clone", "classify") else ()
    train = Encoded(SequenceTable.ragged([]), {}, classes=classes)
    module = task.build(SplitModel(model, 2), len(train.classes), config.options)
    folder.mkdir()
    run = Run(config, task, folder, RunRecord(RecordedConfig.of(config)), Clocks(), PeakMemory(), True)
    save_model(run, module.encoder, module, load_tokenizer(str(model_folder)), classes)
    saved = module.encoder.model
    return saved.encoder if isinstance(saved, PrefixLM) else saved


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {family: tiny_model_folder(folder / family, family) for family in ("roberta", "gpt2", "t5")}


@torch.no_grad()
def test_all_tasks_load_without_telly(sources: dict[str, Path], tmp_path: Path):
    """Every weight has its place, no weight is new, and the states are those of the model that was tuned."""
    torch.manual_seed(0)
    expected: dict[str, np.ndarray] = {}
    asked = []
    for task, family in CASES:
        name = f"{task}-{family}"
        model = save(task, family, tmp_path / name, sources[family]).eval()
        folder = tmp_path / name / "model"
        loader = auto_class(json.loads((folder / "config.json").read_text())["architectures"][0])
        asked.append((name, loader, str(folder), TEXT))
        # an encoder's tokenizer adds the mode token itself, so that sentence-transformers reads the folder as well
        mode = None if TASKS[task].is_generative else InputMode.ENCODER_ONLY
        ids = torch.tensor(encode_texts(load_tokenizer(str(sources[family])), [TEXT], 512, mode))
        decoder = {"decoder_input_ids": ids[:, :4]} if loader == "AutoModelForSeq2SeqLM" else {}
        output = model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True, **decoder)
        states = output.encoder_last_hidden_state if decoder else output.hidden_states[-1]
        expected[name] = states.numpy()
        if "logits" in output:
            expected[f"{name}-logits"] = output.logits.numpy()
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "states.npz")],
        input=json.dumps(asked),
        env={"PATH": "", "HOME": str(tmp_path), **SMALL},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    found = np.load(tmp_path / "states.npz")
    assert set(found) == set(expected) and len(CASES) == len(TASKS) + 8
    for name, states in expected.items():
        assert np.abs(found[name] - states).max() < 1e-5, name
    assert np.abs(found["search-roberta"] - found["classify-roberta"]).max() > 1e-2, "each has weights of its own"
