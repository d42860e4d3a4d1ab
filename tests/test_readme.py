"""The examples of the README and of docs/using.md run, and the make targets that the README names exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from telly.models.load import embedded_folder

README = Path(__file__).resolve().parents[1] / "README.md"
USING = README.parent / "docs" / "using.md"


def block(page: Path, name: str) -> str:
    found = re.search(rf"<!-- {name}:begin -->\n```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    assert found, f"{page.name} has no block {name}"
    return found[1]


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= 1000


def test_the_ten_lines_of_python_tune_and_embed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = block(README, "library")
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names: dict[str, Any] = {}
    exec(example, names)
    assert (tmp_path / "runs" / "mine" / "record.json").is_file()
    similarities = names["query"] @ names["code"].T
    assert similarities.shape == (1, 2)
    assert similarities[0, 0] > similarities[0, 1], "adding is nearer to `add` than to `read`"
    assert capsys.readouterr().out.count("\n") == 2


def test_the_example_of_a_training_loop_trains(tmp_path: Path):
    losses: list[float] = []

    def my_step(optimizer: torch.optim.Optimizer, states: torch.Tensor) -> None:
        loss = (states - 1).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    names: dict[str, object] = {
        "texts": [f"def f{i}(x): return x + {i}" for i in range(4)],
        "folder": tmp_path,
        "my_step": my_step,
    }
    exec(block(USING, "loop"), names)
    split = names["split"]
    assert split.plan.k == 9  # type: ignore[attr-defined]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    assert len([line for line in block(USING, "loop").splitlines() if line.strip()]) <= 10


def test_the_embedded_model_is_what_the_readme_says():
    """12 layers, at most 20 MB, the three mode tokens, loads in plain transformers."""
    from transformers import AutoModel, AutoTokenizer

    folder = embedded_folder()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20e6
    assert (folder / "README.md").is_file()
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.num_hidden_layers == 12
    assert {"<encoder-only>", "<decoder-only>", "<encoder-decoder>"} <= set(tokenizer.get_vocab())


@pytest.mark.parametrize("target", ["demo", "test", "setup", "check", "bench"])
def test_make_knows_the_targets(target: str):
    assert re.search(rf"^{target}:.*##", (README.parent / "Makefile").read_text(), re.M)
