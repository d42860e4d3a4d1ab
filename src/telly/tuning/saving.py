"""The folder that a run leaves behind."""

from __future__ import annotations

import json
import shutil
from typing import Any

from safetensors.torch import save_file
from torch import nn

from telly.models.load import quiet_transformers
from telly.models.onestack import OneStack
from telly.tuning.session import Run

HEAD_FILE = "head.safetensors"


def save_model(run: Run, module: nn.Module, tokenizer: Any, classes: tuple[str, ...]) -> None:
    """Write a folder that plain transformers loads, swapped in as a whole; a new head lies in a file of its own."""
    folder, partial = run.output / "model", run.output / "model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    model: Any = module.split.model  # type: ignore[union-attr]
    model = model.encoder if isinstance(model, OneStack) else model
    head = getattr(module, "head", None)
    buffers = dict(module.named_buffers(recurse=False))
    threshold = buffers["threshold"].item() if "threshold" in buffers else None
    with quiet_transformers():
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    usage = {
        "task": run.task.name,
        "class": type(model).__name__,
        "pooling": None if run.task.writes else "mean",
        "max_tokens": run.config.max_tokens,
        "variant": run.config.freeze,
        "classes": list(classes),
        "head": run.config.head,
        "threshold": threshold,
    }
    if head is not None:
        save_file({name: p.detach().cpu().contiguous() for name, p in head.state_dict().items()}, partial / HEAD_FILE)
    (partial / "telly.json").write_text(json.dumps({"usage": usage}, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
