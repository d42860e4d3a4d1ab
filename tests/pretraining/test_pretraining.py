"""Pre-training: what is masked, what grows, what is left out, and that an interruption changes nothing."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from telly.errors import ConfigError, DataError
from telly.pretraining.config import PretrainConfig, Stage
from telly.pretraining.corpus import collect
from telly.pretraining.objectives import NOT_MASKED, grow, mask_tokens
from telly.pretraining.run import pretrain
from telly.training import trainer as trainer_module

RECIPE = PretrainConfig(
    vocab_size=400,
    hidden_size=16,
    attention_heads=2,
    code_tokens=32,
    docstring_tokens=16,
    held_out_pairs=10,
    stages=(
        Stage(layers=1, steps=4, batch_size=4, learning_rate=1e-3, contrast_weight=0.0),
        Stage(layers=2, steps=6, batch_size=4, learning_rate=1e-3),
    ),
)


def sources(root: Path, count: int = 60) -> Path:
    package = root / "package"
    package.mkdir(parents=True)
    functions = [
        f'def compute_{i}(value, other):\n    """Compute the number {i} from value and other."""\n'
        f"    total = value * {i}\n    total += other\n    return total\n"
        for i in range(count)
    ]
    (package / "code.py").write_text("\n\n".join(functions))
    return root


def test_masking_follows_bert():
    torch.manual_seed(0)
    ids = torch.randint(0, 100, (200, 50))
    changed, labels = mask_tokens(
        {"input_ids": ids}, torch.Generator().manual_seed(0), share=0.15, mask_id=4, vocab_size=100, first_ordinary_id=8
    )
    chosen = labels != NOT_MASKED
    ordinary = ids >= 8
    assert not (chosen & ~ordinary).any(), "special tokens are never predicted"
    assert (chosen.sum() / ordinary.sum()).item() == pytest.approx(0.15, abs=0.01)
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(changed[~chosen], ids[~chosen])
    assert (changed[chosen] == 4).float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert (changed[chosen] == ids[chosen]).float().mean().item() == pytest.approx(0.1, abs=0.03)


def test_growing_repeats_the_stack():
    assert grow(3, 6) == [0, 1, 2, 0, 1, 2]
    with pytest.raises(ValueError, match="7 layers is not a multiple of 3"):
        grow(3, 7)


def test_functions_of_the_standard_library_are_left_out(tmp_path: Path):
    """Also those of single modules such as `textwrap`, wherever a copy stands."""
    import textwrap

    root = sources(tmp_path, count=2)
    (root / "package" / "copy.py").write_text(inspect.getsource(textwrap))
    functions, packages = collect([root])
    assert sorted(f.name for f in functions) == ["compute_0", "compute_1"]
    assert [(p.name, p.functions) for p in packages] == [("package", 2)]


def test_a_root_that_is_no_folder(tmp_path: Path):
    with pytest.raises(DataError, match="expected a folder with Python sources"):
        collect([tmp_path / "none"])


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = sources(tmp_path / "src")
    whole = pretrain([root], tmp_path / "whole", RECIPE)

    monkeypatch.setattr("telly.pretraining.run.SAVE_STEPS", 2)
    step = trainer_module.TellyTrainer.training_step
    calls = 0

    def interrupted(self, *args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == 8:  # the fourth step of the second stage, after its checkpoint at step 2
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(trainer_module.TellyTrainer, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain([root], tmp_path / "parts", RECIPE)
    assert (tmp_path / "parts" / "stage-2" / "checkpoint-2").is_dir()
    assert not (tmp_path / "parts" / "model").exists()
    monkeypatch.setattr(trainer_module.TellyTrainer, "training_step", step)
    resumed = pretrain([root], tmp_path / "parts", RECIPE)

    expected, found = (load_file(folder / "model.safetensors") for folder in (whole, resumed))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    check_exported(resumed)


def check_exported(folder: Path) -> None:
    """Plain transformers loads it; the card tells data and stages."""
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.num_hidden_layers == 2
    assert model(**tokenizer("def f(): pass", return_tensors="pt")).last_hidden_state.shape[-1] == 16
    card = (folder / "README.md").read_text()
    assert "| package | - | - | 60 |" in card
    assert "| 2 | 2 | 6 | 4 | 0.001 | 1 | 1 |" in card
    assert (folder / "loss.svg").stat().st_size > 1000


def test_another_recipe_in_the_same_folder_is_refused(tmp_path: Path):
    (tmp_path / "settings.json").write_text("{}\n")
    with pytest.raises(ConfigError, match="holds a run with other settings"):
        pretrain([tmp_path], tmp_path, RECIPE)
